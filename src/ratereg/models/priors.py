"""Priors p(z) over the latent space."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["Prior", "StandardGaussian"]


@runtime_checkable
class Prior(Protocol):
    """What the information terms ask of a prior."""

    def log_prob(self, z: Float[Tensor, "*lead latent"]) -> Float[Tensor, "*lead"]:
        """Return log p(z), in nats."""
        ...


@dataclass(frozen=True)
class StandardGaussian:
    """The spherical Gaussian of zero mean and unit variance."""

    def rate(
        self, mean: Float[Tensor, "*lead latent"], log_var: Float[Tensor, "*lead latent"]
    ) -> Float[Tensor, "*lead"]:
        """Return KL(q(z|x) || p(z)) of a diagonal Gaussian posterior, in closed form, in nats.

        Source: Kingma and Welling (2014), appendix B.
        """
        return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2

    def log_prob(self, z: Float[Tensor, "*lead latent"]) -> Float[Tensor, "*lead"]:
        """Return log p(z), in nats."""
        return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2
