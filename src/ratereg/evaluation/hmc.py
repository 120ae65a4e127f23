"""Hamiltonian Monte Carlo within a density of a geometric path."""

from jaxtyping import Float64
from torch import Tensor

from ratereg.evaluation.geometric_path import GeometricPath, Position

__all__ = ["hamiltonian_transition"]


def hamiltonian_transition(
    path: GeometricPath,
    position: Position,
    temperature: float,
    step_size: Float64[Tensor, "member image chain"],
    momentum: Float64[Tensor, "image chain latent"],
    uniform: Float64[Tensor, "image chain"],
    leapfrog: int,
) -> tuple[Position, Float64[Tensor, "member image chain"]]:
    """Return where the chains go, and with what probability they were to accept; f_t at `temperature` stays invariant.

    The mass is the precision of q, so step sizes are in units of its standard deviation. A proposal whose energy is not
    finite is rejected. The transition decodes `leapfrog` times.

    Arguments:
        path: the densities.
        position: where the chains are.
        temperature: t.
        step_size: of the leapfrog integrator, one per chain.
        momentum: standard normal noise, shared by the members.
        uniform: uniform noise in [0, 1) that decides on acceptance, shared by the members.
        leapfrog: steps of the integrator.

    Source: Neal (2011), MCMC using Hamiltonian dynamics, section 5.3.
    """
    step = step_size.unsqueeze(-1)
    stride = step * path.std.unsqueeze(-2)
    new, velocity = position, momentum + step / 2 * path.force(position, temperature)
    for number in range(1, leapfrog + 1):
        new = path.at(new.z + stride * velocity)
        velocity = velocity + (step if number < leapfrog else step / 2) * path.force(new, temperature)
    kinetic = (momentum.square() - velocity.square()).sum(-1) / 2
    gain = path.log_density(new, temperature) - path.log_density(position, temperature) + kinetic
    acceptance = gain.clamp(max=0).exp().nan_to_num(nan=0)
    return position.where(uniform < acceptance, new), acceptance
