"""A linear-Gaussian model with weights set by hand, and its closed forms, for tests of annealing."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ratereg.models import MLP, VAE, Gaussian


@dataclass
class LinearGaussian:
    """x = b + z W + scale * noise, each member with weights of its own."""

    vae: VAE
    weight: Tensor
    bias: Tensor
    scale: float

    def covariance(self, temperature: float = 1.0) -> Tensor:
        """The covariance of x given t: member x pixels x pixels."""
        pixels = self.weight.shape[2]
        return self.weight.mT @ self.weight + self.scale**2 / temperature * torch.eye(pixels)

    def constant(self) -> float:
        return self.weight.shape[2] * (math.log(self.scale) + math.log(2 * math.pi) / 2)

    def log_z(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        """log of the integral of p(z) exp(-t D(x, z)): member x image."""
        pixels = self.weight.shape[2]
        marginal = torch.distributions.MultivariateNormal(self.bias[:, None], self.covariance(temperature)[:, None])
        normalizer = pixels / 2 * math.log(2 * math.pi * self.scale**2 / temperature)
        return marginal.log_prob(x) + normalizer - temperature * self.constant()

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
    model = VAE(MLP(0, 1, latent), (1, 1, pixels), seeds=[0] * members, likelihood=Gaussian(scale)).double()
    weight = torch.randn(members, latent, pixels, generator=generator, dtype=torch.float64)
    bias = torch.randn(members, pixels, generator=generator, dtype=torch.float64)
    linear = LinearGaussian(model, weight, bias, scale)
    _, covariance = linear.posterior(torch.zeros(members, 1, pixels).double())
    projection = weight.mT @ covariance / scale**2
    variance = width * covariance.diagonal(dim1=1, dim2=2)
    with torch.no_grad():
        (encoder,), (decoder,) = model.encoder.layers, model.decoder.layers
        encoder.weight.copy_(torch.cat([projection, torch.zeros_like(projection)], -1))
        encoder.bias.copy_(torch.cat([-(bias[:, None] @ projection), variance.log()[:, None]], -1))
        decoder.weight.copy_(weight)
        decoder.bias.copy_(bias[:, None])
    return linear
