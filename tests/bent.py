"""Small Bernoulli models, bent enough for posteriors far from Gaussian, and sums over a dense grid of their latents."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from ratereg.models import MLP, VAE, DiagonalGaussian, MixtureOfGaussians, Prior


def bent(latent: int, seeds: Sequence[int] = (3, 8), prior: Prior | None = None) -> VAE:
    """Return models of 12 pixels; a prior with parameters is far from where it starts, another one for each member."""
    vae = VAE(MLP(1, 8, latent), (1, 3, 4), list(seeds), prior=prior).double()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(4)
        for parameter in vae.prior.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return vae


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def grid(vae: VAE) -> tuple[Tensor, Tensor]:
    """Return latents (point, latent), and the log mass of the prior around each, (member or 1, point), by formulas."""
    prior, latent = vae.prior, vae.latent_dim
    spacing = 0.004 if latent == 1 else 0.04
    reach = 9 if next(prior.parameters(), None) is None else 14
    axis = torch.arange(-reach, reach, spacing, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latent).view(-1, latent)
    if isinstance(prior, DiagonalGaussian):
        log_prob = Normal(prior.mean, (prior.log_var / 2).exp()).log_prob(z).sum(-1)
    elif isinstance(prior, MixtureOfGaussians):
        components = Normal(prior.mean[:, :, None], (prior.log_var / 2).exp()[:, :, None]).log_prob(z).sum(-1)
        log_prob = (prior.logits.log_softmax(1)[..., None] + components).logsumexp(1)
    else:
        log_prob = Normal(0.0, 1.0).log_prob(z).sum(-1)[None]
    return z, log_prob + latent * math.log(spacing)


@torch.no_grad()
def distortion_on(vae: VAE, z: Tensor, x: Tensor) -> Tensor:
    """Return D(x, z), (member, image, point), as a formula of the logits."""
    logits = vae.decode(z[None])
    return F.softplus(logits).sum(-1)[:, None] - x @ logits.mT


def log_evidence(vae: VAE, x: Tensor) -> Tensor:
    """Return the log of the integral of p(z) exp(-D(x, z)), (member, image)."""
    z, log_mass = grid(vae)
    return (log_mass[:, None] - distortion_on(vae, z, x)).logsumexp(-1)
