"""Likelihoods p(x|z): from the decoder's output to the distortion -log p(x|z), in nats."""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

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


class _BernoulliDistortion(torch.autograd.Function):
    """softplus(l) - x l, summed over pixels, with its gradient sigmoid(l) - x written out.

    Autograd's own gradient of the same expression makes four more passes over the pixels, which for shallow networks
    cost as much as the matrix products.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        logits32 = logits if logits.dtype == torch.float64 else logits.float()
        ctx.save_for_backward(logits32, x)
        ctx.dtype = logits.dtype
        return F.softplus(logits32).sub_(x * logits32).sum(-1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        grad = torch.sigmoid(logits).sub_(x).mul_(grad_outputs[0].unsqueeze(-1))
        return grad.to(ctx.dtype), None


@dataclass(frozen=True)
class Bernoulli:
    """A Bernoulli likelihood with logits as parameters.

    On pixels strictly between 0 and 1 the distortion is a cross-entropy, not the negative log of a normalized density.
    """

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return the cross-entropy of `x` in [0, 1] under the logits, in nats, summed over pixels and channels."""
        distortion: Tensor = _BernoulliDistortion.apply(parameters, x)  # type: ignore[no-untyped-call]
        return distortion

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
