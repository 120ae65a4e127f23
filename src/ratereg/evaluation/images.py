"""Images as the estimators take them: checked against a model, and encoded in batches."""

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ratereg.evaluation.posteriors import check_rows, described, nan_if_absurd
from ratereg.models import Bernoulli, LatentVariableModel

__all__ = ["Images", "Quantity", "batches", "checked_images", "encode_batches", "quantity_of", "row_batches"]

Images = Float[Tensor, "..."] | UInt8[Tensor, "..."]
"""Images (image, pixels) or (image, channel, height, width), with a first axis of the members where each has its own:
floats as the model was trained on, in [0, 1] for a Bernoulli likelihood, or uint8, which are divided by 255."""

Quantity = Literal["log-likelihood", "pseudo-evidence"]
"""What log of the integral of p(z) exp(-D(x, z)) is: see `Likelihood.is_density`."""


def quantity_of(model: LatentVariableModel, x: Float[Tensor, "*#member image pixels"]) -> Quantity:
    """Return what a bound on log p(x) bounds, for images like `x`."""
    return "log-likelihood" if model.likelihood.is_density(x) else "pseudo-evidence"


def _checked_pixels(name: str, x: object, model: LatentVariableModel) -> Float[Tensor, "..."]:
    """Return pixels as floats on the model's device: uint8 divided by 255, floats if finite and in range."""
    if not isinstance(x, Tensor) or not (x.is_floating_point() or x.dtype == torch.uint8):
        raise ValueError(f"{name} is {described(x)}; give a tensor of floats or uint8.")
    if x.dtype == torch.uint8:
        return x.to(model.device).float().div_(255)
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinity; give finite pixels.")
    if isinstance(model.likelihood, Bernoulli) and not ((x >= 0) & (x <= 1)).all():
        raise ValueError(
            f"{name} holds pixels from {float(x.min()):g} to {float(x.max()):g}, and the likelihood is Bernoulli; give "
            "floats in [0, 1] or uint8."
        )
    return x.to(model.device)


@torch.no_grad()
def checked_images(model: LatentVariableModel, x: Images) -> Float[Tensor, "#member image pixels"]:
    """Return the images on the model's device, flattened, with their member axis, of length 1 if they are shared.

    Raises ValueError unless `x` has the shape, the number of pixels and the values that the model takes.
    """
    x = _checked_pixels("x", x, model)
    x = x.flatten(-3) if x.ndim in (4, 5) else x
    if x.ndim not in (2, 3) or 0 in x.shape or (x.ndim == 3 and x.shape[0] not in (1, model.members)):
        raise ValueError(
            f"x has shape {tuple(x.shape)}; give (image, pixels) or (member, image, pixels), for 1 or {model.members} "
            "members and at least one image."
        )
    x = x.unsqueeze(0) if x.ndim == 2 else x
    try:
        mean, _ = model.encode(x[:, :1])
    except RuntimeError as error:
        raise ValueError(
            f"x has {x.shape[-1]} pixels an image, which the model does not encode ({error}); give the images that it "
            "was made for."
        ) from error
    decoded = model.decode(mean).shape[-1]
    if decoded != x.shape[-1]:
        raise ValueError(f"x has {x.shape[-1]} pixels an image, and the model decodes to {decoded}; give as many.")
    return x


def batches(
    x: Float[Tensor, "#member image pixels"], batch_size: int
) -> Iterator[tuple[slice, Float[Tensor, "#member batch pixels"]]]:
    """Yield the images batch by batch, and their places."""
    for start in range(0, x.shape[1], batch_size):
        here = slice(start, start + batch_size)
        yield here, x[:, here]


def row_batches(
    model: LatentVariableModel, pixels: Tensor, rows: Tensor, batch_size: int
) -> Iterator[tuple[slice, Float[Tensor, "1 batch pixels"]]]:
    """Yield the images in `rows` batch by batch, as the model takes them, and their places.

    Raises ValueError if the rows are not those of images, or a value is out of range.
    """
    check_rows("rows", rows, len(pixels))
    if pixels.ndim != 2:
        raise ValueError(f"pixels is {described(pixels)}; give flattened images, (image, pixels).")
    for start in range(0, len(rows), batch_size):
        here = slice(start, start + batch_size)
        yield here, _checked_pixels("pixels", pixels[rows[here].to(pixels.device)], model).unsqueeze(0)


@torch.no_grad()
def encode_batches(
    model: LatentVariableModel, images: int, parts: Iterator[tuple[slice, Float[Tensor, "#member batch pixels"]]]
) -> tuple[Float[Tensor, "member image latent"], Float[Tensor, "member image latent"]]:
    """Return the mean and log-variance of q(z|x) of all images, NaN for members that are absurd."""
    out = torch.empty(0)
    for here, x in parts:
        posterior = torch.stack(model.encode(x))
        if out.ndim == 1:
            # Made once: small results kept between large temporaries would fragment gigabytes of memory.
            out = posterior.new_empty(2, model.members, images, posterior.shape[-1])
        out[:, :, here] = posterior
    mean, log_var = out
    return nan_if_absurd(mean, log_var)
