"""The ledger: every claim with its verdicts, tables of them, and words that follow from the numbers alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ratereg.claims.contrasts import ENOUGH_SEEDS, in_numbers, signed
from ratereg.claims.measures import FOUR, MEASURES, SIX
from ratereg.claims.records import plural
from ratereg.claims.saturation import LOWS
from ratereg.claims.statements import CLAIMS, ENOUGH_SETTINGS, Claim, Verdict
from ratereg.summary import labels

__all__ = [
    "Finding",
    "describe_claim",
    "forest_rows",
    "ledger",
    "ledger_table",
    "measures_table",
    "settings_table",
    "summarize",
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
        table: table from `gather`.
        low: smaller weight of the rate, in claims that compare two.
        high: larger weight of the rate.
        claims: claims to judge.

    Raises:
        ValueError: `low` is not below `high`.
    """
    studies = {"", *table["study"]}
    figures = [next(label for study, label in claim.figures.items() if study in studies) for claim in claims]
    return [Finding(one, one(table, low, high), low, high, figure) for one, figure in zip(claims, figures, strict=True)]


def ledger_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return the ledger: a row for each claim with its verdict, the counts of settings, and the effect in nats."""
    rows = [
        {
            "": one.claim.number,
            "claim": one.claim.statement,
            "source": one.claim.source,
            "verdict": one.main.word,
            "for/against/undecided": _counts(one.main),
            "effect (nats)": in_numbers(_effect(one.main)),
        }
        for one in findings
    ]
    return pd.DataFrame(rows).set_index("")


def measures_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return the verdicts by the four measures of generalization, with the settings for/against/undecided."""
    rows = [
        {"": one.claim.number} | {MEASURES[name].label: _cell(one.verdicts[name]) for name in FOUR}
        for one in findings
        if set(FOUR) <= set(one.verdicts)
    ]
    return pd.DataFrame(rows).set_index("")


def weights_table(table: pd.DataFrame, high: float = 1.0) -> pd.DataFrame:
    """Return what the first claim's settings say for other small weights: a row for each measure, a column for each.

    Verdicts with the settings for/against/undecided, and effects in nats; by six measures, with the gaps of all three.
    """
    claim = replace(CLAIMS[0], measures=SIX)
    columns = {}
    for low in LOWS:
        verdicts = claim(table, low, high).items()
        cells = {MEASURES[name].label: f"{_cell(one)}; {in_numbers(_effect(one))}" for name, one in verdicts}
        columns[f"{low:g} against {high:g}"] = cells
    return pd.DataFrame(columns)


def forest_rows(finding: Finding) -> pd.DataFrame:
    """Return the rows of all measures, named in the column `measure`, for `ratereg.plots.forest`."""
    parts = [one.rows.assign(measure=MEASURES[name].label) for name, one in finding.verdicts.items()]
    return pd.concat([one for one in parts if len(one)] or parts, ignore_index=True)


def settings_table(finding: Finding) -> pd.DataFrame:
    """Return a row for each setting that a claim looked at: its difference by each measure, with intervals, in nats."""
    rows = forest_rows(finding)
    cells: dict[str, dict[str, str]] = {MEASURES[name].label: {} for name in finding.verdicts}
    for (_, row), (data, network) in zip(rows.iterrows(), labels(rows, short=True).to_numpy(), strict=True):
        pair = f"{row['to_name']} against {row['from_name']}" if row["along"] != "beta" else ""
        setting = f"{data}: {', '.join(filter(None, [pair, network]))}"
        cells[row["measure"]][setting] = row["reason"] or f"{in_numbers(row)}, {row['counts']}"
    settings = dict.fromkeys(setting for column in cells.values() for setting in column)
    return pd.DataFrame(cells, index=pd.Index(settings, name="setting"), dtype=object).fillna("not measured")


def describe_claim(finding: Finding) -> str:
    """Return Markdown: the verdict, the settings that it rests on, the effect, and whether other measures agree."""
    parts = [_headline(finding), _left_out(finding), _remark(finding), _agreement(finding)]
    return " ".join(part for part in [*parts, f"It is shown in {{numref}}`{finding.figure}`."] if part)


def summarize(findings: Sequence[Finding]) -> str:
    """Return a Markdown list of claims with their verdicts in short, and a sentence on what is not tested."""
    items = [f"{one.claim.number}. *{one.claim.statement}.* {_headline(one)} {_agreement(one)}" for one in findings]
    untested = (
        "Which priors would do better, the open end of the fourth claim, is not tested: every network here has the "
        "standard Gaussian prior."
    )
    return "\n".join(item.rstrip() for item in items) + f"\n\n{untested}"


def _headline(finding: Finding) -> str:
    main, claim = finding.main, finding.claim
    word, label = f"**{main.word.capitalize()}.**", MEASURES[claim.measures[0]].label
    if not main.settings:
        return f"{word} No {claim.unit} has the {ENOUGH_SEEDS} seeds that the contrast takes, by the {label}."
    few = f"; a verdict takes {plural(ENOUGH_SETTINGS, claim.unit)}" if main.settings < ENOUGH_SETTINGS else ""
    effect = claim.effect.format(measure=label, low=finding.low, high=finding.high)
    return (
        f"{word} By the {label}: {main.supporting} for it, {main.opposing} against it and {main.undecided} undecided, "
        f"of {plural(main.settings, claim.unit)} with at least {ENOUGH_SEEDS} seeds{few}. "
        f"{'In the mean over these' if main.settings > 1 else 'There'}, {effect} is {signed(_effect(main))}."
    )


def _left_out(finding: Finding) -> str:
    rows, unit = finding.main.rows, finding.claim.unit
    sentences = []
    if few := int((rows["counts"] == "too few seeds").sum()):
        sentences.append(f"{plural(few, f'more {unit}')} {'has' if few == 1 else 'have'} too few seeds.")
    for reason, count in rows.loc[rows["counts"] == "not counted", "reason"].value_counts(sort=False).items():
        sentences.append(f"{plural(count, unit)} {'says' if count == 1 else 'say'} nothing, as {reason}.")
    return " ".join(sentences)


def _remark(finding: Finding) -> str:
    """Say whether training distortion rises before any mutual information is lost, in claims that look at this."""
    verdicts = finding.main.rows.get("while_saturated", pd.Series(dtype=str))
    judged = verdicts[~verdicts.isin(["", "not enough data"])]
    if judged.empty:
        return ""
    rises = int((judged == "worsens").sum())
    return (
        f"In {rises} of the {plural(len(judged), 'setting')} in which more than the smallest β saturates the mutual "
        "information, the training distortion is more than 5% up already at the largest β that does"
        + (": underfitting without a loss of mutual information." if rises else ".")
    )


def _agreement(finding: Finding) -> str:
    """Say what the other measures say."""
    told = {MEASURES[name].label: one for name, one in finding.verdicts.items() if one is not finding.main}
    word, words = finding.main.word, {one.word for one in told.values()}
    if not told:
        return ""
    if words == {word} and finding.main.settings >= ENOUGH_SETTINGS:
        return "The other measures agree."
    disagree = word != "not enough data" and not words <= {word, "not enough data"}
    said = (
        f"{label}, {one.word} ({one.supporting} for, {one.opposing} against, {one.undecided} undecided)"
        for label, one in told.items()
    )
    return f"{'**The measures disagree**' if disagree else 'Other measures'}: {'; '.join(said)}."


def _counts(verdict: Verdict) -> str:
    return f"{verdict.supporting}/{verdict.opposing}/{verdict.undecided}"


def _cell(verdict: Verdict) -> str:
    return f"{verdict.word}, {_counts(verdict)}" if verdict.settings else verdict.word


def _effect(verdict: Verdict) -> pd.Series:
    """Return a verdict's effect and its interval as they stand in a contrast."""
    ends = {"difference_low": verdict.effect_low, "difference_high": verdict.effect_high}
    return pd.Series({"difference": verdict.effect} | ends)
