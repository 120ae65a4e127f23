"""The ten statements that are tested, each a function from the ledger's table to verdicts, one for each measure.

Those of the paper's abstract, of the abstract of its first version, and of the abstract of its first author's thesis,
in our words. How each is tested is this project's own; the ledger's chapter says what was fixed before which result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from ratereg.claims.gather import FOUR, IDENTITY
from ratereg.claims.settings import (
    capacity_of,
    difficulty_of,
    growing,
    lowering,
    lowering_when_saturated,
    underfitting,
)
from ratereg.claims.verdicts import Verdict, tally
from ratereg.summary import groups

__all__ = ["CLAIMS", "Claim"]

Rows = Callable[[pd.DataFrame, str, float, float], pd.DataFrame]

_COUNTS = {"not enough data": "too few seeds", "undecided": "undecided", "": "not counted"}


@dataclass(frozen=True)
class Claim:
    """A statement, and how results are asked about it.

    Attributes:
        number: in the ledger.
        statement: what is claimed, in short.
        source: whose abstract claims it.
        rows: what each setting says, from the ledger's table, a measure, and the smaller and the larger weight.
        supports: the verdict on a setting that speaks for the claim, "improves" or "worsens".
        effect: the averaged effect in words, with {measure}, {low} and {high} to be filled in.
        figures: the label of the figure that shows it, by the study that it needs ("" for none); the first there is.
        measures: the names of the measures by which it is judged, the ledger's verdict being by the first.
        unit: what is counted, in words.
        negative: whether it says that something is not so in most settings.
    """

    number: int
    statement: str
    source: str
    rows: Rows
    supports: str
    effect: str
    figures: Mapping[str, str] = field(default_factory=lambda: {"": "fig-ledger"})
    measures: tuple[str, ...] = FOUR
    unit: str = "setting"
    negative: bool = False

    def __call__(self, table: pd.DataFrame, low: float = 0.1, high: float = 1.0) -> dict[str, Verdict]:
        """Return the verdict by each measure.

        Arguments:
            table: from `gather`.
            low: the smaller weight of the rate, in claims that compare two.
            high: the larger one.

        Raises:
            ValueError: `low` is not below `high`.
        """
        if not low < high:
            raise ValueError(f"Claim: low is {low} and high {high}; give a low that is below high.")
        return {name: tally(self._counted(table, name, low, high), negative=self.negative) for name in self.measures}

    def _counted(self, table: pd.DataFrame, measure: str, low: float, high: float) -> pd.DataFrame:
        rows = self.rows(table, measure, low, high)
        opposes = "worsens" if self.supports == "improves" else "improves"
        return rows.assign(counts=rows["verdict"].map(_COUNTS | {self.supports: "for", opposes: "against"}))


def _among(rows: Rows, kind: Callable[[pd.DataFrame], bool]) -> Rows:
    """Return the function that gives the rows of settings of one kind alone."""

    def of_kind(table: pd.DataFrame, measure: str, low: float, high: float) -> pd.DataFrame:
        chosen = [setting for setting in groups(table, IDENTITY) if kind(setting)]
        return rows(pd.concat([table.iloc[:0], *chosen]), measure, low, high)

    return of_kind


def _is_easy(rows: pd.DataFrame) -> bool:
    return difficulty_of(rows) == "easy"


def _is_hard(rows: pd.DataFrame) -> bool:
    return difficulty_of(rows) == "hard"


def _growing_at_high(table: pd.DataFrame, measure: str, low: float, high: float) -> pd.DataFrame:
    return growing(table, measure, high)


def _growing_at_low(table: pd.DataFrame, measure: str, low: float, high: float) -> pd.DataFrame:
    return growing(table, measure, low)


_PAPER, _VERSION_1, _THESIS = "the paper", "version 1", "the thesis"
_LOWERING = "the change of the {measure} from β = {high:g} to {low:g}"
_GROWING_HIGH = "the {measure} of the larger network less that of the smaller one at β = {high:g}"
_GROWING_LOW = "the {measure} of the larger network less that of the smaller one at β = {low:g}"
_SATURATION = {"saturation": "fig-saturation", "capacity": "fig-capacity-information", "": "fig-ledger"}
_WIDTH = {"width": "fig-capacity-width", "": "fig-ledger"}
_HARD = {"capacity": "fig-capacity", "difficulty": "fig-difficulty", "": "fig-ledger"}
_EASY = {"difficulty": "fig-difficulty", "": "fig-ledger"}

CLAIMS = (
    Claim(
        1,
        "Lowering the strength of the rate term improves generalization in most settings",
        _PAPER,
        lowering,
        "improves",
        _LOWERING,
    ),
    Claim(
        2,
        "Reducing the mutual information typically leads to underfitting",
        _PAPER,
        lambda table, measure, low, high: underfitting(table),
        "worsens",
        "the rise of the {measure} from the smallest β to the largest that reduces the mutual information",
        _SATURATION,
        measures=("train_distortion",),
    ),
    Claim(
        3,
        "Generalization continues to improve after the mutual information saturates",
        _PAPER,
        lambda table, measure, low, high: lowering_when_saturated(table, measure),
        "improves",
        "the change of the {measure} from the larger to the smaller of the two saturated β",
        _SATURATION,
    ),
    Claim(
        4,
        "The standard Gaussian prior is not an inductive bias that typically improves generalization",
        _PAPER,
        lowering,
        "improves",
        _LOWERING,
        negative=True,
    ),
    Claim(
        5,
        "On easy problems more capacity helps",
        _VERSION_1,
        _among(_growing_at_high, _is_easy),
        "improves",
        _GROWING_HIGH,
        _EASY,
        unit="pair of networks",
    ),
    Claim(
        6,
        "On hard problems more capacity hurts with the standard objective",
        _VERSION_1,
        _among(_growing_at_high, _is_hard),
        "worsens",
        _GROWING_HIGH,
        _HARD,
        unit="pair of networks",
    ),
    Claim(
        7,
        "On hard problems more capacity helps once the weight of the rate is lowered",
        _VERSION_1,
        _among(_growing_at_low, _is_hard),
        "improves",
        _GROWING_LOW,
        _HARD,
        unit="pair of networks",
    ),
    Claim(
        8,
        "Lowering the weight worsens the generalization of low-capacity models",
        _THESIS,
        # Of easy tasks the thesis says otherwise: the last statement.
        _among(lowering, lambda rows: capacity_of(rows) == "low" and not _is_easy(rows)),
        "worsens",
        _LOWERING,
        _WIDTH,
    ),
    Claim(
        9,
        "Lowering the weight improves the generalization of high-capacity models",
        _THESIS,
        _among(lowering, lambda rows: capacity_of(rows) == "high"),
        "improves",
        _LOWERING,
        _WIDTH,
    ),
    Claim(
        10,
        "In easier tasks lowering the weight helps low-capacity models too",
        _THESIS,
        _among(lowering, lambda rows: capacity_of(rows) == "low" and _is_easy(rows)),
        "improves",
        _LOWERING,
        _EASY,
    ),
)
"""The statements in the ledger's order: four of the paper, three of its first version, three of the thesis."""
