"""The ten statements that are tested, as data, and the verdict on each over settings.

The statements are those of the paper's abstract, of the abstract of its first version, and of the abstract of its first
author's thesis, in our words. How each is tested is this project's own; the ledger's chapter says what was fixed before
which result.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from ratereg.claims.measures import FOUR
from ratereg.claims.settings import capacity_of, difficulty_of, growing, lowering, lowering_when_saturated, underfitting
from ratereg.summary import groups

__all__ = ["CLAIMS", "ENOUGH_SETTINGS", "Claim", "Verdict", "tally"]

ENOUGH_SETTINGS = 2
"""Settings that a verdict about most of them takes."""

ENOUGH_FOR_AN_INTERVAL = 6
"""Settings that an interval over settings takes: with fewer, a bootstrap interval covers far less than its level."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the settings say of a claim by one measure.

    Attributes:
        word: "supported", "contradicted", "mixed" or "not enough data".
        supporting, opposing, undecided: how many settings with enough seeds speak for it, against it, or neither.
        effect: mean over these settings of what the claim is about, in nats; NaN if there are none.
        effect_low, effect_high: ends of its 95% bootstrap interval over settings; NaN for fewer than six.
        rows: one for each setting that was looked at; `counts` is "for", "against", "undecided", "too few seeds" or
            "not counted", the last with a `reason`.
    """

    word: str
    supporting: int
    opposing: int
    undecided: int
    effect: float
    effect_low: float
    effect_high: float
    rows: pd.DataFrame

    @property
    def settings(self) -> int:
        """How many settings have enough seeds."""
        return self.supporting + self.opposing + self.undecided


def tally(rows: pd.DataFrame, *, negative: bool = False) -> Verdict:
    """Count settings, and say what most of them say.

    A claim is supported if more than half of the settings with enough seeds speak for it, contradicted if more than
    half speak against it, and mixed otherwise. A negative claim, that something is not so in most settings, is
    supported if at most half speak against it even when all undecided ones are counted with them.

    The rows have the columns `counts` and `effect`. The effect's interval is the percentile bootstrap over whole
    settings, their seeds together (Efron 1979).
    """
    counted = ("for", "against", "undecided")
    supporting, opposing, undecided = (int((rows["counts"] == name).sum()) for name in counted)
    settings = supporting + opposing + undecided
    if settings < ENOUGH_SETTINGS:
        word = "not enough data"
    elif 2 * opposing > settings:
        word = "contradicted"
    elif 2 * (opposing + undecided) <= settings if negative else 2 * supporting > settings:
        word = "supported"
    else:
        word = "mixed"
    effects = rows.loc[rows["counts"].isin(counted), "effect"].to_numpy(dtype=float)
    low = high = math.nan
    if settings >= ENOUGH_FOR_AN_INTERVAL:
        # The draws are the same at every call.
        rng = np.random.default_rng(0)
        found = stats.bootstrap((effects,), np.mean, n_resamples=10_000, method="percentile", rng=rng)
        low, high = map(float, found.confidence_interval)
    effect = float(effects.mean()) if settings else math.nan
    return Verdict(word, supporting, opposing, undecided, effect, low, high, rows)


@dataclass(frozen=True)
class Claim:
    """A statement, and how results are asked about it.

    Attributes:
        supports: verdict on a setting that speaks for the claim, "improves" or "worsens".
        figures: label of the figure that shows it, by the study that it needs ("" for none); the first there is.
        rows: what each setting says, from the ledger's table, a measure, and the smaller and the larger weight.
        effect: averaged effect in words, with {measure}, {low} and {high} to be filled in.
        unit: what is counted, in words.
        measures: names of the measures by which it is judged, the ledger's verdict being by the first.
        difficulty, capacity: problems and networks that it is about, as of `difficulty_of` and `capacity_of`.
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
        """Return the verdict of the table from `gather` by each measure, as `ratereg.claims.ledger` does."""
        if not low < high:
            raise ValueError(f"Claim: low is {low} and high {high}; give a low that is below high.")
        parts = groups(table, ["problem"])
        about = [one for one in parts if difficulty_of(one) in self.difficulty and capacity_of(one) in self.capacity]
        asked = pd.concat([table.iloc[:0], *about])
        counts = {"improves": "against", "worsens": "against", self.supports: "for"}
        counts |= {"not enough data": "too few seeds", "undecided": "undecided", "": "not counted"}
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
    _growing,
    rows=lambda table, measure, low, high: growing(table, measure, low),
    effect="the {measure} of the larger network less that of the smaller one at β = {low:g}",
)

_CEILING = {"saturation": "fig-saturation", "capacity": "fig-capacity-information", "": "fig-ledger"}
_WIDTH = {"width": "fig-capacity-width", "": "fig-ledger"}
_HARD = {"capacity": "fig-capacity", "difficulty": "fig-difficulty", "": "fig-ledger"}
_EASY = {"difficulty": "fig-difficulty", "": "fig-ledger"}
_PAPER, _FIRST, _THESIS = "the paper", "version 1", "the thesis"

_IMPROVES = "Lowering the strength of the rate term improves generalization in most settings"
_UNDERFITS = "Reducing the mutual information typically leads to underfitting"
_GOES_ON = "Generalization continues to improve after the mutual information saturates"
_NO_BIAS = "The standard Gaussian prior is not an inductive bias that typically improves generalization"
_MORE_HELPS = "On easy problems more capacity helps"
_MORE_HURTS = "On hard problems more capacity hurts with the standard objective"
_MORE_HELPS_LOWERED = "On hard problems more capacity helps once the weight of the rate is lowered"
_SMALL_WORSENS = "Lowering the weight worsens the generalization of low-capacity models"
_LARGE_IMPROVES = "Lowering the weight improves the generalization of high-capacity models"
_SMALL_IMPROVES = "In easier tasks lowering the weight helps low-capacity models too"

CLAIMS = (
    Claim(1, _IMPROVES, _PAPER, "improves"),
    _underfitting(2, _UNDERFITS, _PAPER, "worsens", _CEILING),
    _saturated(3, _GOES_ON, _PAPER, "improves", _CEILING),
    Claim(4, _NO_BIAS, _PAPER, "improves", negative=True),
    _growing(5, _MORE_HELPS, _FIRST, "improves", _EASY, difficulty=("easy",)),
    _growing(6, _MORE_HURTS, _FIRST, "worsens", _HARD, difficulty=("hard",)),
    _growing_when_lowered(7, _MORE_HELPS_LOWERED, _FIRST, "improves", _HARD, difficulty=("hard",)),
    # Of easy tasks the thesis says otherwise: the last statement.
    Claim(8, _SMALL_WORSENS, _THESIS, "worsens", _WIDTH, difficulty=("hard", ""), capacity=("low",)),
    Claim(9, _LARGE_IMPROVES, _THESIS, "improves", _WIDTH, capacity=("high",)),
    Claim(10, _SMALL_IMPROVES, _THESIS, "improves", _EASY, difficulty=("easy",), capacity=("low",)),
)
"""The statements in the ledger's order: four of the paper, three of its first version, three of the thesis."""
