"""Temperatures along an annealing path."""

import itertools
import math
from collections.abc import Sequence

import torch

__all__ = ["checked_schedule", "geometric_schedule", "sigmoid_schedule"]


def sigmoid_schedule(temperatures: int, sharpness: float = 4.0) -> list[float]:
    """Return temperatures from 0 to 1 in `temperatures` steps, dense near both ends.

    t_k is the sigmoid of equal steps from -`sharpness` to `sharpness`, scaled to [0, 1]. Near t = 1 a start narrower
    than the target changes fastest, near t = 0 one that is wider: there the relative change of the path's precision is
    largest. At a sharpness of 4 the steps at the ends are 14 times smaller than in the middle.

    Raises:
        ValueError: `temperatures` is below 1, or `sharpness` is not positive.

    Source: Grosse, Ghahramani and Adams (2015), Sandwiching the marginal likelihood using bidirectional Monte Carlo.
    """
    _check_steps(temperatures)
    if not (math.isfinite(sharpness) and sharpness > 0):
        raise ValueError(f"sharpness is {sharpness!r}; give a positive number.")
    curve = torch.linspace(-sharpness, sharpness, temperatures + 1, dtype=torch.float64).sigmoid()
    inner = (curve[1:-1] - curve[0]) / (curve[-1] - curve[0])
    return [0.0, *inner.tolist(), 1.0]


def geometric_schedule(temperatures: int, last: float, offset: float = 0.01) -> list[float]:
    """Return temperatures from 0 to `last` in `temperatures` steps: equal ratios above `offset`, equal steps below.

    t_k = offset [(1 + last / offset)^(k / temperatures) - 1]. The path from the prior changes by about the same amount
    for each doubling of t, from where t times the spread of the distortion is about 1.

    Raises:
        ValueError: `temperatures` is below 1, or `last` or `offset` is not positive.
    """
    _check_steps(temperatures)
    if not (0 < last < math.inf and 0 < offset < math.inf):
        raise ValueError(f"last and offset are {last!r} and {offset!r}; give positive temperatures.")
    growth = math.log1p(last / offset) / temperatures
    return [*(offset * math.expm1(growth * k) for k in range(temperatures)), float(last)]


def checked_schedule(temperatures: int | Sequence[float]) -> list[float]:
    """Return the schedule itself, or `sigmoid_schedule` of a number of steps.

    Raises:
        ValueError: it does not rise strictly from 0 to 1.
    """
    if isinstance(temperatures, int):
        return sigmoid_schedule(temperatures)
    schedule = [float(temperature) for temperature in temperatures]
    rises = all(low < high for low, high in itertools.pairwise(schedule))
    if len(schedule) < 2 or schedule[0] != 0 or schedule[-1] != 1 or not rises:
        raise ValueError(f"temperatures has {len(schedule)} entries that do not rise strictly from 0 to 1; give some.")
    return schedule


def _check_steps(temperatures: int) -> None:
    if temperatures < 1:
        raise ValueError(f"temperatures is {temperatures}; give at least 1 step, some hundreds for a good estimate.")
