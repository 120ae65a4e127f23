"""A mixture of diagonal Gaussians as prior."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ratereg.models.priors.base import Prior

__all__ = ["MixtureOfGaussians"]


class MixtureOfGaussians(Prior):
    """A mixture of diagonal Gaussians with learned weights, means and variances.

    It starts with equal weights, means drawn from the standard Gaussian, and unit variances.

    Arguments:
        components: how many Gaussians.

    Raises:
        ValueError: `components` is not a positive integer.

    Source: Tomczak and Welling (2018), section 2, the mixture of Gaussians that the VampPrior is compared with.
    """

    def __init__(self, components: int = 100) -> None:
        super().__init__()
        if not isinstance(components, int) or isinstance(components, bool) or components < 1:
            raise ValueError(f"MixtureOfGaussians: components is {components!r}; give a positive integer.")
        self.components = components

    @property
    def label(self) -> str:
        """The prior in words, for tables and legends."""
        return f"mixture of {self.components}"

    def build(self, latent_dim: int, generators: Sequence[torch.Generator], **context: Any) -> "MixtureOfGaussians":
        """Draw the means; log-variances and logits of the weights start at 0."""
        super().build(latent_dim, generators, **context)
        shape, device = (self.components, latent_dim), self._built().device
        means = [torch.empty(shape, dtype=torch.float32, device="cpu").normal_(generator=one) for one in generators]
        self.mean = nn.Parameter(torch.stack(means).to(device))
        self.log_var = nn.Parameter(torch.zeros_like(self.mean))
        self.logits = nn.Parameter(torch.zeros_like(self.mean[..., 0]))
        return self

    def log_prob(self, z: Float[Tensor, "member batch latent"]) -> Float[Tensor, "member batch"]:
        """Return log p(z) in nats, in the type of `z`."""
        mean, log_var, logits = (value.to(z.dtype) for value in (self.mean, self.log_var, self.logits))
        precision = (-log_var).exp()
        # The squared distances as products: (member, batch, component, latent) would not fit into memory. They are
        # taken from the middle of the components, where they are smaller and cancel less.
        middle = mean.mean(1, keepdim=True).detach()
        z, mean = z - middle, mean - middle
        squares = (
            z.square() @ precision.mT - 2 * z @ (mean * precision).mT + (mean.square() * precision).sum(2)[:, None]
        )
        log_normalizer = (log_var + math.log(2 * math.pi)).sum(2)[:, None]
        log_weight = logits.log_softmax(1)[:, None]
        return torch.logsumexp(log_weight - (squares + log_normalizer) / 2, 2)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "member count latent"]:
        """Draw latents, from random numbers that the members share; the generator is on the CPU."""
        noise = self.noise(count, generator)
        uniform = torch.rand(count, generator=generator, dtype=torch.float64, device="cpu").to(noise.device)
        distribution = self.logits.double().softmax(1).cumsum(1)
        component = torch.searchsorted(distribution, uniform.expand(self.members, -1).contiguous())
        component = component.clamp_max(self.components - 1)[..., None].expand(-1, -1, self.latent_dim)
        mean, log_var = (value.gather(1, component) for value in (self.mean, self.log_var))
        return mean + (log_var / 2).exp() * noise
