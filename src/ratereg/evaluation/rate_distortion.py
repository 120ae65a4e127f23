"""Rate and distortion of an ensemble on a set of images, every image weighted alike."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from ratereg.evaluation.images import encode_batches, row_batches
from ratereg.evaluation.posteriors import check_at_least, normal_noise
from ratereg.evaluation.standard_errors import nan_unless_finite, two_stage_error
from ratereg.models import LatentVariableModel

__all__ = ["Encodings", "Pixels", "distortion", "distortion_per_draw", "encode", "mean_over_images"]

Pixels = UInt8[Tensor, "all pixels"] | Float[Tensor, "all pixels"]
"""All images of a set, flattened: uint8, which are divided by 255, or floats as the model was trained on."""


@dataclass(frozen=True, eq=False)
class Encodings:
    """The posteriors of a set of images, and what they cost; NaN for members whose posteriors are absurd.

    Attributes:
        mean, log_var: of q(z|x), diagonal Gaussian.
        rate_per_draw: KL(q(z|x) || p(z)) of each image, in nats: in closed form, alike in both draws, where the prior
            has one, else the log density ratio at two draws of z. `mean_over_images` gives mean and standard error.
    """

    mean: Float[Tensor, "member image latent"]
    log_var: Float[Tensor, "member image latent"]
    rate_per_draw: Float64[Tensor, "member draw image"]

    @property
    def rate(self) -> Float64[Tensor, "member image"]:
        """KL(q(z|x) || p(z)) of each image, in nats."""
        return self.rate_per_draw.mean(1)


@torch.no_grad()
def encode(
    model: LatentVariableModel,
    pixels: Pixels,
    rows: Int64[Tensor, " image"],
    batch_size: int = 2048,
    *,
    seed: int = 0,
) -> Encodings:
    """Encode the images in `rows`; rates in nats.

    Arguments:
        model: the ensemble.
        pixels: all images.
        rows: the images to encode, at least one.
        batch_size: images encoded at once.
        seed: seed of the latents that the rate is evaluated at, where the prior has no closed form of it.

    Raises:
        ValueError: `rows` is empty or not within `pixels`, a float is out of range, or a number is too small.
    """
    check_at_least(1, batch_size=batch_size)
    if len(rows) == 0:
        raise ValueError("rows is empty; give the row of at least one image.")
    mean, log_var = encode_batches(model, len(rows), row_batches(model, pixels, rows, batch_size))
    center, width = mean.double(), log_var.double()
    if model.prior.closed_form:
        rates = model.prior.rate(center, width, center).unsqueeze(1).expand(-1, 2, -1)
    else:
        noise = normal_noise((2, *mean.shape[1:]), torch.Generator().manual_seed(seed), mean.device)
        draws = (center + (width / 2).exp() * each for each in noise)
        rates = torch.stack([model.prior.rate(center, width, z) for z in draws], 1)
    return Encodings(mean, log_var, nan_unless_finite(rates))


@torch.no_grad()
def distortion_per_draw(
    model: LatentVariableModel,
    pixels: Pixels,
    rows: Int64[Tensor, " image"],
    encodings: Encodings,
    generator: torch.Generator | None = None,
    *,
    draws: int = 2,
    batch_size: int = 2048,
) -> Float64[Tensor, "member draw image"]:
    """Return the distortion of each image at each draw of z, in nats; arguments as in `distortion`."""
    check_at_least(1, draws=draws, batch_size=batch_size)
    if encodings.mean.shape[:2] != (model.members, len(rows)):
        raise ValueError(
            f"encodings.mean has shape {tuple(encodings.mean.shape)} for {model.members} members and {len(rows)} rows; "
            "give the encodings of the same rows."
        )
    values = torch.empty(model.members, draws, len(rows), dtype=torch.float64, device=model.device)
    for here, x in row_batches(model, pixels, rows, batch_size):
        mean, std = encodings.mean[:, here], (encodings.log_var[:, here] / 2).exp()
        for draw in range(draws):
            z = mean + std * normal_noise(mean.shape[1:], generator, mean.device, torch.float32)
            values[:, draw, here] = model.likelihood.distortion(model.decode(z), x).double()
    return nan_unless_finite(values)


def distortion(
    model: LatentVariableModel,
    pixels: Pixels,
    rows: Int64[Tensor, " image"],
    encodings: Encodings,
    generator: torch.Generator | None = None,
    *,
    population: int,
    draws: int = 2,
    batch_size: int = 2048,
) -> tuple[Float64[Tensor, " member"], Float64[Tensor, " member"]]:
    """Return the mean distortion over images, and its standard error, in nats, for each member.

    Means are over images and not over batches, so a short last batch has no greater weight.

    Arguments:
        model: the ensemble.
        pixels: all images.
        rows: the images to measure on.
        encodings: of the same `rows`, from `encode`.
        generator: source of the noise.
        population: how many images `rows` were drawn from.
        draws: samples of z per image, at least 2.
        batch_size: images decoded at once.

    Raises:
        ValueError: `encodings` is of other images, or as in `encode`.
    """
    how = {"draws": draws, "batch_size": batch_size}
    return mean_over_images(distortion_per_draw(model, pixels, rows, encodings, generator, **how), population)


def mean_over_images(
    values: Float64[Tensor, "member draw image"], population: int
) -> tuple[Float64[Tensor, " member"], Float64[Tensor, " member"]]:
    """Return the mean over images and draws of a cost, and its standard error; `population` as in `distortion`."""
    return values.mean((1, 2)), two_stage_error(values, population)
