"""How far annealing can be off: its lower and upper bounds on data simulated from the model itself.

For an image drawn from the model, the latent that it was made from is an exact sample of the posterior. Annealing
backwards from there bounds log p(x) from above, in expectation, as annealing forwards bounds it from below.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.annealed_walk import Chains, walk
from ratereg.evaluation.geometric_path import path_from_posterior
from ratereg.evaluation.importance_weights import leave_one_out, log_mean_exp, mean_and_error
from ratereg.evaluation.journal import Journal, digest
from ratereg.evaluation.sampling import INFINITE
from ratereg.evaluation.schedules import checked_schedule
from ratereg.models import LatentVariableModel

__all__ = ["BidirectionalGap", "Simulation", "bidirectional_monte_carlo", "simulate"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Images drawn from each member of a model, and the latents that they were made from.

    Attributes:
        z: from the prior.
        x: from p(x|z).
    """

    z: Float64[Tensor, "member image latent"]
    x: Float[Tensor, "member image pixels"]


@torch.no_grad()
def simulate(model: LatentVariableModel, images: int, latent_dim: int, *, seed: int = 0) -> Simulation:
    """Draw `images` images from each member, from latents and pixel noise that the members share.

    Raises:
        ValueError: `images` is below 2, or `latent_dim` is not the model's.
    """
    if images < 2:
        raise ValueError(f"images is {images}; give at least 2, so that their spread can be estimated.")
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(images, latent_dim, generator=generator, dtype=torch.float64).to(model.device)
    z = z.expand(model.members, -1, -1)
    try:
        parameters = model.decode(z)
    except RuntimeError as error:
        raise ValueError(f"latent_dim is {latent_dim}, which the model's decoder does not take.") from error
    pixel_seed = int(torch.randint(2**62, (), generator=generator))
    drawn = [
        model.likelihood.sample(member, torch.Generator().manual_seed(pixel_seed)) for member in parameters.unbind()
    ]
    return Simulation(z, torch.stack(drawn))


@dataclass(frozen=True, eq=False)
class BidirectionalGap:
    """Bounds on the mean log p(x) of data simulated from the model, in nats, in expectation.

    Attributes:
        gap: upper - lower, one value per member: at least 0 in expectation, and at least the error of either bound.
        lower, upper: means over the images.
        gap_se, lower_se, upper_se: their standard errors, for the images as a sample of all that the model draws. That
            of the gap is small beside the others, since both bounds are on the same images.
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
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: bool = False,
) -> BidirectionalGap:
    """Bound the mean log p(x) of simulated images from both sides, in nats.

    The step sizes are tuned and frozen as for `annealed_importance_sampling`; the reverse chains start from the latents
    that the images were made from, and take the same kernels in the opposite order. The gap bounds the error on the
    simulated images alone. Images of another kind can be harder, soft pixels above all, of which a Bernoulli likelihood
    draws none: there compare with longer chains, and with quadrature where the latents are two.

    Arguments:
        model: the ensemble.
        simulation: images with exact posterior samples: from `simulate`, or the user's own.
        chains: for each image and member, at least 2; all reverse chains of an image start from its one latent.
        temperatures: the number of steps, or the schedule from 0 to 1.
        leapfrog: steps of the integrator in each transition.
        seed: of all noise.
        widen: what the variance of the encoder's posterior is multiplied with, one number or one per member, up to
            the prior's variance, 1, which is the default.
        decodes: latents (members x images x chains) decoded at once; bounds the memory.
        checkpoint: a file for the state, from which the same call goes on; None keeps nothing.
        checkpoint_seconds: between saves.
        progress: whether to show a bar.

    Raises:
        ValueError: as `annealed_importance_sampling`; the latents do not fit the images; there are fewer than 2 images;
            or these are soft, so that the likelihood cannot have drawn them.

    Source: Grosse, Ghahramani and Adams (2015), Sandwiching the marginal likelihood using bidirectional Monte Carlo;
    Grosse, Ancha and Roy (2016), Measuring the reliability of MCMC inference with bidirectional Monte Carlo.
    """
    how = Chains(chains, leapfrog, seed)
    schedule = checked_schedule(temperatures)
    path = path_from_posterior(model, simulation.x, widen, decodes)
    z = simulation.z.to(model.device)
    if z.shape != path.mean.shape:
        raise ValueError(
            f"simulation.z has shape {tuple(z.shape)}; give one latent per image, {tuple(path.mean.shape)}."
        )
    if z.shape[1] < 2:
        raise ValueError("simulation has 1 image; give at least 2, so that their spread can be estimated.")
    if not model.likelihood.is_density(path.x):
        raise ValueError("simulation.x has soft pixels, which the likelihood does not draw; give images drawn from it.")
    settings = {"estimator": "bidirectional Monte Carlo", "z": digest(z), "temperatures": schedule, "widen": widen}
    steps = len(schedule) - 1
    journal = Journal(
        checkpoint,
        settings | {"x": digest(path.x)} | vars(how),
        path.fingerprint(),
        seconds=checkpoint_seconds,
        total=3 * steps,
        progress=progress,
    )
    with journal:
        tuned = walk(path, schedule, how, journal, phase="tuning", moves=steps - 1)
        sizes = tuned.step_sizes
        forward = walk(path, schedule, how, journal, phase="forward", moves=steps - 1, step_sizes=sizes)
        # From t = 1 the first move is within the density of the last but one temperature: the kernels, back to front.
        start = z.unsqueeze(2).expand(-1, -1, chains, -1).contiguous()
        reverse = walk(
            path, schedule[::-1], how, journal, phase="reverse", moves=steps - 1, step_sizes=sizes.flip(0), start=start
        )
    below, below_left_out = (log_mean_exp(draws) for draws in _with_left_out(forward.log_weights))
    above, above_left_out = (-log_mean_exp(draws) for draws in _with_left_out(reverse.log_weights))
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
