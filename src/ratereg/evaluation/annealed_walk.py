"""Chains that walk from a known density to a model's joint density p(z) exp(-D(x, z)) and gather importance weights.

The path is geometric: f_t(z) = f_0(z)^(1-t) [p(z) exp(-D(x, z))]^t. It starts from a Gaussian or from the prior, where
f_t = p(z) exp(-t D(x, z)), for t beyond 1 too. Chains move by Hamiltonian Monte Carlo.

Noise is keyed by the seed, the phase and the step, and drawn image by image: an image's chains do not depend on the
images after it, and members share the noise, which pairs contrasts between them.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from ratereg.evaluation.images import Images, batches, checked_images, encode_batches
from ratereg.evaluation.posteriors import check_at_least, draw_prior, log_prior
from ratereg.evaluation.standard_errors import nan_unless_finite
from ratereg.models import LatentVariableModel, StandardGaussian

__all__ = ["Chains", "Path", "Walk", "path_from_posterior", "path_from_prior", "tuned_walk", "walk"]

# Their positions key the noise, so their order must not change.
Phase = Literal["tuning", "forward", "reverse"]
Kind = Literal["start", "momentum", "uniform"]

_PHASES: tuple[Phase, ...] = get_args(Phase)
_KINDS: tuple[Kind, ...] = get_args(Kind)

_ACCEPTANCE, _GAIN, _FIRST_STEP = 0.75, 0.3, 0.7
"""Acceptance that tuning aims at, its gain, and the first step size, in units of the start's standard deviation."""

_PRIOR_DRAWS = 4096


@dataclass(frozen=True)
class Chains:
    """How many independent chains each image and member has, leapfrog steps of a move, and the seed of the noise.

    Raises ValueError for fewer than two chains, no leapfrog step or a seed out of range.
    """

    number: int
    leapfrog: int
    seed: int

    def __post_init__(self) -> None:
        check_at_least(2, chains=self.number)
        check_at_least(1, leapfrog=self.leapfrog)
        check_at_least(0, seed=self.seed)
        if self.seed >= 2**63:
            raise ValueError(f"seed is {self.seed}; give an integer below 2^63.")

    def noise(self, path: "Path", phase: Phase, kind: Kind, step: int = 0) -> Float64[Tensor, "image chain *_"]:
        """Return the uniform or standard normal noise of a step."""
        _, images, latent = path.mean.shape
        counter = [0, 0, _KINDS.index(kind), step]
        generator = np.random.Generator(np.random.Philox(key=[self.seed, _PHASES.index(phase)], counter=counter))
        if kind == "uniform":
            draws = generator.random((images, self.number))
        else:
            draws = generator.standard_normal((images, self.number, latent))
        return torch.from_numpy(draws).to(path.mean.device)


@dataclass(frozen=True, eq=False)
class Position:
    """Where the chains are, with all that the densities of any temperature need, so that a new one decodes nothing.

    Attributes:
        z: the latents.
        distortion: D(x, z), in nats.
        joint: log p(z) - D(x, z), in nats.
        log_start: log f_0(z), in nats.
        joint_force, start_force: gradients of `joint` and `log_start`, for latents in units of the path's `std`.
    """

    z: Float64[Tensor, "member image chain latent"]
    distortion: Float64[Tensor, "member image chain"]
    joint: Float64[Tensor, "member image chain"]
    log_start: Float64[Tensor, "member image chain"]
    joint_force: Float64[Tensor, "member image chain latent"]
    start_force: Float64[Tensor, "member image chain latent"]

    @property
    def log_ratio(self) -> Float64[Tensor, "member image chain"]:
        """The derivative of log f_t in t, log p(z) - D(x, z) - log f_0(z), in nats."""
        return self.joint - self.log_start

    def log_density(self, temperature: float) -> Float64[Tensor, "member image chain"]:
        """Return log f_t(z) at t = `temperature`, in nats."""
        return (1 - temperature) * self.log_start + temperature * self.joint

    def force(self, temperature: float) -> Float64[Tensor, "member image chain latent"]:
        """Return the gradient of log f_t, for latents in units of the path's `std`."""
        return (1 - temperature) * self.start_force + temperature * self.joint_force

    def where(self, moved: Bool[Tensor, "member image chain"], new: "Position") -> "Position":
        """Return `new` for the chains that moved, and this position for the others."""
        pairs = [(getattr(new, field.name), getattr(self, field.name)) for field in fields(self)]
        return Position(*(torch.where(moved if a.ndim == 3 else moved.unsqueeze(-1), a, b) for a, b in pairs))


@dataclass(frozen=True, eq=False)
class Path:
    """The path for each member and image, decoded in blocks of images so that memory is bounded.

    Attributes:
        mean, std: of the Gaussian that the path starts from, or that has the moments of the prior.
        decodes: largest number of latents (members x images x chains) decoded at once; at least one image.
        dtype: of the latents that the decoder is given.
    """

    model: LatentVariableModel
    x: Float[Tensor, "#member image pixels"]
    mean: Float64[Tensor, "member image latent"]
    std: Float64[Tensor, "member image latent"]
    decodes: int
    dtype: torch.dtype
    from_prior: bool = False

    def start(self, chains: Chains, phase: Phase) -> Float64[Tensor, "member image chain latent"]:
        """Draw from f_0."""
        if not self.from_prior:
            return self.mean.unsqueeze(-2) + self.std.unsqueeze(-2) * chains.noise(self, phase, "start")
        _, images, latent = self.mean.shape
        generator = torch.Generator().manual_seed((len(_PHASES) * chains.seed + _PHASES.index(phase)) % 2**63)
        z = draw_prior(self.model, images * chains.number, latent, generator)
        return z.reshape(len(z), images, chains.number, latent)

    def at(self, z: Float64[Tensor, "member image chain latent"]) -> Position:
        """Decode `z`, forward and backward; no gradient of a parameter is computed."""
        members, images, chains = z.shape[:-1]
        block = max(1, self.decodes // (members * chains))
        parts = [self._at(z[:, here], here) for here in (slice(k, k + block) for k in range(0, images, block))]
        return Position(*(torch.cat([getattr(part, field.name) for part in parts], 1) for field in fields(Position)))

    def _at(self, z: Float64[Tensor, "member block chain latent"], here: slice) -> Position:
        mean, std = self.mean[:, here].unsqueeze(-2), self.std[:, here].unsqueeze(-2)
        leaf = z.detach().requires_grad_()
        with torch.enable_grad():
            parameters = self.model.decode(leaf.flatten(1, 2).to(self.dtype)).unflatten(1, leaf.shape[1:3])
            cost = self.model.likelihood.distortion(parameters, self.x[:, here].unsqueeze(2)).double()
            prior = log_prior(self.model.prior, leaf)
            if self.from_prior:
                (prior_gradient,) = torch.autograd.grad(prior.sum(), leaf, retain_graph=True)
            (gradient,) = torch.autograd.grad((prior - cost).sum(), leaf)
        cost, prior = cost.detach(), prior.detach()
        if self.from_prior:
            return Position(z, cost, prior - cost, prior, std * gradient, std * prior_gradient)
        standardized = (z - mean) / std
        log_start = -(standardized.square() + math.log(2 * math.pi)).sum(-1) / 2 - std.log().sum(-1)
        return Position(z, cost, prior - cost, log_start, std * gradient, -standardized)


def path_from_posterior(model: LatentVariableModel, x: Images, widen: float | Sequence[float], decodes: int) -> Path:
    """Return the path from the encoder's posterior, its variance times `widen` and at most the prior's."""
    check_at_least(1, decodes=decodes)
    values = [widen] * model.members if isinstance(widen, int | float) else list(widen)
    factors = torch.tensor(values, dtype=torch.float64, device=model.device)
    if len(factors) != model.members:
        raise ValueError(f"widen has {len(factors)} entries for {model.members} members; give one number, or one each.")
    if not (factors > 0).all():
        raise ValueError(
            f"widen is {widen!r}; give positive numbers: 1 for the encoder's own variance, inf for the prior's."
        )
    x = checked_images(model, x)
    mean, log_var = encode_batches(model, x.shape[1], batches(x, max(1, decodes // model.members)))
    widened = factors[:, None, None] * log_var.double().exp()
    variance = torch.minimum(widened, _prior_moments(model, mean.shape[-1])[1].square())
    return Path(model, x, mean.double(), variance.sqrt(), decodes, mean.dtype)


def path_from_prior(model: LatentVariableModel, x: Images, decodes: int) -> Path:
    """Return the path from the prior: f_t = p(z) exp(-t D(x, z))."""
    check_at_least(1, decodes=decodes)
    x = checked_images(model, x)
    encoded, _ = model.encode(x[:, :1])
    mean, std = (value.expand(-1, x.shape[1], -1) for value in _prior_moments(model, encoded.shape[-1]))
    return Path(model, x, mean, std, decodes, encoded.dtype, from_prior=True)


def _prior_moments(model: LatentVariableModel, latent: int) -> tuple[Tensor, Tensor]:
    """Return the prior's mean and standard deviation (member, 1, latent), from samples unless it is standard."""
    if type(model.prior) is StandardGaussian:
        mean = torch.zeros(model.members, 1, latent, dtype=torch.float64, device=model.device)
        return mean, torch.ones_like(mean)
    z = draw_prior(model, _PRIOR_DRAWS, latent, torch.Generator().manual_seed(0))
    return z.mean(1, keepdim=True), z.std(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Walk:
    """The outcome of a walk.

    Attributes:
        log_weights: sums of log density ratios, in nats.
        step_sizes: of each move and chain.
        acceptance: for each move the probability to accept, a mean over images and chains.
        recorded: log weights and distortion, in nats, at the recorded temperatures.
    """

    log_weights: Float64[Tensor, "member image chain"]
    step_sizes: Sequence[Float32[Tensor, "member image chain"]]
    acceptance: Float64[Tensor, "move member"]
    recorded: Sequence[tuple[Float64[Tensor, "member image chain"], Float64[Tensor, "member image chain"]]]


def tuned_walk(path: Path, schedule: Sequence[float], chains: Chains, moves: int, record: Sequence[int] = ()) -> Walk:
    """Tune the step sizes on one walk, and return another one with these frozen, whose weights are unbiased."""
    tuned = walk(path, schedule, chains, moves, phase="tuning")
    return walk(path, schedule, chains, moves, phase="forward", step_sizes=tuned.step_sizes, record=record)


@torch.no_grad()
def walk(
    path: Path,
    schedule: Sequence[float],
    chains: Chains,
    moves: int,
    *,
    phase: Phase,
    step_sizes: Sequence[Float32[Tensor, "member image chain"]] | None = None,
    start: Float64[Tensor, "member image chain latent"] | None = None,
    record: Sequence[int] = (),
) -> Walk:
    """Walk along `schedule`: at each step weigh by the next density against this one, then move within the next.

    With `step_sizes` given the moves are fixed kernels. Without, each chain's step size is tuned as it goes, by
    stochastic approximation of the acceptance probability, so the weights of such a walk are no estimate.

    Arguments:
        path: the densities.
        schedule: temperatures in the order of the walk, rising or falling.
        chains: settings of the chains.
        moves: how many steps move. Weights of a step come before its move, so a last move changes none.
        phase: key of the noise.
        step_sizes: of each move; None tunes them.
        start: where the chains begin; None draws from f_0.
        record: positions in `schedule`, rising, at which to note weights and distortion, after the move there.

    Source: Neal (2001), Annealed importance sampling; Robbins and Monro (1951) for the tuning.
    """
    position = path.at(path.start(chains, phase) if start is None else start)
    log_weights = torch.zeros_like(position.distortion)
    sizes = [torch.full_like(log_weights, _FIRST_STEP, dtype=torch.float32)] if step_sizes is None else step_sizes
    acceptances, recorded = [log_weights.new_empty(0, len(log_weights))], []
    for step, (before, temperature) in enumerate(itertools.pairwise(schedule)):
        log_weights = log_weights + (temperature - before) * position.log_ratio
        if step < moves:
            momentum, uniform = (chains.noise(path, phase, kind, step) for kind in _KINDS[1:])
            size = sizes[step].double()
            position, acceptance = _move(path, position, temperature, size, momentum, uniform, chains.leapfrog)
            acceptances.append(acceptance.mean((1, 2)).unsqueeze(0))
            if step_sizes is None and step + 1 < moves:
                sizes = [*sizes, (size * (_GAIN * (acceptance - _ACCEPTANCE)).exp()).float()]
        if step + 1 in record:
            recorded.append((log_weights, position.distortion))
    return Walk(nan_unless_finite(log_weights), sizes, torch.cat(acceptances), recorded)


def _move(
    path: Path,
    position: Position,
    temperature: float,
    step_size: Float64[Tensor, "member image chain"],
    momentum: Float64[Tensor, "image chain latent"],
    uniform: Float64[Tensor, "image chain"],
    leapfrog: int,
) -> tuple[Position, Float64[Tensor, "member image chain"]]:
    """Return where the chains go by Hamiltonian Monte Carlo within f_t, and with what probability they were to accept.

    The mass is the precision of f_0, so step sizes are in units of its standard deviation. A proposal whose energy is
    not finite is rejected. The move decodes `leapfrog` times.

    Source: Neal (2011), MCMC using Hamiltonian dynamics, section 5.3.
    """
    step = step_size.unsqueeze(-1)
    stride = step * path.std.unsqueeze(-2)
    new, velocity = position, momentum + step / 2 * position.force(temperature)
    for number in range(1, leapfrog + 1):
        new = path.at(new.z + stride * velocity)
        velocity = velocity + (step if number < leapfrog else step / 2) * new.force(temperature)
    kinetic = (momentum.square() - velocity.square()).sum(-1) / 2
    gain = new.log_density(temperature) - position.log_density(temperature) + kinetic
    acceptance = gain.clamp(max=0).exp().nan_to_num(nan=0)
    return position.where(uniform < acceptance, new), acceptance
