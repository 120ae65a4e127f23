"""The rate-distortion curve of a decoder under optimal inference, whatever the encoder is.

For a fixed decoder and prior, the posteriors that minimize distortion + beta x rate are proportional to
p(z) exp(-D(x, z) / beta). Annealing from the prior through t = 1 / beta visits all of them in one run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from ratereg.evaluation.annealed_walk import Chains, Walk, path_from_prior, tuned_walk
from ratereg.evaluation.images import Images
from ratereg.evaluation.posteriors import check_at_least
from ratereg.evaluation.standard_errors import (
    checked_population,
    effective_sample_size,
    leave_one_out,
    log_mean_exp,
    mean_and_error,
)
from ratereg.models import LatentVariableModel

__all__ = ["OptimalCurve", "geometric_schedule", "optimal_rate_distortion"]

_ENOUGH = 0.25
"""The share of the chains that must count in effect, in every image, for a point to be relied on."""

_OFFSET = 0.01
"""Temperature from which on the steps of the schedule have equal ratios."""


def geometric_schedule(temperatures: int, last: float) -> list[float]:
    """Return temperatures from 0 to `last` in `temperatures` steps: equal ratios above 0.01, equal steps below.

    t_k = 0.01 [(1 + last / 0.01)^(k / temperatures) - 1]. The path from the prior changes by about the same amount for
    each doubling of t, from where t times the spread of the distortion is about 1.

    Raises:
        ValueError: `temperatures` is below 1, or `last` is not positive.
    """
    check_at_least(1, temperatures=temperatures)
    if not 0 < last < math.inf:
        raise ValueError(f"last is {last!r}; give a positive temperature.")
    growth = math.log1p(last / _OFFSET) / temperatures
    return [*(_OFFSET * math.expm1(growth * k) for k in range(temperatures)), float(last)]


@dataclass(frozen=True, eq=False)
class OptimalCurve:
    """Points of the curve, from large beta to small; means over images, in nats.

    Attributes:
        betas: minus the slope of distortion against rate at each point; the point has t = 1 / beta.
        rate: KL of the optimal posterior to the prior, -log Z_t - t D_t. In expectation -log Z_t lies above its truth.
        distortion: D_t, the weighted mean over the chains.
        rate_se, distortion_se: standard errors.
        effective_sample_size: of the chains, the smallest over images.
        reliable: whether in this point and in those of larger beta at least a quarter of the chains count in effect.
    """

    betas: Float64[Tensor, " point"]
    rate: Float64[Tensor, "member point"]
    distortion: Float64[Tensor, "member point"]
    rate_se: Float64[Tensor, "member point"]
    distortion_se: Float64[Tensor, "member point"]
    effective_sample_size: Float64[Tensor, "member point"]
    reliable: Bool[Tensor, "member point"]


def optimal_rate_distortion(
    model: LatentVariableModel,
    x: Images,
    *,
    betas: Sequence[float] = (5.0, 3.0, 2.0, 1.0, 0.7, 0.5, 0.3, 0.1),
    chains: int = 16,
    temperatures: int = 1000,
    leapfrog: int = 3,
    seed: int = 0,
    population: int | None = None,
    decodes: int = 2048,
) -> OptimalCurve:
    """Trace the rate-distortion curve of each member's decoder, by annealing from the prior to t = 1 / min(betas).

    The smaller beta is, the longer the way from the prior, and the more temperatures it takes; `reliable` says how far
    the run got. At t = 1 the sum rate + distortion is the estimate of -log p(x), or minus the log of the
    pseudo-evidence on soft pixels. A float32 decoder's distortion has an error of about 1e-7 of its size, which t
    multiplies.

    Points are recorded at the `betas`, which may come in any order, and their temperatures are added to the
    `temperatures` steps of `geometric_schedule`. The other arguments are as in `annealed_importance_sampling`.

    Raises:
        ValueError: an argument is out of its range, or `x` does not fit the model.

    Source: Huang et al. (2020), Evaluating lossy compression rates of deep generative models.
    """
    how = Chains(chains, leapfrog, seed)
    points = sorted({float(beta) for beta in betas}, reverse=True)
    if not points or not all(0 < point < math.inf for point in points):
        raise ValueError(f"betas is {betas!r}; give at least one, all positive.")
    recorded = [1 / point for point in points]
    schedule = sorted({*geometric_schedule(temperatures, recorded[-1]), *recorded})
    path = path_from_prior(model, x, decodes)
    population = checked_population(population, path.x.shape[1])
    record = [schedule.index(temperature) for temperature in recorded]
    frozen = tuned_walk(path, schedule, how, moves=len(schedule) - 1, record=record)
    return _curve(torch.tensor(points, dtype=torch.float64, device=model.device), frozen, population)


def _curve(betas: Float64[Tensor, " point"], frozen: Walk, population: int) -> OptimalCurve:
    log_weights, distortion = (torch.stack(values, 1) for values in zip(*frozen.recorded, strict=True))
    whole = _rate_and_distortion(log_weights, distortion, 1 / betas[:, None])
    left_out = _rate_and_distortion(leave_one_out(log_weights), leave_one_out(distortion), 1 / betas[:, None, None])
    (rate, rate_se, _), (mean_distortion, distortion_se, _) = (
        mean_and_error(value, others, population) for value, others in zip(whole, left_out, strict=True)
    )
    effective = effective_sample_size(log_weights).amin(-1)
    enough = effective >= _ENOUGH * log_weights.shape[-1]
    return OptimalCurve(
        betas=betas,
        rate=rate,
        distortion=mean_distortion,
        rate_se=rate_se,
        distortion_se=distortion_se,
        effective_sample_size=effective,
        reliable=enough.cumprod(-1).bool(),
    )


def _rate_and_distortion(log_weights: Tensor, distortion: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Return -log Z_t - t D_t and D_t from the chains on the last axis, in nats."""
    mean = (log_weights.softmax(-1) * distortion).sum(-1)
    return -log_mean_exp(log_weights) - temperature * mean, mean
