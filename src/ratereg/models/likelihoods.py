"""Likelihoods p(x|z): from the decoder's output to the distortion -log p(x|z), in nats."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["Bernoulli", "Gaussian", "Likelihood"]


@runtime_checkable
class Likelihood(Protocol):
    """A likelihood, as a VAE needs it, with one parameter per pixel and channel."""

    @property
    def label(self) -> str:
        """The likelihood in words, for tables."""

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return -log p(x|z) in nats, summed over pixels and channels."""

    def mean(self, parameters: Float[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead pixels"]:
        """Return the expected pixel values."""

    def sample(
        self, parameters: Float[Tensor, "*lead pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*lead pixels"]:
        """Draw images; the generator is on the CPU."""

    def is_density(self, x: Float[Tensor, "*lead pixels"]) -> bool:
        """Return whether exp(-distortion) is a normalized density of images like `x`.

        Where it is not, log p(x) and every bound on it is a pseudo-evidence.
        """


@dataclass(frozen=True)
class Bernoulli:
    """A Bernoulli likelihood with logits as parameters.

    On pixels strictly between 0 and 1 the distortion is a cross-entropy, not the negative log of a normalized density.
    """

    label = "bernoulli"

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return the cross-entropy of `x` in [0, 1] under the logits, in nats, summed over pixels and channels.

        It is float64 for float64 logits, else float32.

        Raises:
            ValueError: `x` does not fit the logits.
        """
        logits, targets = _matched(parameters, x)
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)

    def mean(self, parameters: Float[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead pixels"]:
        """Return the expected pixel values, in [0, 1]."""
        return torch.sigmoid(parameters)

    def sample(
        self, parameters: Float[Tensor, "*lead pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*lead pixels"]:
        """Draw binary images; the generator is on the CPU."""
        uniform = torch.rand(parameters.shape, generator=generator, dtype=torch.float32, device="cpu")
        return (uniform.to(parameters.device) < torch.sigmoid(parameters)).to(parameters.dtype)

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
        # An int of the same value is the same setting.
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def label(self) -> str:
        """The likelihood in words, with its standard deviation, for tables."""
        return f"gaussian {self.scale:g}"

    def distortion(
        self, parameters: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
    ) -> Float[Tensor, "*lead"]:
        """Return the negative log density of `x`, in nats, summed over pixels and channels.

        It is float64 for float64 means, else float32.

        Raises:
            ValueError: `x` does not fit the means.
        """
        means, x = _matched(parameters, x)
        log_normalizer = means.shape[-1] * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))
        return ((x - means) / self.scale).square().sum(-1) / 2 + log_normalizer

    def mean(self, parameters: Float[Tensor, "*lead pixels"]) -> Float[Tensor, "*lead pixels"]:
        """Return the expected pixel values."""
        return parameters

    def sample(
        self, parameters: Float[Tensor, "*lead pixels"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*lead pixels"]:
        """Draw images; the generator is on the CPU."""
        noise = torch.randn(parameters.shape, generator=generator, dtype=parameters.dtype, device="cpu")
        return parameters + self.scale * noise.to(parameters.device)

    def is_density(self, x: Float[Tensor, "*lead pixels"]) -> bool:
        """Return True: a Gaussian density is normalized."""
        return True


def _matched(parameters: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return parameters of float32 at least, and images of their type and, as a view, of their shape."""
    if not parameters.is_floating_point():
        raise ValueError(f"distortion: parameters are {parameters.dtype}; give floats.")
    parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
    try:
        if x.shape[-1:] == parameters.shape[-1:] and x.device == parameters.device and x.is_floating_point():
            return parameters, x.to(parameters.dtype).expand(parameters.shape)
    except RuntimeError:
        pass  # the other axes do not fit, which the error below says for all cases
    raise ValueError(
        f"distortion: x is {x.dtype} of shape {tuple(x.shape)} on {x.device}; give floats for parameters of shape "
        f"{tuple(parameters.shape)} on {parameters.device}, with the same pixels and leading axes of that size or 1."
    )
