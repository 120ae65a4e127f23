"""The prior of the classical VAE."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ratereg.models.priors.base import Prior

__all__ = ["StandardGaussian"]


class StandardGaussian(Prior):
    """The spherical Gaussian of zero mean and unit variance. Its densities need no `build`, only `sample` does.

    Source: Kingma and Welling (2014), appendix B.
    """

    closed_form = True
    label = "gaussian"

    def log_prob(self, z: Float[Tensor, "*lead latent"]) -> Float[Tensor, "*lead"]:
        """Return log p(z) in nats."""
        return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "member count latent"]:
        """Draw latents, the same for all members; the generator is on the CPU."""
        return self.noise(count, generator).repeat(self.members, 1, 1)

    def rate(
        self,
        mean: Float[Tensor, "*lead latent"],
        log_var: Float[Tensor, "*lead latent"],
        z: Float[Tensor, "*lead latent"] | None = None,
    ) -> Float[Tensor, "*lead"]:
        """Return KL(q(z|x) || p(z)) in nats, in closed form; `z` is not used."""
        return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2
