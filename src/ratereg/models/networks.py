"""Network architectures, as frozen values that a study can hold and a model can build."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ratereg.models.layers import EnsembleMLP

__all__ = ["MLP"]


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
        for name in ("width", "latent_dim"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"MLP: {name} is {value!r}; give a positive integer.")
        if not isinstance(self.layers, int) or isinstance(self.layers, bool) or not 0 <= self.layers <= 3:
            raise ValueError(f"MLP: layers is {self.layers!r}; give 1, 2 or 3 hidden layers, or 0 for a linear VAE.")

    @property
    def name(self) -> str:
        """The name of the architecture's family, as it stands in tables."""
        return "mlp"

    def encoder(self, inputs: int, generators: Sequence[torch.Generator]) -> EnsembleMLP:
        """Build the encoder: from pixels to the mean and log-variance of each latent dimension."""
        return EnsembleMLP([inputs, *[self.width] * self.layers, 2 * self.latent_dim], generators)

    def decoder(self, outputs: int, generators: Sequence[torch.Generator]) -> EnsembleMLP:
        """Build the decoder: from a latent to one likelihood parameter per pixel."""
        return EnsembleMLP([self.latent_dim, *[self.width] * self.layers, outputs], generators)
