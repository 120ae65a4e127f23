"""The ledger: every claim with its verdicts, and tables of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ratereg.claims.contrasts import in_numbers
from ratereg.claims.gather import FOUR, MEASURES, SIX
from ratereg.claims.statements import CLAIMS, Claim
from ratereg.claims.verdicts import Verdict

__all__ = [
    "Finding",
    "forest_rows",
    "ledger",
    "ledger_table",
    "measures_table",
    "settings_table",
    "weights_table",
]


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found about a claim: its verdicts by the name of the measure, and the figure that shows it."""

    claim: Claim
    verdicts: dict[str, Verdict]
    low: float
    high: float
    figure: str

    @property
    def main(self) -> Verdict:
        """The verdict by the first measure, which is the ledger's."""
        return next(iter(self.verdicts.values()))


def ledger(table: pd.DataFrame, low: float = 0.1, high: float = 1.0, claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """Return what the results say of each claim.

    Arguments:
        table: from `gather`.
        low: the smaller weight of the rate, in claims that compare two.
        high: the larger one.
        claims: which.

    Raises:
        ValueError: `low` is not below `high`.
    """
    studies = {"", *table["study"]}
    findings = []
    for claim in claims:
        figure = next(label for study, label in claim.figures.items() if study in studies)
        findings.append(Finding(claim, claim(table, low, high), low, high, figure))
    return findings


def ledger_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return the ledger: a row for each claim with its verdict, the counts of settings, and the effect in nats."""
    rows = [
        {
            "": one.claim.number,
            "claim": one.claim.statement,
            "source": one.claim.source,
            "verdict": one.main.word,
            "for/against/undecided": _counts(one.main),
            "effect (nats)": _effect(one.main),
        }
        for one in findings
    ]
    return pd.DataFrame(rows).set_index("")


def measures_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return the verdicts by the four measures of generalization, with the settings for/against/undecided."""
    rows = []
    for finding in findings:
        if set(FOUR) <= set(finding.verdicts):
            rows.append(
                {"": finding.claim.number} | {MEASURES[name].label: _cell(finding.verdicts[name]) for name in FOUR}
            )
    return pd.DataFrame(rows).set_index("")


def weights_table(table: pd.DataFrame, lows: Sequence[float] = (0.1, 0.01, 0.001), high: float = 1.0) -> pd.DataFrame:
    """Return what the first claim's settings say for other small weights: a row for each measure, a column for each.

    Verdicts with the settings for/against/undecided, and effects in nats; by six measures, with the gaps of all three.
    """
    claim = replace(CLAIMS[0], measures=SIX)
    columns = {}
    for low in lows:
        verdicts = claim(table, low, high)
        columns[f"{low:g} against {high:g}"] = {
            MEASURES[name].label: f"{_cell(one)}; {_effect(one)}" for name, one in verdicts.items()
        }
    return pd.DataFrame(columns)


def settings_table(finding: Finding) -> pd.DataFrame:
    """Return a row for each setting that a claim looked at: its difference by each measure, with intervals, in nats."""
    told = {
        MEASURES[name].label: {
            row["where"]: row["reason"]
            or f"{in_numbers(row['difference'], row['difference_low'], row['difference_high'])}, {row['counts']}"
            for _, row in verdict.rows.iterrows()
        }
        for name, verdict in finding.verdicts.items()
    }
    settings = list(dict.fromkeys(where for column in told.values() for where in column))
    columns = {label: [column.get(where, "not measured") for where in settings] for label, column in told.items()}
    return pd.DataFrame(columns, index=pd.Index(settings, name="setting"))


def forest_rows(finding: Finding) -> pd.DataFrame:
    """Return the rows of all four measures, with a column `measure`, for `ratereg.plots.forest`."""
    return pd.concat(
        [finding.verdicts[name].rows.assign(measure=MEASURES[name].label) for name in FOUR], ignore_index=True
    )


def _counts(verdict: Verdict) -> str:
    return f"{verdict.supporting}/{verdict.opposing}/{verdict.undecided}"


def _cell(verdict: Verdict) -> str:
    return f"{verdict.word}, {_counts(verdict)}" if verdict.settings else verdict.word


def _effect(verdict: Verdict) -> str:
    return in_numbers(verdict.effect, verdict.effect_low, verdict.effect_high)
