"""The variational autoencoder, always as an ensemble: axis 0 of every tensor is the member."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ratereg.models.likelihoods import Bernoulli, Likelihood
from ratereg.models.networks import Network
from ratereg.models.pixels import flat_pixels
from ratereg.models.priors import Prior, StandardGaussian

__all__ = ["LARGEST_LOG_VAR", "VAE", "LatentVariableModel"]

LARGEST_LOG_VAR = 87.0
"""The largest log-variance, of either sign, whose exponential float32 carries; beyond it a posterior is absurd."""


@runtime_checkable
class LatentVariableModel(Protocol):
    """An ensemble with an encoder, a decoder, a likelihood and a prior, as the estimators take it."""

    @property
    def likelihood(self) -> Likelihood:
        """p(x|z)."""

    @property
    def prior(self) -> Prior:
        """p(z)."""

    @property
    def members(self) -> int:
        """The number of members."""

    @property
    def device(self) -> torch.device:
        """The device to compute on."""

    def encode(
        self, x: Shaped[Tensor, "..."]
    ) -> tuple[Float[Tensor, "member batch latent"], Float[Tensor, "member batch latent"]]:
        """Return the mean and log-variance of q(z|x), for flattened pixels (1 or member, batch, pixels) in [0, 1]."""

    def decode(self, z: Float[Tensor, "#member batch latent"]) -> Float[Tensor, "member batch pixels"]:
        """Return the likelihood's parameters, one per pixel; differentiable in `z`."""


class VAE(nn.Module):
    """An ensemble of VAEs of one architecture; a single VAE is an ensemble of one.

    Members with equal seeds start from equal weights, so contrasts between them are paired.

    Where a method takes images `x`, these are (batch, channel, height, width), or flattened (batch, pixels), with or
    without a leading axis of the members or of 1. They are uint8, or floats in [0, 1]; a Gaussian likelihood takes any.

    Arguments:
        network: the architecture, built once for all members.
        image_shape: channels, height, width.
        seeds: one seed per member for the initial weights.
        likelihood: p(x|z); Bernoulli if None.
        prior: p(z), of which the VAE builds a copy of its own; the standard Gaussian if None.

    Raises:
        ValueError: `seeds` is empty or holds something other than integers, or the network is not for images of that
            shape.

    Example:
        >>> vae = VAE(MLP(), (1, 28, 28), seeds=[0, 1], prior=MixtureOfGaussians(components=20))
        >>> vae.reconstruct(torch.rand(8, 1, 28, 28)).shape, vae.sample(16).shape
        (torch.Size([2, 8, 1, 28, 28]), torch.Size([2, 16, 1, 28, 28]))
    """

    def __init__(
        self,
        network: Network,
        image_shape: tuple[int, int, int],
        seeds: Sequence[int],
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        if not seeds or not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds):
            raise ValueError(f"VAE: seeds is {list(seeds)}; give one integer per member.")
        if len(image_shape) != 3 or min(image_shape) < 1:
            raise ValueError(f"VAE: image_shape is {image_shape}; give channels, height and width.")
        if likelihood is not None and not isinstance(likelihood, Likelihood):
            raise ValueError(f"VAE: likelihood is {likelihood!r}; give a likelihood such as Bernoulli().")
        if prior is not None and not isinstance(prior, Prior):
            raise ValueError(f"VAE: prior is {prior!r}; give a prior such as StandardGaussian().")
        self.network = network
        self.image_shape = image_shape
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.encoder = network.build_encoder(self.image_shape, generators)
        self.decoder = network.build_decoder(self.image_shape, generators)
        self.prior = copy.deepcopy(StandardGaussian() if prior is None else prior)
        self.prior.build(network.latent_dim, generators, image_shape=self.image_shape, encode=self._posterior)

    @property
    def members(self) -> int:
        """The number of members."""
        return int(next(self.parameters()).shape[0])

    @property
    def latent_dim(self) -> int:
        """Dimensions of the latent space."""
        return self.network.latent_dim

    @property
    def device(self) -> torch.device:
        """The device that holds the parameters."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of encoder and decoder, in which the matrix products run."""
        return next(self.parameters()).dtype

    def only(self, members: slice | Sequence[int]) -> "VAE":
        """Return some members as an ensemble of their own; for a slice, with the same weights in the same memory."""
        own: dict[int, Tensor] = {id(buffer): buffer[members] for buffer in self.buffers()}
        for weight in self.parameters():
            own[id(weight)] = nn.Parameter(weight.detach()[members], weight.requires_grad)
        return copy.deepcopy(self, own)

    def encode(
        self, x: Shaped[Tensor, "..."]
    ) -> tuple[Float[Tensor, "member batch latent"], Float[Tensor, "member batch latent"]]:
        """Return the mean and log-variance of q(z|x), float32 at least, for images `x`.

        Raises:
            ValueError: `x` is of another type or shape, or holds floats outside of [0, 1].
        """
        unit_range = isinstance(self.likelihood, Bernoulli)
        return self._posterior(flat_pixels(x, self.image_shape, self.members, unit_range=unit_range))

    def decode(self, z: Float[Tensor, "#member batch latent"]) -> Float[Tensor, "member batch pixels"]:
        """Return the likelihood's parameters, one per pixel, in the type of the parameters."""
        parameters: Tensor = self.decoder(z.to(self.dtype).expand(self.members, -1, -1))
        return parameters

    def forward(
        self, x: Float[Tensor, "#member batch pixels"], noise: Float[Tensor, "#member batch latent"]
    ) -> tuple[Float[Tensor, "member batch"], Float[Tensor, "member batch"]]:
        """Return the distortion of one reparameterized sample, and the rate, of each image, in nats.

        The rate is NaN where a log-variance is beyond `LARGEST_LOG_VAR`. `x` is not checked.

        Source: Kingma and Welling (2014), eq. 10.
        """
        mean, log_var = self._posterior(x)
        z = mean + (log_var / 2).exp() * noise
        rate = self.prior.rate(mean, log_var, z).masked_fill((log_var.abs() > LARGEST_LOG_VAR).any(-1), math.nan)
        return self.likelihood.distortion(self.decode(z), x), rate

    @torch.no_grad()
    def reconstruct(self, x: Shaped[Tensor, "..."]) -> Float[Tensor, "member batch channel height width"]:
        """Return the mean image, in [0, 1], that each member decodes from the posterior mean of each image of `x`.

        Raises:
            ValueError: as `encode`.
        """
        return self._images(self.encode(x)[0])

    @torch.no_grad()
    def sample(
        self, count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "member count channel height width"]:
        """Return the mean images, in [0, 1], that each member decodes from `count` draws of its prior.

        The members share the random numbers; the generator is on the CPU.

        Raises:
            ValueError: `count` is not positive.
        """
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"sample: count is {count!r}; give a positive number of images.")
        return self._images(self.prior.sample(count, generator))

    def save(self, path: str | Path) -> None:
        """Write weights and settings to a safetensors file, whole or not at all; `load_model` reads it.

        Raises:
            StorageError: the file can't be written.
            ValueError: a network, likelihood or prior of one's own has settings that can't be written.
        """
        from ratereg.models.files import save_model

        save_model(self, Path(path))

    def _posterior(
        self, x: Float[Tensor, "#member batch pixels"]
    ) -> tuple[Float[Tensor, "member batch latent"], Float[Tensor, "member batch latent"]]:
        outputs = self.encoder(x.to(self.dtype).expand(self.members, -1, -1))
        mean, log_var = outputs.to(torch.promote_types(self.dtype, torch.float32)).chunk(2, dim=-1)
        return mean, log_var

    def _images(self, z: Tensor) -> Tensor:
        images: Tensor = self.likelihood.mean(self.decode(z).float()).clamp(0, 1).unflatten(2, self.image_shape)
        return images
