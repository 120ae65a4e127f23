"""Images in the forms that users have them, as the flattened pixels that models are computed on."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["described", "flat_pixels"]


def flat_pixels(
    x: Shaped[Tensor, "..."],
    image_shape: tuple[int, int, int] | None,
    members: int = 1,
    *,
    unit_range: bool = True,
    name: str = "x",
) -> Float[Tensor, "#member batch pixels"]:
    """Return images as flattened pixels with a member axis; uint8 is divided by 255, floats never are.

    Arguments:
        x: images (batch, channel, height, width) or flattened (batch, pixels), also with a leading axis of the members
            or of 1; uint8, bool, or floats.
        image_shape: channels, height, width; None for any.
        members: the size of the member axis, where it is not 1.
        unit_range: whether floats have to be in [0, 1].
        name: name of `x` in errors.

    Raises:
        ValueError: `x` is of another type or shape, or holds NaN, infinity or floats outside of [0, 1].
    """
    if not isinstance(x, Tensor) or not (x.is_floating_point() or x.dtype in (torch.uint8, torch.bool)):
        raise ValueError(f"{name} is {described(x)}; give a tensor of uint8, or of floats in [0, 1].")
    axes = 3 if x.ndim in (4, 5) else 1
    flat = x.flatten(-3) if axes == 3 else x
    flat = flat.unsqueeze(0) if flat.ndim == 2 else flat
    expected = None if image_shape is None else [*image_shape] if axes == 3 else [math.prod(image_shape)]
    if flat.ndim != 3 or len(flat) not in (1, members) or expected not in (None, [*x.shape[-axes:]]):
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; give images (batch, channel, height, width), of "
            f"{image_shape or 'any'}, or flattened (batch, pixels), of each of {members} members or of all alike."
        )
    if x.dtype == torch.uint8:
        return flat.float().div_(255)
    if x.dtype == torch.bool:
        return flat.float()
    if flat.numel() and not flat.is_meta:
        low, high = (bound.item() for bound in flat.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{name} holds NaN or infinity; give finite pixels.")
        if unit_range and not (low >= 0 and high <= 1):
            raise ValueError(f"{name} is from {low:.4g} to {high:.4g}; give floats in [0, 1], or uint8 from 0 to 255.")
    return flat


def described(value: object) -> str:
    """Return the type of a value, with the shape and device of a tensor or the length of a sequence, for an error."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} on {value.device}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list) else "")
