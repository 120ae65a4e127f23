"""A linear-Gaussian model with weights drawn at random, and its closed forms, for tests of the estimators."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ratereg.evaluation import LinearVAE
from ratereg.models import Gaussian


@dataclass
class LinearGaussian:
    """x = b + z W + scale * noise, each member with weights of its own."""

    model: LinearVAE
    weight: Tensor
    bias: Tensor
    scale: float

    def constant(self) -> float:
        return self.weight.shape[2] * (math.log(self.scale) + math.log(2 * math.pi) / 2)

    def log_z(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        """log of the integral of p(z) exp(-t D(x, z)): member x image.

        From the posterior, which is accurate for narrow noise too.
        """
        mean, covariance = self.posterior(x, temperature)
        fit = (x - self.bias[:, None] - mean @ self.weight).square().sum(-1) * temperature / self.scale**2
        log_posterior = torch.logdet(covariance)[:, None]
        return (log_posterior - fit - mean.square().sum(-1)) / 2 - temperature * self.constant()

    def posterior(self, x: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Mean (member x image x latent) and covariance (member x latent x latent) of p(z) exp(-t D), normalized."""
        gram = self.weight @ self.weight.mT
        covariance = torch.linalg.inv(torch.eye(gram.shape[1]) + temperature * gram / self.scale**2)
        mean = (x - self.bias[:, None]) @ self.weight.mT @ covariance * temperature / self.scale**2
        return mean, covariance

    def rate_and_distortion(self, x: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """KL of that posterior to the prior, and the mean of D under it: member x image."""
        mean, covariance = self.posterior(x, temperature)
        trace = covariance.diagonal(dim1=1, dim2=2).sum(-1, keepdim=True)
        rate = (mean.square().sum(-1) + trace - mean.shape[-1] - torch.logdet(covariance)[:, None]) / 2
        residual = (x - self.bias[:, None] - mean @ self.weight).square().sum(-1)
        spread = (self.weight.mT @ covariance @ self.weight).diagonal(dim1=1, dim2=2).sum(-1, keepdim=True)
        return rate, (residual + spread) / (2 * self.scale**2) + self.constant()


def linear_gaussian(
    members: int = 2, latent: int = 3, pixels: int = 6, scale: float = 0.5, width: float = 1.0, seed: int = 0
) -> LinearGaussian:
    """Build the model; the encoder has the exact posterior's mean, and `width` times its variance in each latent."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(members, latent, pixels, generator=generator, dtype=torch.float64)
    bias = torch.randn(members, pixels, generator=generator, dtype=torch.float64)
    covariance = torch.linalg.inv(torch.eye(latent) + weight @ weight.mT / scale**2)
    encoder = covariance @ weight / scale**2
    model = LinearVAE(
        decoder_weight=weight.mT,
        decoder_bias=bias,
        encoder_weight=encoder,
        encoder_bias=-(encoder @ bias[..., None]).squeeze(-1),
        log_var=(width * covariance.diagonal(dim1=1, dim2=2)).log(),
        likelihood=Gaussian(scale),
    )
    return LinearGaussian(model, weight, bias, scale)
