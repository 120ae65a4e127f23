"""Likelihoods p(x|z): from the decoder's output to the distortion -log p(x|z), in nats."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ratereg.models.bernoulli import bernoulli_distortion

__all__ = ["Bernoulli", "Gaussian", "Likelihood"]


@runtime_checkable
class Likelihood(Protocol):
    """What a VAE asks of its likelihood; one parameter per pixel and channel."""

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return -log p(x|z) in nats, summed over pixels and channels."""
        ...

    def mean(self, parameters: Float[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead pixels"]:
        """Return the expected pixel values."""
        ...

    def sample(
        self, parameters: Float[Tensor, "*lead pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*lead pixels"]:
        """Draw images; the generator is on the CPU."""
        ...

    def is_density(self, x: Float[Tensor, "*lead pixels"]) -> bool:
        """Return whether exp(-distortion) is a normalized density of images like `x`.

        Where it is not, log p(x) and every bound on it is a pseudo-evidence.
        """
        ...


@dataclass(frozen=True)
class Bernoulli:
    """A Bernoulli likelihood with logits as parameters.

    On pixels strictly between 0 and 1 the distortion is a cross-entropy, not the negative log of a normalized density.
    """

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return the cross-entropy of `x` in [0, 1] under the logits, in nats, summed over pixels and channels."""
        return bernoulli_distortion(parameters, x)

    def mean(self, parameters: Float[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead pixels"]:
        """Return the expected pixel values, in [0, 1]."""
        return torch.sigmoid(parameters)

    def sample(
        self, parameters: Float[Tensor, "*lead pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*lead pixels"]:
        """Draw binary images; the generator is on the CPU."""
        uniform = torch.rand(parameters.shape, generator=generator, dtype=torch.float32).to(parameters.device)
        return (uniform < torch.sigmoid(parameters)).to(parameters.dtype)

    def is_density(self, x: Float[Tensor, "*lead pixels"]) -> bool:
        """Return whether all pixels are 0 or 1; between them the Bernoulli "density" is not normalized."""
        return bool(((x == 0) | (x == 1)).all())


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian likelihood of fixed standard deviation `scale`, with means as parameters.

    Raises:
        ValueError: `scale` is not a positive number.
    """

    scale: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"Gaussian: scale is {self.scale!r}; give a positive standard deviation.")

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return the negative log density of `x`, in nats, summed over pixels and channels."""
        means = parameters if parameters.dtype == torch.float64 else parameters.float()
        log_normalizer = means.shape[-1] * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))
        return ((x - means) / self.scale).square().sum(-1) / 2 + log_normalizer

    def mean(self, parameters: Float[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead pixels"]:
        """Return the expected pixel values."""
        return parameters

    def sample(
        self, parameters: Float[Tensor, "*lead pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*lead pixels"]:
        """Draw images; the generator is on the CPU."""
        noise = torch.randn(parameters.shape, generator=generator, dtype=parameters.dtype)
        return parameters + self.scale * noise.to(parameters.device)

    def is_density(self, x: Float[Tensor, "*lead pixels"]) -> bool:
        """Return True: a Gaussian density is normalized."""
        return True
