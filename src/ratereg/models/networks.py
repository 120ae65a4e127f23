"""Network architectures, as frozen values that a study can hold and a model can build."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from ratereg.models.layers import ConvolutionalDecoder, ConvolutionalEncoder, EnsembleMLP

__all__ = ["MLP", "Convolutional", "Network"]


@runtime_checkable
class Network(Protocol):
    """What a VAE asks of its architecture; images are flattened, channels first."""

    @property
    def name(self) -> str:
        """The name of the architecture's family, as it stands in tables."""
        ...

    @property
    def layers(self) -> int:
        """The encoder's layers of the family's kind."""
        ...

    @property
    def width(self) -> int:
        """Units, or channels, of the first layer."""
        ...

    @property
    def latent_dim(self) -> int:
        """Dimensions of the latent space."""
        ...

    def encoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> nn.Module:
        """Build the encoder: from pixels to the mean and log-variance of each latent dimension."""
        ...

    def decoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> nn.Module:
        """Build the decoder: from a latent to one likelihood parameter per pixel."""
        ...


@dataclass(frozen=True)
class MLP:
    """A fully connected encoder and its mirrored decoder.

    Arguments:
        layers: hidden layers of the encoder, and of the decoder: 1, 2 or 3; or 0 for a linear VAE.
        width: units of each hidden layer.
        latent_dim: dimensions of the latent space.

    Raises:
        ValueError: a size is not a positive integer, or `layers` is not from 0 to 3.
    """

    layers: int = 1
    width: int = 512
    latent_dim: int = 10

    def __post_init__(self) -> None:
        _check_sizes("MLP", width=self.width, latent_dim=self.latent_dim)
        if not isinstance(self.layers, int) or isinstance(self.layers, bool) or not 0 <= self.layers <= 3:
            raise ValueError(f"MLP: layers is {self.layers!r}; give 1, 2 or 3 hidden layers, or 0 for a linear VAE.")

    @property
    def name(self) -> str:
        """The name of the architecture's family, as it stands in tables."""
        return "mlp"

    def encoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> EnsembleMLP:
        """Build the encoder: from pixels to the mean and log-variance of each latent dimension."""
        return EnsembleMLP([math.prod(image_shape), *[self.width] * self.layers, 2 * self.latent_dim], generators)

    def decoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> EnsembleMLP:
        """Build the decoder: from a latent to one likelihood parameter per pixel."""
        return EnsembleMLP([self.latent_dim, *[self.width] * self.layers, math.prod(image_shape)], generators)


@dataclass(frozen=True)
class Convolutional:
    """Two convolutions and a hidden layer of 256 units as encoder, mirrored as decoder.

    Each convolution has 4 x 4 kernels, halves the image's sides and is followed by a ReLU: the usual small network for
    images of 28 x 28 and 32 x 32, for which the usual one for 64 x 64 has a convolution or two too many.

    Arguments:
        width: channels after the first convolution; after the second there are twice as many.
        latent_dim: dimensions of the latent space.

    Raises:
        ValueError: a size is not a positive integer. Building a network raises it for images whose sides are not
            multiples of 4.

    Source: after Chen et al. (2016), appendix C.1, and Burgess et al. (2018), appendix A.
    """

    width: int = 32
    latent_dim: int = 10

    def __post_init__(self) -> None:
        _check_sizes("Convolutional", width=self.width, latent_dim=self.latent_dim)

    @property
    def name(self) -> str:
        """The name of the architecture's family, as it stands in tables."""
        return "convolutional"

    @property
    def layers(self) -> int:
        """The convolutions of the encoder, and of the decoder."""
        return 2

    def encoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> ConvolutionalEncoder:
        """Build the encoder: from pixels to the mean and log-variance of each latent dimension."""
        return ConvolutionalEncoder(image_shape, self.width, 2 * self.latent_dim, generators)

    def decoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> ConvolutionalDecoder:
        """Build the decoder: from a latent to one likelihood parameter per pixel."""
        return ConvolutionalDecoder(self.latent_dim, self.width, image_shape, generators)


def _check_sizes(network: str, **sizes: int) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{network}: {name} is {value!r}; give a positive integer.")
