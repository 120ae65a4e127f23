"""Images as the estimators take them: checked against a model, and encoded in batches."""

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ratereg.evaluation.posteriors import check_rows, nan_if_absurd
from ratereg.models import Bernoulli, LatentVariableModel
from ratereg.models.pixels import described, flat_pixels

__all__ = ["Images", "Quantity", "batches", "checked_images", "encode_batches", "quantity_of", "row_batches"]

Images = Float[Tensor, "..."] | UInt8[Tensor, "..."]
"""Images in the forms that `flat_pixels` takes."""

Quantity = Literal["log-likelihood", "pseudo-evidence"]
"""What log of the integral of p(z) exp(-D(x, z)) is: see `Likelihood.is_density`."""


def quantity_of(model: LatentVariableModel, x: Float[Tensor, "*#member image pixels"]) -> Quantity:
    """Return what a bound on log p(x) bounds, for images like `x`."""
    return "log-likelihood" if model.likelihood.is_density(x) else "pseudo-evidence"


@torch.no_grad()
def checked_images(model: LatentVariableModel, x: Images) -> Float[Tensor, "#member image pixels"]:
    """Return the images on the model's device, flattened, with their member axis, of length 1 if they are shared.

    Raises ValueError unless `x` has the shape, the number of pixels and the values that the model takes.
    """
    x = _flat(model, x, "x")
    if x.shape[1] == 0:
        raise ValueError("x is empty; give at least one image.")
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
        yield here, _flat(model, pixels[rows[here].to(pixels.device)], "pixels")


def _flat(model: LatentVariableModel, x: Tensor, name: str) -> Float[Tensor, "#member image pixels"]:
    unit_range = isinstance(model.likelihood, Bernoulli)
    return flat_pixels(x, None, model.members, unit_range=unit_range, name=name).to(model.device)


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
