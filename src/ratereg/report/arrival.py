"""Whether training has arrived: how the test distortion moves at the end, and whether it has been lower before."""

from typing import NamedTuple

import pandas as pd

from ratereg.report.naming import namer
from ratereg.studies import Results
from ratereg.summary import SETTING, groups

__all__ = ["ARRIVED", "Arrival", "arrivals", "arrivals_table", "describe_arrivals"]

ARRIVED = 0.01
"""The share of the distortion by which it changes from the last but one recorded step to the last, at the most, where
training has arrived; and by which it is above its lowest value, at least, where a network has overfitted."""

_MOST = 4
"""Settings that a sentence names."""


class Arrival(NamedTuple):
    """How a setting's test distortion stands at one beta, mean over seeds.

    Attributes:
        beta: the weight.
        change: from the last but one recorded step to the last, as a share of the last; NaN where there is one alone.
        above: how far the last value is above the lowest recorded one, as a share of the last.
        lowest: the step of that one.
        word: "arrived", "still falling", "rising", or "not finite" after a divergence.
    """

    beta: float
    change: float
    above: float
    lowest: int
    word: str


def arrivals(results: Results) -> dict[str, list[Arrival]]:
    """Return by the name of each setting how its test distortion stands at each beta, from the largest."""
    table = results.table[results.table["partition"] == "test"]
    name = namer(table)
    found = {}
    for setting in groups(table, SETTING):
        by_beta = groups(setting.sort_values(["beta", "step"], ascending=[False, True]), ["beta"])
        found[name(setting)] = [_arrival(rows, results.study.steps) for rows in by_beta]
    return found


def arrivals_table(results: Results) -> pd.DataFrame:
    """Return `arrivals` to be read: a row for each beta, a column for each setting."""
    return pd.DataFrame(
        {
            name: {f"{one.beta:g}": f"{one.change:+.1%}, {one.word}".replace("-", "−") for one in some}
            for name, some in arrivals(results).items()
        }
    ).rename_axis("β")


def describe_arrivals(results: Results) -> list[str]:
    """Return a warning of networks whose test distortion was still falling, and one of those that have overfitted."""
    found = arrivals(results)
    cases = sum(map(len, found.values()))
    falling = {name: [f"{one.beta:g}" for one in some if one.word == "still falling"] for name, some in found.items()}
    over = {
        name: [f"{one.beta:g} (lowest at step {one.lowest:,})" for one in some if one.above > ARRIVED]
        for name, some in found.items()
    }
    warnings = []
    if count := sum(map(len, falling.values())):
        warnings.append(
            f"Not arrived: the test distortion was still falling at the end in {count} of {cases} cases. "
            f"{_named(falling)} More steps may change the verdicts."
        )
    if count := sum(map(len, over.values())):
        warnings.append(
            f"Overfitting: the test distortion ended more than {ARRIVED:.0%} above its lowest recorded value in "
            f"{count} of {cases} cases. {_named(over)} Nothing was stopped early."
        )
    return warnings


def _arrival(rows: pd.DataFrame, steps: int) -> Arrival:
    path = rows.groupby("step")["distortion"].mean().dropna()
    beta = float(rows["beta"].iloc[0])
    if path.empty or path.index[-1] != steps:
        return Arrival(beta, float("nan"), float("nan"), 0, "not finite")
    last = float(path.iloc[-1])
    change = (last - float(path.iloc[-2])) / abs(last) if len(path) > 1 else float("nan")
    lowest = int(path.index.to_numpy()[path.to_numpy().argmin()])
    word = "still falling" if change < -ARRIVED else "rising" if change > ARRIVED else "arrived"
    return Arrival(beta, change, (last - float(path.min())) / abs(last), lowest, word)


def _named(betas: dict[str, list[str]]) -> str:
    named = [f"{name}: β = {', '.join(some)}." for name, some in betas.items() if some]
    rest = len(named) - _MOST
    return " ".join(named[:_MOST]) + (f" And {rest} more of the settings." if rest > 0 else "")
