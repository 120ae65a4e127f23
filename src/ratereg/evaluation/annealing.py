"""The log-likelihood by annealed importance sampling, and its bounds from both sides on simulated images.

Chains start from the encoder's posterior, widened, and go along a geometric path to the model's joint density by
Hamiltonian Monte Carlo. The product of the density ratios on the way is a weight whose expectation is p(x): so the
estimate is right where the encoder's posterior is far from the model's.

For an image drawn from the model, the latent that it was made from is an exact sample of the posterior. Annealing
backward from there bounds log p(x) from above, in expectation, as annealing forward bounds it from below.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.annealed_walk import Chains, path_from_posterior, tuned_walk, walk
from ratereg.evaluation.images import Images, Quantity, quantity_of
from ratereg.evaluation.posteriors import check_at_least, draw_prior
from ratereg.evaluation.standard_errors import (
    INFINITE,
    checked_population,
    effective_sample_size,
    leave_one_out,
    log_mean_exp,
    mean_and_error,
)
from ratereg.models import LatentVariableModel

__all__ = [
    "AnnealedEvidence",
    "BidirectionalGap",
    "Simulation",
    "annealed_importance_sampling",
    "bidirectional_monte_carlo",
    "sigmoid_schedule",
    "simulate",
]


def sigmoid_schedule(temperatures: int) -> list[float]:
    """Return temperatures from 0 to 1 in `temperatures` steps, dense near both ends.

    t_k is the sigmoid of equal steps from -4 to 4, scaled to [0, 1]; the steps at the ends are 14 times smaller than in
    the middle. Near t = 1 a start narrower than the target changes fastest, near t = 0 one that is wider: there the
    relative change of the path's precision is largest.

    Raises:
        ValueError: `temperatures` is below 1.

    Source: Grosse, Ghahramani and Adams (2015), Sandwiching the marginal likelihood using bidirectional Monte Carlo.
    """
    check_at_least(1, temperatures=temperatures)
    curve = torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64, device="cpu").sigmoid()
    inner = (curve[1:-1] - curve[0]) / (curve[-1] - curve[0])
    return [0.0, *inner.tolist(), 1.0]


def _checked_schedule(temperatures: int | Sequence[float]) -> list[float]:
    """Return the schedule, or `sigmoid_schedule` of a number; raise ValueError unless it rises from 0 to 1."""
    if isinstance(temperatures, int):
        return sigmoid_schedule(temperatures)
    schedule = [float(temperature) for temperature in temperatures]
    rises = all(low < high for low, high in itertools.pairwise(schedule))
    if len(schedule) < 2 or schedule[0] != 0 or schedule[-1] != 1 or not rises:
        raise ValueError(f"temperatures has {len(schedule)} entries that do not rise strictly from 0 to 1; give some.")
    return schedule


@dataclass(frozen=True, eq=False)
class AnnealedEvidence:
    """A lower bound, in expectation, on log p(x) or on the log pseudo-evidence, in nats.

    Attributes:
        quantity: what is estimated.
        estimate, estimate_se: mean over images, and its standard error about its own expectation.
        bias: the jackknife's estimate of how far `estimate` lies from the truth on average, mostly negative. Weights
            dominated by one chain hide it: see `effective_sample_size`.
        per_image: log of the mean weight over chains.
        log_weights: log weight of each chain.
        effective_sample_size: from 1 to the number of chains.
        acceptance: the mean probability to accept.
    """

    quantity: Quantity
    estimate: Float64[Tensor, " member"]
    estimate_se: Float64[Tensor, " member"]
    bias: Float64[Tensor, " member"]
    per_image: Float64[Tensor, "member image"]
    log_weights: Float64[Tensor, "member image chain"]
    effective_sample_size: Float64[Tensor, "member image"]
    acceptance: Float64[Tensor, " member"]


def annealed_importance_sampling(
    model: LatentVariableModel,
    x: Images,
    *,
    chains: int = 16,
    temperatures: int | Sequence[float] = 500,
    leapfrog: int = 3,
    seed: int = 0,
    widen: float | Sequence[float] = math.inf,
    population: int | None = None,
    decodes: int = 2048,
) -> AnnealedEvidence:
    """Estimate log p(x) of each image by annealed importance sampling, in nats.

    A first pass tunes each chain's step size at each temperature towards an acceptance of 0.75, on noise of its own. A
    second pass, with these frozen, gives the estimate: its kernels are fixed, so the weights are unbiased for p(x).
    Each pass decodes temperatures x leapfrog x chains times an image, forward and backward.

    The same call gives the same result, to the bit on one machine. An image's value does not depend on the images after
    it.

    Arguments:
        model: the ensemble.
        x: images.
        chains: independent chains for each image and member, at least 2.
        temperatures: the number of steps of `sigmoid_schedule`, or a schedule that rises from 0 to 1.
        leapfrog: steps of the integrator in each transition.
        seed: seed of the noise.
        widen: factor of the variance of the encoder's posterior, one number or one per member; the result is capped at
            the prior's variance, the default. Training at beta makes posteriors narrower than the true ones by about
            beta, so 1/beta makes up for that, but not for a mean that is off, as on test images at small beta. Too wide
            only costs temperatures, too narrow misses mass.
        population: how many images `x` was drawn from.
        decodes: latents (members x images x chains) decoded at once.

    Raises:
        ValueError: an argument is out of its range, or `x` does not fit the model.

    Source: Neal (2001), Annealed importance sampling; Wu et al. (2017), for its use on decoders.
    """
    how = Chains(chains, leapfrog, seed)
    schedule = _checked_schedule(temperatures)
    path = path_from_posterior(model, x, widen, decodes)
    population = checked_population(population, path.x.shape[1])
    frozen = tuned_walk(path, schedule, how, moves=len(schedule) - 2)
    per_image, left_out = (log_mean_exp(weights) for weights in _with_left_out(frozen.log_weights))
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
    )


@dataclass(frozen=True, eq=False)
class Simulation:
    """Images x drawn from each member of a model, and the latents z that they were made from."""

    z: Float64[Tensor, "member image latent"]
    x: Float[Tensor, "member image pixels"]


@torch.no_grad()
def simulate(model: LatentVariableModel, images: int, latent_dim: int, *, seed: int = 0) -> Simulation:
    """Draw `images` images from each member: latents from its prior, then pixels.

    The members share the noise of the pixels, and that of the latents where the prior is the standard Gaussian. A
    member that decodes to NaN has black images, and NaN for its latents.

    Raises:
        ValueError: `images` is below 2, or `latent_dim` is not the model's.
    """
    check_at_least(2, images=images)
    check_at_least(1, latent_dim=latent_dim)
    generator = torch.Generator().manual_seed(seed)
    z = draw_prior(model, images, latent_dim, generator)
    try:
        parameters = model.decode(z)
    except RuntimeError as error:
        raise ValueError(f"latent_dim is {latent_dim}, which the model's decoder does not take.") from error
    pixel_seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    x = torch.stack(
        [model.likelihood.sample(member, torch.Generator().manual_seed(pixel_seed)) for member in parameters]
    )
    lost = ~parameters.isfinite().flatten(1).all(1)[:, None, None]
    return Simulation(z.masked_fill(lost, math.nan), x.masked_fill(lost, 0))


@dataclass(frozen=True, eq=False)
class BidirectionalGap:
    """Bounds on the mean log p(x) of data simulated from the model, in nats, in expectation.

    Attributes:
        gap: upper - lower: at least 0 in expectation, and at least the error of either bound.
        lower, upper: means over the images.
        gap_se, lower_se, upper_se: standard errors, for the images as a sample of all that the model draws.
        per_image_lower, per_image_upper: the bounds of each image.
        forward_acceptance, reverse_acceptance: the mean probability to accept, per member.
    """

    gap: Float64[Tensor, " member"]
    gap_se: Float64[Tensor, " member"]
    lower: Float64[Tensor, " member"]
    lower_se: Float64[Tensor, " member"]
    upper: Float64[Tensor, " member"]
    upper_se: Float64[Tensor, " member"]
    per_image_lower: Float64[Tensor, "member image"]
    per_image_upper: Float64[Tensor, "member image"]
    forward_acceptance: Float64[Tensor, " member"]
    reverse_acceptance: Float64[Tensor, " member"]


def bidirectional_monte_carlo(
    model: LatentVariableModel,
    simulation: Simulation,
    *,
    chains: int = 16,
    temperatures: int | Sequence[float] = 500,
    leapfrog: int = 3,
    seed: int = 0,
    widen: float | Sequence[float] = math.inf,
    decodes: int = 2048,
) -> BidirectionalGap:
    """Bound the mean log p(x) of simulated images from both sides, in nats.

    The step sizes are tuned and frozen as for `annealed_importance_sampling`; the reverse chains start from the latents
    that the images were made from, and take the same kernels in the opposite order. The gap bounds the error on the
    simulated images only. Images of another kind can be harder, soft pixels above all, of which a Bernoulli likelihood
    draws none: there compare with longer chains, and with quadrature where the latents are two.

    The simulation is from `simulate`, or the user's own. The other arguments are as in `annealed_importance_sampling`.

    Raises:
        ValueError: as `annealed_importance_sampling`; or the images are fewer than 2, not as many as the latents, or
            soft, so that the likelihood cannot have drawn them.

    Source: Grosse, Ghahramani and Adams (2015), Sandwiching the marginal likelihood using bidirectional Monte Carlo.
    """
    how = Chains(chains, leapfrog, seed)
    schedule = _checked_schedule(temperatures)
    path = path_from_posterior(model, simulation.x, widen, decodes)
    z = simulation.z.to(model.device, torch.float64)
    if z.shape != path.mean.shape:
        raise ValueError(
            f"simulation.z has shape {tuple(z.shape)}; give one latent per image, {tuple(path.mean.shape)}."
        )
    if z.shape[1] < 2:
        raise ValueError("simulation has 1 image; give at least 2, so that their spread can be estimated.")
    if not model.likelihood.is_density(path.x):
        raise ValueError("simulation.x has soft pixels, which the likelihood does not draw; give images drawn from it.")
    moves = len(schedule) - 2
    forward = tuned_walk(path, schedule, how, moves)
    # From t = 1 the first move is within the density of the last but one temperature: the kernels, back to front.
    start = z.unsqueeze(2).expand(-1, -1, chains, -1).contiguous()
    sizes = forward.step_sizes[::-1]
    reverse = walk(path, schedule[::-1], how, moves, phase="reverse", step_sizes=sizes, start=start)
    below, below_left_out = (log_mean_exp(weights) for weights in _with_left_out(forward.log_weights))
    above, above_left_out = (-log_mean_exp(weights) for weights in _with_left_out(reverse.log_weights))
    lower, lower_se, _ = mean_and_error(below, below_left_out, INFINITE)
    upper, upper_se, _ = mean_and_error(above, above_left_out, INFINITE)
    gap, gap_se, _ = mean_and_error(above - below, above_left_out - below_left_out, INFINITE)
    return BidirectionalGap(
        gap=gap,
        gap_se=gap_se,
        lower=lower,
        lower_se=lower_se,
        upper=upper,
        upper_se=upper_se,
        per_image_lower=below,
        per_image_upper=above,
        forward_acceptance=forward.acceptance.mean(0),
        reverse_acceptance=reverse.acceptance.mean(0),
    )


def _with_left_out(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    return log_weights, leave_one_out(log_weights)
