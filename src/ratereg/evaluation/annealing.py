"""The log-likelihood by annealed importance sampling: right where the encoder's posterior is far from the model's.

Chains start from the encoder's posterior, widened, and go along a geometric path to the model's joint density by
Hamiltonian Monte Carlo. The product of the density ratios on the way is a weight whose expectation is p(x).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.annealed_walk import Chains, walk
from ratereg.evaluation.geometric_path import path_from_posterior
from ratereg.evaluation.importance import Quantity, quantity_of
from ratereg.evaluation.importance_weights import (
    checked_population,
    effective_sample_size,
    leave_one_out,
    log_mean_exp,
    mean_and_error,
)
from ratereg.evaluation.journal import Journal, digest
from ratereg.evaluation.schedules import checked_schedule
from ratereg.models import LatentVariableModel

__all__ = ["AnnealedEvidence", "annealed_importance_sampling"]


@dataclass(frozen=True, eq=False)
class AnnealedEvidence:
    """A lower bound, in expectation, on log p(x) or on the log pseudo-evidence, in nats.

    Attributes:
        quantity: "log-likelihood" where exp(-D) is a normalized density of images like these; on soft pixels under a
            Bernoulli likelihood it is not, and log of the integral of p(z) exp(-D(x, z)) is the "pseudo-evidence".
        estimate: mean over images, one value per member.
        estimate_se: its standard error about its own expectation: conditional on the images when they are all there,
            with the spread between images when they are a subset.
        bias: the jackknife's estimate of how far `estimate` lies from the truth on average, mostly negative. Weights
            dominated by one chain hide it: see `effective_sample_size`.
        per_image: log of the mean weight over chains.
        log_weights: of each chain.
        effective_sample_size: of the weights of each image, from 1 to the number of chains.
        acceptance: the mean probability to accept, per member.
        acceptance_by_temperature: the same at each temperature.
    """

    quantity: Quantity
    estimate: Float64[Tensor, " member"]
    estimate_se: Float64[Tensor, " member"]
    bias: Float64[Tensor, " member"]
    per_image: Float64[Tensor, "member image"]
    log_weights: Float64[Tensor, "member image chain"]
    effective_sample_size: Float64[Tensor, "member image"]
    acceptance: Float64[Tensor, " member"]
    acceptance_by_temperature: Float64[Tensor, "temperature member"]


def annealed_importance_sampling(
    model: LatentVariableModel,
    x: Float[Tensor, "*#member image pixels"],
    *,
    chains: int = 16,
    temperatures: int | Sequence[float] = 500,
    leapfrog: int = 3,
    seed: int = 0,
    widen: float | Sequence[float] = math.inf,
    population: int | None = None,
    decodes: int = 2048,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: bool = False,
) -> AnnealedEvidence:
    """Estimate log p(x) of each image by annealed importance sampling, in nats.

    A first pass tunes each chain's step size at each temperature towards an acceptance of 0.75, on noise of its own. A
    second one, with these frozen, gives the estimate: its kernels are fixed, so the weights are unbiased for p(x). Each
    pass decodes temperatures x leapfrog x chains times an image, forward and backward.

    The same call gives the same result, to the bit on one machine, also when stopped and started again. More images, or
    another `decodes`, change an image's value by rounding alone. A member whose weights are not finite gets NaN.

    Arguments:
        model: the ensemble.
        x: the images, of each member or of all alike: a whole data set, or a stated and seeded subset of one.
        chains: independent chains for each image and member, at least 2.
        temperatures: the number of steps, dense near both ends (`sigmoid_schedule`); or the schedule itself, rising
            from 0 to 1.
        leapfrog: steps of the integrator in each transition.
        seed: of all noise.
        widen: what the variance of the encoder's posterior is multiplied with, one number or one per member; the result
            is capped at 1, the prior's. Training at beta makes posteriors narrower than the true ones by about beta, so
            1/beta makes up for that; but the encoder's mean can be off as well, on test images at small beta by many of
            even those widths. So the default is the prior's variance: too wide only costs temperatures, too narrow
            misses mass.
        population: how many images `x` was drawn from; None when these are all there are.
        decodes: latents (members x images x chains) decoded at once; bounds the memory.
        checkpoint: a file for the state, from which the same call goes on, and which the finished computation leaves;
            None keeps nothing.
        checkpoint_seconds: between saves.
        progress: whether to show a bar.

    Raises:
        ValueError: an argument is out of its range, `x` holds NaN or does not fit the model, the schedule does not
            rise from 0 to 1, or the checkpoint is of other settings, images or weights.

    Source: Neal (2001), Annealed importance sampling; Wu et al. (2017), On the quantitative analysis of decoder-based
    generative models, for its use on decoders.
    """
    how = Chains(chains, leapfrog, seed)
    schedule = checked_schedule(temperatures)
    path = path_from_posterior(model, x, widen, decodes)
    population = checked_population(population, path.x.shape[1])
    settings = {"estimator": "annealed importance sampling", "x": digest(path.x), "temperatures": schedule}
    steps = len(schedule) - 1
    journal = Journal(
        checkpoint,
        settings | {"widen": widen} | vars(how),
        path.fingerprint(),
        seconds=checkpoint_seconds,
        total=2 * steps,
        progress=progress,
    )
    with journal:
        tuned = walk(path, schedule, how, journal, phase="tuning", moves=steps - 1)
        frozen = walk(path, schedule, how, journal, phase="forward", moves=steps - 1, step_sizes=tuned.step_sizes)
    per_image = log_mean_exp(frozen.log_weights)
    left_out = log_mean_exp(leave_one_out(frozen.log_weights))
    estimate, estimate_se, bias = mean_and_error(per_image, left_out, population)
    return AnnealedEvidence(
        quantity=quantity_of(model, path.x),
        estimate=estimate,
        estimate_se=estimate_se,
        bias=bias,
        per_image=per_image,
        log_weights=frozen.log_weights,
        effective_sample_size=effective_sample_size(frozen.log_weights),
        acceptance=frozen.acceptance.mean(0),
        acceptance_by_temperature=frozen.acceptance,
    )
