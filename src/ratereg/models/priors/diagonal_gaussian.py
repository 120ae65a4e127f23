"""A Gaussian prior whose mean and variances are learned."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ratereg.models.priors.base import Prior, gaussian_log_prob

__all__ = ["DiagonalGaussian"]


class DiagonalGaussian(Prior):
    """The Gaussian with a learned mean and variance for each latent dimension; it starts as the standard Gaussian."""

    closed_form = True

    def build(self, latent_dim: int, generators: Sequence[torch.Generator], **context: Any) -> "DiagonalGaussian":
        """Create the mean and the log-variance, both 0; nothing is drawn."""
        super().build(latent_dim, generators, **context)
        self.mean = nn.Parameter(torch.zeros_like(self._built()))
        self.log_var = nn.Parameter(torch.zeros_like(self._built()))
        return self

    def log_prob(self, z: Float[Tensor, "member batch latent"]) -> Float[Tensor, "member batch"]:
        """Return log p(z) in nats, in the type of `z`."""
        return gaussian_log_prob(z, self.mean, self.log_var)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "member count latent"]:
        """Draw latents, from random numbers that the members share; the generator is on the CPU."""
        noise = self.noise(count, generator)
        return self.mean + (self.log_var / 2).exp() * noise

    def rate(
        self,
        mean: Float[Tensor, "member batch latent"],
        log_var: Float[Tensor, "member batch latent"],
        z: Float[Tensor, "member batch latent"] | None = None,
    ) -> Float[Tensor, "member batch"]:
        """Return KL(q(z|x) || p(z)) in nats, in closed form; `z` is not used."""
        prior_mean, prior_log_var = self.mean.to(mean.dtype), self.log_var.to(mean.dtype)
        log_ratio = log_var - prior_log_var
        squares = (mean - prior_mean).square() * (-prior_log_var).exp() + log_ratio.exp()
        return (squares - 1 - log_ratio).sum(-1) / 2
