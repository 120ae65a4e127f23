"""Images in the forms that users have them, as the flattened pixels that models are computed on."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["flat_pixels"]


def flat_pixels(
    x: Shaped[Tensor, "..."], image_shape: tuple[int, int, int] | None, members: int = 1, *, unit_range: bool = True
) -> Float[Tensor, "#member batch pixels"]:
    """Return images as flattened pixels with a member axis; uint8 is divided by 255, floats never are.

    Arguments:
        x: images (batch, channel, height, width) or flattened (batch, pixels), also with a leading axis of the members
            or of 1; uint8, bool, or floats.
        image_shape: channels, height, width; None for any.
        members: the size of the member axis, where it is not 1.
        unit_range: whether floats have to be in [0, 1].

    Raises:
        ValueError: `x` is of another type or shape, or holds floats outside of [0, 1].
    """
    axes = 3 if x.ndim in (4, 5) else 1
    flat = x.flatten(-3) if axes == 3 else x
    flat = flat.unsqueeze(0) if flat.ndim == 2 else flat
    expected = None if image_shape is None else [*image_shape] if axes == 3 else [math.prod(image_shape)]
    if flat.ndim != 3 or len(flat) not in (1, members) or expected not in (None, [*x.shape[-axes:]]):
        raise ValueError(
            f"x has shape {tuple(x.shape)}; give images (batch, channel, height, width), of {image_shape or 'any'}, or "
            f"flattened (batch, pixels), of each of {members} members or of all alike."
        )
    if x.dtype == torch.uint8:
        return flat.float().div_(255)
    if x.dtype == torch.bool:
        return flat.float()
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}; give uint8, or floats in [0, 1].")
    if unit_range and flat.numel() and not flat.is_meta:
        low, high = (bound.item() for bound in flat.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"x is from {low:.4g} to {high:.4g}; give floats in [0, 1], or uint8 from 0 to 255.")
    return flat
