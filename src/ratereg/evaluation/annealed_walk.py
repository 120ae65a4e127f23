"""Chains that walk along a path of densities and gather importance weights: the engine of annealing.

Noise is keyed by the seed, the phase and the step, and drawn image by image: so a walk resumes exactly, an image's
chains do not depend on the images after it, and members share the noise, which pairs contrasts between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ratereg.evaluation.geometric_path import GeometricPath, Position
from ratereg.evaluation.hmc import hamiltonian_transition
from ratereg.evaluation.journal import Journal

__all__ = ["Chains", "Phase", "Walk", "walk"]

Phase = Literal["tuning", "forward", "reverse"]
Kind = Literal["start", "momentum", "uniform"]

# Their positions key the noise, so their order must not change.
_PHASES: tuple[Phase, ...] = ("tuning", "forward", "reverse")
_KINDS: tuple[Kind, ...] = ("start", "momentum", "uniform")

_ACCEPTANCE, _GAIN, _FIRST_STEP = 0.75, 0.3, 0.7
"""What tuning aims at, how fast, and the step size it begins with, in units of the start's standard deviation."""


@dataclass(frozen=True)
class Chains:
    """How chains are run.

    Attributes:
        number: independent chains for each image and member.
        leapfrog: steps of the integrator in each move.
        seed: of the noise.

    Raises:
        ValueError: there are fewer than two chains or no leapfrog step, or the seed is negative.
    """

    number: int
    leapfrog: int
    seed: int

    def __post_init__(self) -> None:
        if self.number < 2:
            raise ValueError(f"chains is {self.number}; give at least 2, so that their spread can be estimated.")
        if self.leapfrog < 1:
            raise ValueError(f"leapfrog is {self.leapfrog}; give at least 1 step.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}; give an integer from 0 to 2^63 - 1.")


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk brought home.

    Attributes:
        log_weights: sums of log density ratios, in nats.
        step_sizes: of each move and chain.
        acceptance: of each move, the mean over images and chains of the probability to accept.
        recorded_log_weights, recorded_distortion: at the recorded temperatures, in nats.
    """

    log_weights: Float64[Tensor, "member image chain"]
    step_sizes: Float32[Tensor, "move member image chain"]
    acceptance: Float64[Tensor, "move member"]
    recorded_log_weights: Float64[Tensor, "point member image chain"]
    recorded_distortion: Float64[Tensor, "point member image chain"]


@torch.no_grad()
def walk(
    path: GeometricPath,
    schedule: Sequence[float],
    chains: Chains,
    journal: Journal,
    *,
    phase: Phase,
    step_sizes: Float32[Tensor, "move member image chain"] | None = None,
    start: Float64[Tensor, "member image chain latent"] | None = None,
    moves: int | None = None,
    record: Sequence[int] = (),
) -> Walk:
    """Walk along `schedule`: at each step weigh by the next density against this one, then move within the next.

    With `step_sizes` given the moves are fixed kernels. Without, each chain's step size is tuned as it goes, by
    stochastic approximation of the acceptance probability, so the weights of such a walk are no estimate.

    Arguments:
        path: the densities.
        schedule: temperatures in the order of the walk, rising or falling.
        chains: how they are run.
        journal: where the state is kept.
        phase: what the walk is for; its noise and its saved state go by this name.
        step_sizes: of each move; None tunes them.
        start: where the chains begin; None draws from the path's Gaussian.
        moves: how many steps move; None for all. Weights of a step come before its move, so a last move changes none.
        record: positions in `schedule` at which to note weights and distortion, after the move there.

    Source: Neal (2001), Annealed importance sampling; Robbins and Monro (1951) for the tuning.
    """
    steps = len(schedule) - 1
    moves = steps if moves is None else moves
    found = journal.restore(phase)
    if found is None:
        done, state = 0, _first_state(path, chains, phase, start, moves, len(record), tuned=step_sizes is None)
    else:
        done, state = found
    sizes = state["step_sizes"] if step_sizes is None else step_sizes
    position = Position(state["z"], state["distortion"], state["joint"], state["gradient"])
    for step in range(done, steps):
        temperature = schedule[step + 1]
        state["log_weights"] += (temperature - schedule[step]) * path.log_ratio(position)
        if step < moves:
            momentum = _noise(path, chains, phase, "momentum", step)
            uniform = _noise(path, chains, phase, "uniform", step)
            step_size = sizes[step].double()
            position, acceptance = hamiltonian_transition(
                path, position, temperature, step_size, momentum, uniform, chains.leapfrog
            )
            state["acceptance"][step] = acceptance.mean((1, 2))
            if step_sizes is None and step + 1 < moves:
                sizes[step + 1] = step_size * (_GAIN * (acceptance - _ACCEPTANCE)).exp()
        if step + 1 in record:
            point = list(record).index(step + 1)
            state["recorded_log_weights"][point] = state["log_weights"]
            state["recorded_distortion"][point] = position.distortion
        state |= vars(position)
        journal.record(phase, step + 1, state, last=step + 1 == steps)
    return Walk(
        state["log_weights"],
        sizes,
        state["acceptance"],
        state["recorded_log_weights"],
        state["recorded_distortion"],
    )


def _first_state(
    path: GeometricPath, chains: Chains, phase: Phase, start: Tensor | None, moves: int, points: int, *, tuned: bool
) -> dict[str, Tensor]:
    z = path.start(_noise(path, chains, phase, "start", 0)) if start is None else start
    position = path.at(z)
    one = position.joint
    state = {
        **vars(position),
        "log_weights": torch.zeros_like(one),
        "acceptance": one.new_zeros(moves, len(one)),
        "recorded_log_weights": one.new_zeros(points, *one.shape),
        "recorded_distortion": one.new_zeros(points, *one.shape),
    }
    if tuned:
        state["step_sizes"] = one.new_full((moves, *one.shape), _FIRST_STEP, dtype=torch.float32)
    return state


def _noise(path: GeometricPath, chains: Chains, phase: Phase, kind: Kind, step: int) -> Float64[Tensor, "..."]:
    _, images, latent = path.mean.shape
    key, counter = [chains.seed, _PHASES.index(phase)], [0, 0, _KINDS.index(kind), step]
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    if kind == "uniform":
        draws = generator.random((images, chains.number))
    else:
        draws = generator.standard_normal((images, chains.number, latent))
    return torch.from_numpy(draws).to(path.mean.device)
