"""What a report says of its results by the definitions of the book's ledger."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from ratereg.claims import gather
from ratereg.claims.contrasts import ENOUGH_SEEDS, in_numbers, signed
from ratereg.claims.gather import FOUR, MEASURES, longest
from ratereg.claims.settings import lowering, lowering_when_saturated, saturated_betas, underfitting
from ratereg.claims.statements import CLAIMS
from ratereg.report.arrival import describe_arrivals
from ratereg.report.naming import namer
from ratereg.studies import Results
from ratereg.summary import groups, mean_interval

__all__ = ["HIGH", "LOW", "Findings", "curve_table"]

LOW, HIGH = 0.1, 1.0
"""The weights that are compared, as in the book."""

FEW_IMAGES = 1_000
"""Training images below which a report warns."""


class Findings:
    """What results say by the definitions of the ledger.

    Raises:
        ValueError: a study has no training or test rows.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        # The ledger leaves out schedules, as it compares results; here there is one alone.
        self.table = gather([replace(results, study=results.study.replace(schedule="constant"))])
        self.lowered = {name: lowering(self.table, name, LOW, HIGH) for name in FOUR}
        self._name = namer(self.table)

    @property
    def compared(self) -> bool:
        """Whether both weights were measured."""
        return {LOW, HIGH} <= set(self.results.study.axis_betas)

    @property
    def judged(self) -> list[str]:
        """The names of the measures that there are."""
        return [name for name, rows in self.lowered.items() if len(rows)]

    def counts(self) -> str:
        """Return a sentence that counts what lowering the weight does to the test distortion, over settings."""
        found = self.lowered["distortion"]["verdict"].value_counts()
        told = ", ".join(f"{word} in {number}" for word, number in found.items())
        settings = int(found.sum())
        return f"By the test distortion it {told} of {settings} network{'' if settings == 1 else 's'}."

    def answers(self) -> list[tuple[str, str]]:
        """Return each setting's name, and a sentence on what lowering the weight does to it, by each measure."""
        phrases = {
            "improves": "the test distortion improves ({}).",
            "worsens": "the test distortion worsens ({}).",
            "undecided": "undecided by the test distortion ({}).",
            "not enough data": "the test distortion changes ({}): not enough data for a verdict.",
        }
        return [
            (name, phrases[row["verdict"]].format(signed(row)) + self._otherwise(row["where"]))
            for name, row in self._named(self.lowered["distortion"])
        ]

    def _otherwise(self, where: str) -> str:
        told = [
            f"{MEASURES[measure].label}: {rows.loc[rows['where'] == where, 'verdict'].iloc[0]}"
            for measure, rows in self.lowered.items()
            if measure != "distortion" and (rows["where"] == where).any()
        ]
        return f" Judged in other ways: {'; '.join(told)}." if told else ""

    def lowering_table(self) -> pd.DataFrame:
        """Return a row for each measure, a column for each setting: the change, its interval, and the verdict."""
        columns: dict[str, dict[str, str]] = {}
        for measure in self.judged:
            for name, row in self._named(self.lowered[measure]):
                change = in_numbers(row["difference"], row["difference_low"], row["difference_high"])
                columns.setdefault(name, {})[MEASURES[measure].label] = f"{change}: {row['verdict']}"
        return pd.DataFrame(columns).fillna("not measured").rename_axis("judged by")

    def forest(self) -> pd.DataFrame:
        """Return all contrasts with a column `measure`, for `ratereg.plots.forest`."""
        rows = [self.lowered[name].assign(measure=MEASURES[name].label) for name in self.judged]
        return pd.concat(rows, ignore_index=True)

    def saturation_table(self) -> pd.DataFrame:
        """Return how far below log N the training images' mutual information is: a row for each beta, in nats."""
        columns = {}
        for setting in longest(self.table):
            train = setting[setting["partition"] == "train"]
            room = (train["log_n"] - train["mutual_information"]).groupby(train["beta"]).mean()
            saturated = saturated_betas(setting)
            columns[self._name(setting)] = {"log N": f"{train['log_n'].iloc[0]:.2f}"} | {
                f"β = {beta:g}": f"{max(room[beta], 0):.2f} below{', saturated' * (beta in saturated)}"
                for beta in sorted(room.index, reverse=True)
            }
        return pd.DataFrame(columns).rename_axis("at")

    def underfitting(self) -> list[tuple[str, str]]:
        """Return each setting's name, and whether a weight that reduces the mutual information underfits."""
        words = {"worsens": "it underfits", "improves": "it does not underfit", "undecided": "undecided"}
        told = []
        for name, row in self._named(underfitting(self.table)):
            if row["reason"]:
                told.append((name, f"nothing to judge, as {row['reason']}."))
                continue
            rise = f"{row['effect']:+.1f} nats".replace("-", "−")
            told.append(
                (
                    name,
                    f"{words.get(row['verdict'], 'not enough data')} at β = {row['to']:g}, the largest weight that "
                    f"reduces the mutual information: {rise} of training distortion against β = {row['from']:g}.",
                )
            )
        return told

    def after_saturation(self) -> list[tuple[str, str]]:
        """Return each setting's name, and what lowering the weight further does once the information is saturated."""
        told = []
        for name, row in self._named(lowering_when_saturated(self.table, "distortion")):
            if row["reason"]:
                told.append((name, f"nothing to compare, as {row['reason']}."))
            else:
                change = f"the test distortion changes by {signed(row)}: {row['verdict']}."
                told.append((name, f"from β = {row['from']:g} to {row['to']:g}, both saturated, {change}"))
        return told

    def claims_table(self) -> pd.DataFrame:
        """Return the paper's statements with their verdicts on these settings, by the ledger's rules."""
        rows = {}
        for claim in (one for one in CLAIMS if one.source == "the paper"):
            verdict = next(iter(claim(self.table, LOW, HIGH).values()))
            counts = f"{verdict.supporting} / {verdict.opposing} / {verdict.undecided}"
            rows[claim.statement] = {"verdict": verdict.word, "for / against / undecided": counts}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("statement")

    def warnings(self) -> list[str]:
        """Return what a reader should know before believing the rest."""
        study, final = self.results.study, self.results.final
        told = []
        if not self.compared:
            told.append(f"No verdict on lowering the weight: β = {HIGH:g} and β = {LOW:g} were not both measured.")
        if (seeds := len(study.axis_seeds)) < ENOUGH_SEEDS:
            told.append(
                f"Too few seeds: {seeds}, and a verdict takes {ENOUGH_SEEDS}. All verdicts are “not enough data”."
            )
        images = int(final.loc[final["partition"] == "train", "n_train"].min())
        if images < FEW_IMAGES:
            told.append(
                f"Few images: {images:,} for training. The ceiling of the mutual information is low, and another "
                "choice of training images might say something else."
            )
        if diverged := final.loc[final["diverged_at"].notna(), "member"].nunique():
            told.append(f"Divergence: {diverged} of {len(study)} networks are left out of what is said.")
        return told + describe_arrivals(self.results)

    def _named(self, rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
        for index in range(len(rows)):
            yield self._name(rows.iloc[[index]]), rows.iloc[index]


def curve_table(setting: pd.DataFrame) -> pd.DataFrame:
    """Return rate, its parts and distortion of one setting's last step by beta: means and half intervals, in nats."""
    columns = [("train", name) for name in _LETTERS] + [("test", "rate"), ("test", "distortion")]
    rows = {}
    for at_beta in groups(setting.sort_values("beta", ascending=False), ["beta"]):
        cells = {}
        for side, column in columns:
            one = mean_interval(at_beta.loc[at_beta["partition"] == side, column].dropna())
            half = f" ± {one.half_width:.1f}" if one.seeds > 1 else ""
            cells[f"{_LETTERS[column]}, {'training' if side == 'train' else side}"] = f"{one.mean:.1f}{half}"
        rows[f"{at_beta['beta'].iloc[0]:g}"] = cells
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("β")


_LETTERS = {"rate": "R", "mutual_information": "I", "marginal_kl": "KL", "distortion": "D"}
