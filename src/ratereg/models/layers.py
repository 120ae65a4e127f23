"""Layers and networks whose parameters carry a leading member axis."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ratereg.models.convolution import convolve, convolve_transposed

__all__ = [
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "EnsembleConv2d",
    "EnsembleConvTranspose2d",
    "EnsembleLinear",
    "EnsembleMLP",
]

_HIDDEN = 256
"""Units of a convolutional network's hidden layer."""


class EnsembleLinear(nn.Module):
    """An affine map per member, evaluated as a single batched matrix product.

    Weights and biases are uniform on +-1/sqrt(inputs), as in `torch.nn.Linear`, and are drawn from one generator per
    member, so that a member starts from the same values whatever the rest of the ensemble is.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        weights, biases = [], []
        for generator in generators:
            weights.append(torch.empty(inputs, outputs).uniform_(-bound, bound, generator=generator))
            biases.append(torch.empty(1, outputs).uniform_(-bound, bound, generator=generator))
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.stack(biases))

    def forward(self, x: Float[Tensor, "member batch inputs"]) -> Float[Tensor, "member batch outputs"]:
        """Map a batch per member."""
        return torch.baddbmm(self.bias, x, self.weight)


class EnsembleMLP(nn.Module):
    """A fully connected ReLU network per member, without activation after the last layer."""

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EnsembleLinear(inputs, outputs, generators) for inputs, outputs in itertools.pairwise(sizes)
        )

    def forward(self, x: Float[Tensor, "member batch inputs"]) -> Float[Tensor, "member batch outputs"]:
        """Map a batch per member through all layers."""
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.relu_(layer(x))
        out: Tensor = last(x)
        return out


class EnsembleConv2d(nn.Module):
    """A convolution per member, which halves the image's sides.

    Weights and biases are uniform on +-1/sqrt(16 inputs), as in `torch.nn.Conv2d`, and are drawn from one generator per
    member, so that a member starts from the same values whatever the rest of the ensemble is.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight, self.bias = _drawn((outputs, inputs, 4, 4), outputs, inputs, generators)

    def forward(
        self, x: Float[Tensor, "member batch height width inputs"]
    ) -> Float[Tensor, "member batch half_height half_width outputs"]:
        """Map a batch per member."""
        return convolve(x, self.weight, self.bias)


class EnsembleConvTranspose2d(nn.Module):
    """A transposed convolution per member, which doubles the image's sides.

    Weights and biases are uniform on +-1/sqrt(16 outputs), as in `torch.nn.ConvTranspose2d`, from one generator per
    member.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight, self.bias = _drawn((inputs, outputs, 4, 4), outputs, outputs, generators)

    def forward(
        self, x: Float[Tensor, "member batch height width inputs"]
    ) -> Float[Tensor, "member batch double_height double_width outputs"]:
        """Map a batch per member."""
        return convolve_transposed(x, self.weight, self.bias)


class ConvolutionalEncoder(nn.Module):
    """Two convolutions and a hidden layer per member, each followed by a ReLU, and a last linear layer."""

    def __init__(
        self, image_shape: tuple[int, int, int], width: int, outputs: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        channels, height, breadth = _quartered(image_shape)
        self.first = EnsembleConv2d(channels, width, generators)
        self.second = EnsembleConv2d(width, 2 * width, generators)
        self.hidden = EnsembleLinear(height * breadth * 2 * width, _HIDDEN, generators)
        self.last = EnsembleLinear(_HIDDEN, outputs, generators)

    def forward(self, x: Float[Tensor, "member batch pixels"]) -> Float[Tensor, "member batch outputs"]:
        """Map flattened images of each member."""
        images = x.unflatten(2, self.image_shape).movedim(2, 4)
        # A copy, since the strides of a single channel would be taken for those of channels that come first.
        images = images.clone(memory_format=torch.contiguous_format)
        features = torch.relu_(self.second(torch.relu_(self.first(images))))
        out: Tensor = self.last(torch.relu_(self.hidden(features.flatten(2))))
        return out


class ConvolutionalDecoder(nn.Module):
    """A linear layer, a hidden layer and two transposed convolutions per member, with a ReLU after all but the last."""

    def __init__(
        self, inputs: int, width: int, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        channels, height, breadth = _quartered(image_shape)
        self.feature_shape = (height, breadth, 2 * width)
        self.hidden = EnsembleLinear(inputs, _HIDDEN, generators)
        self.spread = EnsembleLinear(_HIDDEN, math.prod(self.feature_shape), generators)
        self.first = EnsembleConvTranspose2d(2 * width, width, generators)
        self.last = EnsembleConvTranspose2d(width, channels, generators)

    def forward(self, z: Float[Tensor, "member batch inputs"]) -> Float[Tensor, "member batch pixels"]:
        """Map latents of each member to flattened images."""
        features = torch.relu_(self.spread(torch.relu_(self.hidden(z)))).unflatten(2, self.feature_shape)
        images: Tensor = self.last(torch.relu_(self.first(features)))
        return images.movedim(4, 2).flatten(2)


def _drawn(
    shape: tuple[int, int, int, int], outputs: int, channels: int, generators: Sequence[torch.Generator]
) -> tuple[nn.Parameter, nn.Parameter]:
    bound = 1 / math.sqrt(16 * channels)
    weights, biases = [], []
    for generator in generators:
        weights.append(torch.empty(shape).uniform_(-bound, bound, generator=generator))
        biases.append(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
    return nn.Parameter(torch.stack(weights)), nn.Parameter(torch.stack(biases))


def _quartered(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the channels, and a quarter of each side."""
    channels, height, breadth = image_shape
    if min(image_shape) < 1 or height % 4 or breadth % 4:
        raise ValueError(
            f"Convolutional: image_shape is {image_shape}; give images whose sides are multiples of 4, or use an MLP."
        )
    return channels, height // 4, breadth // 4
