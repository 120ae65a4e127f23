"""Convolutions whose kernels carry a leading member axis, and their transposes.

Kernels are 4 x 4, with stride 2 and padding 1, so they halve or double the sides of images, which have to be even.
Images are (member, batch, height, width, channels), since the libraries are fastest with the channels last.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["convolve", "convolve_transposed", "runs_one_by_one"]

_FEW_CHANNELS = 4
"""The CPU's library computes 16 channels of a transposed convolution at a time, also where there are one or three.

To so few, a batched product is faster there as well.
"""


def runs_one_by_one(device: torch.device) -> bool:
    """Return whether members are convolved one after another, and not as one batched product of copied patches.

    On the CPU that is the fastest of the ways that `benchmarks/convolution.py` tries, at each number of members and in
    both precisions. No GPU was measured. There the loop would be many small kernels, several for each member and layer,
    whereas a batched product fills the card whatever a member's size, and a captured graph of it has as few kernels for
    sixty members as for one.
    """
    return device.type == "cpu"


def convolve(
    x: Float[Tensor, "member batch height width inputs"],
    weight: Float[Tensor, "member outputs inputs 4 4"],
    bias: Float[Tensor, "member outputs"],
) -> Float[Tensor, "member batch half_height half_width outputs"]:
    """Convolve the images of each member with its kernels."""
    if runs_one_by_one(x.device):
        members = zip(_channels_first(x), weight, bias, strict=True)
        return torch.stack([F.conv2d(*member, stride=2, padding=1).movedim(1, 3) for member in members])
    patches: Tensor = _Unfolded.apply(x).flatten(4).flatten(1, 3)  # type: ignore[no-untyped-call]
    products = torch.baddbmm(bias.unsqueeze(1), patches, weight.permute(0, 3, 4, 2, 1).flatten(1, 3))
    images: Tensor = products.unflatten(1, (x.shape[1], x.shape[2] // 2, x.shape[3] // 2))
    return images


def convolve_transposed(
    x: Float[Tensor, "member batch height width inputs"],
    weight: Float[Tensor, "member inputs outputs 4 4"],
    bias: Float[Tensor, "member outputs"],
) -> Float[Tensor, "member batch double_height double_width outputs"]:
    """Apply the transposed convolution of each member to its images."""
    if runs_one_by_one(x.device) and weight.shape[2] > _FEW_CHANNELS:
        members = zip(_channels_first(x), weight, bias, strict=True)
        return torch.stack([_Transposed.apply(*member).movedim(1, 3) for member in members])  # type: ignore[no-untyped-call]
    patches = torch.bmm(x.flatten(1, 3), weight.movedim(2, 4).flatten(2))
    folded: Tensor = _Folded.apply(patches.unflatten(2, (4, 4, -1)).unflatten(1, x.shape[1:4]))  # type: ignore[no-untyped-call]
    return folded + bias[:, None, None, None]


class _Transposed(torch.autograd.Function):
    """One member's transposed convolution, differentiated as the adjoint of a convolution.

    PyTorch's own gradient of its weights takes twice the time in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,), (x, weight) = grad_outputs, ctx.saved_tensors
        geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
        # The images of the transposed convolution are the outputs of the convolution whose adjoint it is.
        _, grad_weight, _ = torch.ops.aten.convolution_backward(
            x, grad, weight, None, *geometry, output_mask=[False, True, False]
        )
        return F.conv2d(grad, weight, stride=2, padding=1), grad_weight, grad.sum((0, 2, 3))


class _Unfolded(torch.autograd.Function):
    """The patches that the kernels cover."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _unfold(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return _fold(grad_outputs[0])


class _Folded(torch.autograd.Function):
    """The sum of overlapping patches."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor) -> Tensor:
        return _fold(patches)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return _unfold(grad_outputs[0])


def _unfold(
    x: Float[Tensor, "member batch height width channels"],
) -> Float[Tensor, "member batch half_height half_width 4 4 channels"]:
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    return padded.unfold(2, 4, 2).unfold(3, 4, 2).movedim(4, 6).contiguous()


def _fold(
    patches: Float[Tensor, "member batch height width 4 4 channels"],
) -> Float[Tensor, "member batch double_height double_width channels"]:
    """Add patches up where they overlap, in float32 at least; the adjoint of `_unfold`."""
    members, batch, height, width, _, _, channels = patches.shape
    wide = patches.to(torch.promote_types(patches.dtype, torch.float32))
    # Cut into blocks of 2 x 2, each patch is added to four blocks.
    sums = wide.new_zeros(members, batch, height + 1, 2, width + 1, 2, channels)
    for down in (0, 1):
        for right in (0, 1):
            part = wide[..., 2 * down : 2 * down + 2, 2 * right : 2 * right + 2, :]
            sums[:, :, down : down + height, :, right : right + width] += part.transpose(3, 4)
    return sums.flatten(4, 5).flatten(2, 3)[:, :, 1:-1, 1:-1].to(patches.dtype)


def _channels_first(
    x: Float[Tensor, "member batch height width channels"],
) -> Float[Tensor, "member batch channels height width"]:
    return x.movedim(4, 2)
