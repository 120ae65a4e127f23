"""A path of densities from a Gaussian to a model's joint density p(z) exp(-D(x, z)) of one image.

With q(z) a diagonal Gaussian, the geometric path is f_t(z) = q(z)^(1-t) [p(z) exp(-D(x, z))]^t. From q at t = 0 it
reaches the joint density at t = 1; where q is the prior, f_t = p(z) exp(-t D(x, z)), for t beyond 1 too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ratereg.evaluation.importance import checked_images
from ratereg.models import LatentVariableModel

__all__ = ["GeometricPath", "Position", "path_from_posterior", "path_from_prior"]


@dataclass(frozen=True, eq=False)
class Position:
    """Where the chains are, and what the decoder says there.

    Attributes:
        z: the latents.
        distortion: D(x, z), in nats.
        joint: log p(z) - D(x, z), in nats.
        gradient: of `joint` with respect to `z`.
    """

    z: Float64[Tensor, "member image chain latent"]
    distortion: Float64[Tensor, "member image chain"]
    joint: Float64[Tensor, "member image chain"]
    gradient: Float64[Tensor, "member image chain latent"]

    def where(self, moved: Bool[Tensor, "member image chain"], new: "Position") -> "Position":
        """Return `new` for the chains that moved, and this position for the others."""
        return Position(
            torch.where(moved.unsqueeze(-1), new.z, self.z),
            torch.where(moved, new.distortion, self.distortion),
            torch.where(moved, new.joint, self.joint),
            torch.where(moved.unsqueeze(-1), new.gradient, self.gradient),
        )


@dataclass(frozen=True, eq=False)
class GeometricPath:
    """The path for each member and image, decoded in blocks of images so that memory is bounded.

    A position holds the decoder's part of the density and of its gradient for every temperature at once, so that
    going to another temperature decodes nothing.

    Attributes:
        model: the ensemble.
        x: the images, of each member or of all alike.
        mean, std: of the Gaussian that the path starts from.
        decodes: the largest number of latents (members x images x chains) decoded at once; one image at the least.
    """

    model: LatentVariableModel
    x: Float[Tensor, "#member image pixels"]
    mean: Float64[Tensor, "member image latent"]
    std: Float64[Tensor, "member image latent"]
    decodes: int

    def __post_init__(self) -> None:
        if self.decodes < 1:
            raise ValueError(f"decodes is {self.decodes}; give at least 1 latent to decode at once.")

    def start(self, noise: Float64[Tensor, "image chain latent"]) -> Float64[Tensor, "member image chain latent"]:
        """Return draws from q, for standard normal noise that all members share."""
        return self.mean.unsqueeze(-2) + self.std.unsqueeze(-2) * noise

    def at(self, z: Float64[Tensor, "member image chain latent"]) -> Position:
        """Decode `z`, forward and backward; no gradient of a parameter is computed."""
        members, images, chains = z.shape[:-1]
        distortion, joint, gradient = z.new_empty(z.shape[:-1]), z.new_empty(z.shape[:-1]), torch.empty_like(z)
        block = max(1, self.decodes // (members * chains))
        for first in range(0, images, block):
            here = slice(first, first + block)
            leaf = z[:, here].detach().requires_grad_()
            with torch.enable_grad():
                parameters = self.model.decode(leaf.flatten(1, 2)).unflatten(1, leaf.shape[1:3])
                cost = self.model.likelihood.distortion(parameters, self.x[:, here].unsqueeze(2)).double()
                value = self.model.prior.log_prob(leaf) - cost
                (gradient[:, here],) = torch.autograd.grad(value.sum(), leaf)
            distortion[:, here], joint[:, here] = cost.detach(), value.detach()
        return Position(z, distortion, joint, gradient)

    def fingerprint(self) -> Float64[Tensor, "member image"]:
        """Return the distortion at q's mean, which tells models and images apart."""
        return self.at(self.mean.unsqueeze(2)).distortion.squeeze(2)

    def log_ratio(self, position: Position) -> Float64[Tensor, "member image chain"]:
        """Return log p(z) - D(x, z) - log q(z), the derivative of log f_t in t, in nats."""
        return position.joint - self._log_start(position.z)

    def log_density(self, position: Position, temperature: float) -> Float64[Tensor, "member image chain"]:
        """Return log f_t(z) at t = `temperature`, in nats."""
        return (1 - temperature) * self._log_start(position.z) + temperature * position.joint

    def force(self, position: Position, temperature: float) -> Float64[Tensor, "member image chain latent"]:
        """Return the gradient of log f_t, for latents in units of q's standard deviation."""
        std = self.std.unsqueeze(-2)
        start = (self.mean.unsqueeze(-2) - position.z) / std
        return (1 - temperature) * start + temperature * std * position.gradient

    def _log_start(self, z: Tensor) -> Tensor:
        standardized = (z - self.mean.unsqueeze(-2)) / self.std.unsqueeze(-2)
        log_std = self.std.log().sum(-1).unsqueeze(-1)
        return -(standardized.square() + math.log(2 * math.pi)).sum(-1) / 2 - log_std


def path_from_posterior(
    model: LatentVariableModel, x: Float[Tensor, "..."], widen: float | Sequence[float], decodes: int
) -> GeometricPath:
    """Return the path from the encoder's posterior, its variance times `widen` and at most 1, the prior's.

    Raises:
        ValueError: `x` has no image, other pixels than the model, or NaN or infinity; or `widen` is not positive or has
            another length than there are members.
    """
    values = [widen] * model.members if isinstance(widen, int | float) else list(widen)
    factors = torch.tensor(values, dtype=torch.float64)
    if len(factors) != model.members:
        raise ValueError(f"widen has {len(factors)} entries for {model.members} members; give one number, or one each.")
    if not (factors > 0).all():
        raise ValueError(
            f"widen is {widen!r}; give positive numbers: 1 for the encoder's own variance, inf for the prior's."
        )
    x = checked_images(model, x).to(model.device)
    mean, log_var = _encode(model, x, decodes)
    variance = (factors.to(model.device)[:, None, None] * log_var.exp()).clamp(max=1)
    return GeometricPath(model, x, mean, variance.sqrt(), decodes)


def path_from_prior(model: LatentVariableModel, x: Float[Tensor, "..."], decodes: int) -> GeometricPath:
    """Return the path from the prior, a standard Gaussian: f_t = p(z) exp(-t D(x, z)).

    Raises:
        ValueError: `x` has no image, other pixels than the model, or NaN or infinity.
    """
    x = checked_images(model, x).to(model.device)
    mean, _ = _encode(model, x[:, :1], decodes)
    mean = torch.zeros_like(mean).expand(-1, x.shape[1], -1)
    return GeometricPath(model, x, mean, torch.ones_like(mean), decodes)


@torch.no_grad()
def _encode(model: LatentVariableModel, x: Tensor, decodes: int) -> tuple[Tensor, Tensor]:
    block = max(1, decodes // model.members)
    parts = [model.encode(part) for part in x.split(block, 1)]
    mean, log_var = (torch.cat(values, 1).double() for values in zip(*parts, strict=True))
    return mean, log_var
