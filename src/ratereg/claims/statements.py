"""The ten statements that are tested, as data.

Those of the paper's abstract, of the abstract of its first version, and of the abstract of its first author's thesis,
in our words. How each is tested is this project's own; the ledger's chapter says what was fixed before which result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pandas as pd

from ratereg.claims.measures import FOUR
from ratereg.claims.settings import capacity_of, difficulty_of, growing, lowering, lowering_when_saturated, underfitting
from ratereg.claims.verdicts import Verdict, tally
from ratereg.summary import groups

__all__ = ["CLAIMS", "Claim"]

_COUNTS = {"not enough data": "too few seeds", "undecided": "undecided", "": "not counted"}


@dataclass(frozen=True)
class Claim:
    """A statement, and how results are asked about it.

    Attributes:
        number: in the ledger.
        statement: what is claimed, in short.
        source: whose abstract claims it.
        supports: verdict on a setting that speaks for the claim, "improves" or "worsens".
        figures: label of the figure that shows it, by the study that it needs ("" for none); the first there is.
        rows: what each setting says, from the ledger's table, a measure, and the smaller and the larger weight.
        effect: averaged effect in words, with {measure}, {low} and {high} to be filled in.
        unit: what is counted, in words.
        measures: names of the measures by which it is judged, the ledger's verdict being by the first.
        difficulty: problems that it is about, as of `difficulty_of`.
        capacity: networks that it is about, as of `capacity_of`.
        negative: whether it says that something is not so in most settings.
    """

    number: int
    statement: str
    source: str
    supports: str
    figures: Mapping[str, str] = field(default_factory=lambda: {"": "fig-ledger"})
    rows: Callable[[pd.DataFrame, str, float, float], pd.DataFrame] = field(default_factory=lambda: lowering)
    effect: str = "the change of the {measure} from β = {high:g} to {low:g}"
    unit: str = "setting"
    measures: tuple[str, ...] = FOUR
    difficulty: tuple[str, ...] = ("easy", "hard", "")
    capacity: tuple[str, ...] = ("low", "high", "")
    negative: bool = False

    def __call__(self, table: pd.DataFrame, low: float = 0.1, high: float = 1.0) -> dict[str, Verdict]:
        """Return the verdict by each measure.

        Arguments:
            table: from `gather`.
            low: smaller weight of the rate, in claims that compare two.
            high: larger weight.

        Raises:
            ValueError: `low` is not below `high`.
        """
        if not low < high:
            raise ValueError(f"Claim: low is {low} and high {high}; give a low that is below high.")
        parts = groups(table, ["problem"])
        about = [one for one in parts if difficulty_of(one) in self.difficulty and capacity_of(one) in self.capacity]
        asked = pd.concat([table.iloc[:0], *about])
        opposes = "worsens" if self.supports == "improves" else "improves"
        counts = _COUNTS | {self.supports: "for", opposes: "against"}
        verdicts = {}
        for name in self.measures:
            rows = self.rows(asked, name, low, high)
            verdicts[name] = tally(rows.assign(counts=rows["verdict"].map(counts)), negative=self.negative)
        return verdicts


_underfitting = partial(
    Claim,
    rows=lambda table, measure, low, high: underfitting(table),
    effect="the rise of the {measure} from the smallest β to the largest that reduces the mutual information",
    measures=("train_distortion",),
)
_saturated = partial(
    Claim,
    rows=lambda table, measure, low, high: lowering_when_saturated(table, measure),
    effect="the change of the {measure} from the larger to the smaller of the two saturated β",
)
_growing = partial(
    Claim,
    rows=lambda table, measure, low, high: growing(table, measure, high),
    effect="the {measure} of the larger network less that of the smaller one at β = {high:g}",
    unit="pair of networks",
)
_growing_when_lowered = partial(
    Claim,
    rows=lambda table, measure, low, high: growing(table, measure, low),
    effect="the {measure} of the larger network less that of the smaller one at β = {low:g}",
    unit="pair of networks",
)

_CEILING = {"saturation": "fig-saturation", "capacity": "fig-capacity-information", "": "fig-ledger"}
_WIDTH = {"width": "fig-capacity-width", "": "fig-ledger"}
_HARD = {"capacity": "fig-capacity", "difficulty": "fig-difficulty", "": "fig-ledger"}
_EASY = {"difficulty": "fig-difficulty", "": "fig-ledger"}
_PAPER, _FIRST, _THESIS = "the paper", "version 1", "the thesis"

CLAIMS = (
    Claim(1, "Lowering the strength of the rate term improves generalization in most settings", _PAPER, "improves"),
    _underfitting(2, "Reducing the mutual information typically leads to underfitting", _PAPER, "worsens", _CEILING),
    _saturated(
        3, "Generalization continues to improve after the mutual information saturates", _PAPER, "improves", _CEILING
    ),
    Claim(
        4,
        "The standard Gaussian prior is not an inductive bias that typically improves generalization",
        _PAPER,
        "improves",
        negative=True,
    ),
    _growing(5, "On easy problems more capacity helps", _FIRST, "improves", _EASY, difficulty=("easy",)),
    _growing(
        6,
        "On hard problems more capacity hurts with the standard objective",
        _FIRST,
        "worsens",
        _HARD,
        difficulty=("hard",),
    ),
    _growing_when_lowered(
        7,
        "On hard problems more capacity helps once the weight of the rate is lowered",
        _FIRST,
        "improves",
        _HARD,
        difficulty=("hard",),
    ),
    # Of easy tasks the thesis says otherwise: the last statement.
    Claim(
        8,
        "Lowering the weight worsens the generalization of low-capacity models",
        _THESIS,
        "worsens",
        _WIDTH,
        difficulty=("hard", ""),
        capacity=("low",),
    ),
    Claim(
        9,
        "Lowering the weight improves the generalization of high-capacity models",
        _THESIS,
        "improves",
        _WIDTH,
        capacity=("high",),
    ),
    Claim(
        10,
        "In easier tasks lowering the weight helps low-capacity models too",
        _THESIS,
        "improves",
        _EASY,
        difficulty=("easy",),
        capacity=("low",),
    ),
)
"""The statements in the ledger's order: four of the paper, three of its first version, three of the thesis."""
