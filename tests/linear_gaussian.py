"""Linear-Gaussian models and images for tests of the estimators, and what has a closed form for them."""

from dataclasses import replace

import torch
from torch import Tensor

from ratereg.evaluation import LinearVAE
from ratereg.models import Gaussian

Moments = tuple[Tensor, Tensor]
"""A mean and a covariance of images."""


def population(seed: int, eigenvalues: Tensor) -> Moments:
    """Return the moments of images whose covariance has these eigenvalues, along directions drawn at random."""
    generator, pixels = torch.Generator().manual_seed(seed), len(eigenvalues)
    basis = torch.linalg.qr(torch.randn(pixels, pixels, generator=generator, dtype=torch.float64))[0]
    return torch.randn(pixels, generator=generator, dtype=torch.float64), basis * eigenvalues @ basis.T


def sample(moments: Moments, images: int, seed: int) -> Tensor:
    noise = torch.randn(images, len(moments[0]), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return moments[0] + noise @ torch.linalg.cholesky(moments[1]).T


def moments_of(x: Tensor) -> Moments:
    return x.mean(0), torch.cov(x.T, correction=0)


def perturbed(model: LinearVAE, size: float, seed: int) -> LinearVAE:
    """Return a model in no special place: nothing of it is diagonal, centered or matched."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: value for name, value in vars(model).items() if isinstance(value, Tensor)}
    noise = {name: torch.randn(t.shape, generator=generator, dtype=torch.float64) for name, t in tensors.items()}
    return replace(model, **{name: tensor + size * noise[name] for name, tensor in tensors.items()})


def linear_gaussian(
    members: int = 2, latent: int = 3, pixels: int = 6, scale: float = 0.5, width: float = 1.0, seed: int = 0
) -> LinearVAE:
    """Return a model with decoders drawn at random.

    The encoder has the exact posterior's mean, and `width` times its variance in each latent.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(members, latent, pixels, generator=generator, dtype=torch.float64).mT
    bias = torch.randn(members, pixels, generator=generator, dtype=torch.float64)
    covariance = torch.linalg.inv(torch.eye(latent) + weight.mT @ weight / scale**2)
    encoder = covariance @ weight.mT / scale**2
    return LinearVAE(
        decoder_weight=weight,
        decoder_bias=bias,
        encoder_weight=encoder,
        encoder_bias=-(encoder @ bias[..., None]).squeeze(-1),
        log_var=(width * covariance.diagonal(dim1=1, dim2=2)).log(),
        likelihood=Gaussian(scale),
    )


def log_z(model: LinearVAE, x: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the log of the integral of p(z) exp(-t D(x, z)), member x image, from the density at its peak."""
    mean, covariance = model.posterior(x, temperature)
    peak = -temperature * model.likelihood.distortion(model.decode(mean), x) - mean.square().sum(-1) / 2
    return peak + torch.logdet(covariance)[:, None] / 2


def rate_and_distortion(model: LinearVAE, x: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the KL of the density above to the prior, and the mean of D under it, each member x image."""
    mean, covariance = model.posterior(x, temperature)
    trace = covariance.diagonal(dim1=1, dim2=2).sum(-1, keepdim=True)
    rate = (mean.square().sum(-1) + trace - mean.shape[-1] - torch.logdet(covariance)[:, None]) / 2
    spread = (model.decoder_weight @ covariance @ model.decoder_weight.mT).diagonal(dim1=1, dim2=2).sum(-1)
    at_mean = model.likelihood.distortion(model.decode(mean), x)
    return rate, at_mean + spread[:, None] / (2 * model.likelihood.scale**2)
