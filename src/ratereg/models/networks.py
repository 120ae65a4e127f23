"""Network architectures, as frozen values that a study can hold and a model can build."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from ratereg.models.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from ratereg.models.layers import EnsembleMLP

__all__ = ["MLP", "Convolutional", "Network"]


@runtime_checkable
class Network(Protocol):
    """An architecture, as a VAE needs it; images are flattened, channels first."""

    @property
    def name(self) -> str:
        """The name of the architecture's family, for tables."""

    @property
    def layers(self) -> int:
        """The encoder's layers of the family's kind."""

    @property
    def width(self) -> int:
        """Units, or channels, of the first layer."""

    @property
    def latent_dim(self) -> int:
        """Dimensions of the latent space."""

    @property
    def label(self) -> str:
        """The architecture in words, for tables and legends."""

    def build_encoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> nn.Module:
        """Return the encoder: from pixels to the mean and log-variance of each latent dimension, side by side."""

    def build_decoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> nn.Module:
        """Return the decoder: from a latent to one likelihood parameter per pixel."""


@dataclass(frozen=True)
class MLP:
    """A fully connected encoder and decoder, by default mirror images of each other.

    Give `layers` and `width`, or `hidden`, or `encoder` and `decoder`. Equal architectures are equal, however given.

    Arguments:
        layers: hidden layers of the encoder, and of the decoder; 0 for a linear VAE.
        width: units of each hidden layer.
        latent_dim: dimensions of the latent space.
        hidden: units of the encoder's hidden layers; the decoder has them in reverse.
        encoder: units of the encoder's hidden layers.
        decoder: units of the decoder's hidden layers; the reverse of the encoder's if None.

    Raises:
        ValueError: a size is not a positive integer, `layers` is negative, or the arguments contradict each other.
    """

    layers: int = 1
    width: int = 512
    latent_dim: int = 10
    hidden: Sequence[int] | None = None
    encoder: Sequence[int] | None = None
    decoder: Sequence[int] | None = None
    name = "mlp"

    def __post_init__(self) -> None:
        _check_integers("MLP", 0, layers=self.layers)
        _check_integers("MLP", 1, width=self.width, latent_dim=self.latent_dim)
        given = {name: getattr(self, name) for name in ("hidden", "encoder", "decoder")}
        given = {name: _checked_layers(name, sizes) for name, sizes in given.items() if sizes is not None}
        if not given:
            return
        decoder = given.get("decoder")
        encoder = given["hidden"] if "hidden" in given else given.get("encoder")
        encoder = (decoder or ())[::-1] if encoder is None else encoder
        decoder = encoder[::-1] if decoder is None else decoder
        first = encoder[0] if encoder else self.width
        twice = "hidden" in given and len(given) > 1
        if twice or self.layers not in (1, len(encoder)) or self.width not in (512, first):
            layers_and_width = {"layers": self.layers, "width": self.width}
            raise ValueError(f"MLP: {given | layers_and_width} contradict each other; give hidden layers in one way.")
        # The shortest way to say the same, so that equal architectures have equal settings.
        mirrored, even = decoder == encoder[::-1], len({*encoder, *decoder}) <= 1
        shortest = {
            "layers": len(encoder),
            "width": first,
            "hidden": encoder if mirrored and not even else None,
            "encoder": None if mirrored else encoder,
            "decoder": None if mirrored else decoder,
        }
        for name, value in shortest.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return f"MLP({', '.join(f'{name}={value!r}' for name, value in given if value is not None)})"

    @property
    def label(self) -> str:
        """The hidden layers, such as "1 x 512", "400-200-100", "512 / 512-512" or "linear", for tables and legends."""
        if self.encoder is None and self.hidden is None:
            return f"{self.layers} x {self.width}" if self.layers else "linear"
        sides = ["-".join(map(str, sizes)) or "linear" for sizes in self._sides]
        return sides[0] if self.hidden else " / ".join(sides)

    def build_encoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> EnsembleMLP:
        """Return the encoder: from pixels to the mean and log-variance of each latent dimension, side by side."""
        return EnsembleMLP([math.prod(image_shape), *self._sides[0], 2 * self.latent_dim], generators)

    def build_decoder(self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]) -> EnsembleMLP:
        """Return the decoder: from a latent to one likelihood parameter per pixel."""
        return EnsembleMLP([self.latent_dim, *self._sides[1], math.prod(image_shape)], generators)

    @property
    def _sides(self) -> tuple[Sequence[int], Sequence[int]]:
        """The units of the hidden layers of encoder and decoder."""
        if self.encoder is not None and self.decoder is not None:
            return self.encoder, self.decoder
        hidden = [self.width] * self.layers if self.hidden is None else self.hidden
        return hidden, hidden[::-1]


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
    name = "convolutional"
    layers = 2

    def __post_init__(self) -> None:
        _check_integers("Convolutional", 1, width=self.width, latent_dim=self.latent_dim)

    @property
    def label(self) -> str:
        """The architecture in words, for tables and legends."""
        return f"convolutional {self.width}"

    def build_encoder(
        self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]
    ) -> ConvolutionalEncoder:
        """Return the encoder: from pixels to the mean and log-variance of each latent dimension, side by side."""
        return ConvolutionalEncoder(image_shape, self.width, 2 * self.latent_dim, generators)

    def build_decoder(
        self, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]
    ) -> ConvolutionalDecoder:
        """Return the decoder: from a latent to one likelihood parameter per pixel."""
        return ConvolutionalDecoder(self.latent_dim, self.width, image_shape, generators)


def _check_integers(network: str, least: int, **sizes: Any) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{network}: {name} is {value!r}; give an integer of at least {least}.")


def _checked_layers(name: str, sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, str) or not isinstance(sizes, Sequence):
        raise ValueError(f"MLP: {name} is {sizes!r}; give the units of each hidden layer, such as (512, 256).")
    _check_integers("MLP", 1, **{f"{name}[{index}]": size for index, size in enumerate(sizes)})
    return tuple(sizes)
