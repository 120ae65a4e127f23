"""Convolutional layers and networks whose parameters carry a leading member axis.

Kernels are 4 x 4, with stride 2 and padding 1, so they halve or double the sides of images, which have to be even.
Images are (member, batch, height, width, channel), since libraries are fastest with the channels last. Members are
convolved one after another: of the ways that `benchmarks/convolution.py` measures on a CPU, that is the fastest.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ratereg.models.layers import EnsembleLinear, uniform_parameters

__all__ = ["ConvolutionalDecoder", "ConvolutionalEncoder", "EnsembleConv2d", "EnsembleConvTranspose2d"]

_HIDDEN = 256
"""Units of the fully connected layer."""


class EnsembleConv2d(nn.Module):
    """A convolution per member, which halves the image's sides. Its parameters start as in `torch.nn.Conv2d`."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight, self.bias = uniform_parameters((outputs, inputs, 4, 4), (outputs,), 16 * inputs, generators)

    def forward(
        self, x: Float[Tensor, "member batch height width inputs"]
    ) -> Float[Tensor, "member batch half_height half_width outputs"]:
        """Map a batch per member."""
        return _one_by_one(F.conv2d, x, self.weight, self.bias)


class EnsembleConvTranspose2d(nn.Module):
    """A transposed convolution per member, which doubles the image's sides.

    Its parameters start as in `torch.nn.ConvTranspose2d`.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight, self.bias = uniform_parameters((inputs, outputs, 4, 4), (outputs,), 16 * outputs, generators)

    def forward(
        self, x: Float[Tensor, "member batch height width inputs"]
    ) -> Float[Tensor, "member batch double_height double_width outputs"]:
        """Map a batch per member."""
        return _one_by_one(F.conv_transpose2d, x, self.weight, self.bias)


class ConvolutionalEncoder(nn.Module):
    """Two convolutions and a hidden layer per member, each followed by a ReLU, and a last linear layer.

    Raises:
        ValueError: the images' sides are not multiples of 4.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], width: int, outputs: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        height, breadth = _quarters(image_shape)
        self.first = EnsembleConv2d(image_shape[0], width, generators)
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
    """A linear layer, a hidden layer and two transposed convolutions per member, with a ReLU after all but the last.

    Raises:
        ValueError: the images' sides are not multiples of 4.
    """

    def __init__(
        self, inputs: int, width: int, image_shape: tuple[int, int, int], generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.feature_shape = (*_quarters(image_shape), 2 * width)
        self.hidden = EnsembleLinear(inputs, _HIDDEN, generators)
        self.spread = EnsembleLinear(_HIDDEN, math.prod(self.feature_shape), generators)
        self.first = EnsembleConvTranspose2d(2 * width, width, generators)
        self.last = EnsembleConvTranspose2d(width, image_shape[0], generators)

    def forward(self, z: Float[Tensor, "member batch inputs"]) -> Float[Tensor, "member batch pixels"]:
        """Map latents of each member to flattened images."""
        features = torch.relu_(self.spread(torch.relu_(self.hidden(z)))).unflatten(2, self.feature_shape)
        images: Tensor = self.last(torch.relu_(self.first(features)))
        return images.movedim(4, 2).flatten(2)


def _one_by_one(function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    members = zip(x.movedim(4, 2), weight, bias, strict=True)
    return torch.stack([function(*member, stride=2, padding=1).movedim(1, 3) for member in members])


def _quarters(image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return a quarter of each side."""
    _, height, breadth = image_shape
    if height % 4 or breadth % 4:
        raise ValueError(
            f"Convolutional: image_shape is {image_shape}; give images whose sides are multiples of 4, or use an MLP."
        )
    return height // 4, breadth // 4
