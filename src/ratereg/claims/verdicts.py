"""From contrasts in single settings to a verdict over settings."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["ENOUGH_FOR_AN_INTERVAL", "ENOUGH_SETTINGS", "Verdict", "bootstrap_interval", "tally"]

ENOUGH_SETTINGS = 2
"""Settings that a verdict about most of them takes."""

ENOUGH_FOR_AN_INTERVAL = 6
"""Settings that an interval over settings takes: with fewer, a bootstrap interval covers far less than its level."""

_DRAWS = 10_000


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

    Arguments:
        rows: with columns `counts` and `effect`.
        negative: whether the claim is of the second kind.
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
    effect = float(effects.mean()) if settings else math.nan
    return Verdict(word, supporting, opposing, undecided, effect, *bootstrap_interval(effects), rows)


def bootstrap_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the percentile bootstrap interval of a mean over settings; NaN for fewer than six.

    Whole settings are drawn again, their seeds together. The draws are the same at every call.

    Raises:
        ValueError: the level is not between 0 and 1.

    Source: Efron (1979).
    """
    if not 0 < level < 1:
        raise ValueError(f"bootstrap_interval: level is {level!r}; give a number between 0 and 1.")
    if len(values) < ENOUGH_FOR_AN_INTERVAL:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).integers(0, len(values), (_DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
