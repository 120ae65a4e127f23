"""Rate and distortion of an ensemble on a set of images, every image weighted alike."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from ratereg.evaluation.sampling import two_stage_covariance
from ratereg.models import VAE

__all__ = ["Encodings", "distortion", "encode"]


@dataclass(frozen=True, eq=False)
class Encodings:
    """The posteriors of a set of images, and what they cost.

    Attributes:
        mean, log_var: of q(z|x), diagonal Gaussian.
        rate: KL(q(z|x) || p(z)) of each image, in closed form, in nats.
    """

    mean: Float[Tensor, "member image latent"]
    log_var: Float[Tensor, "member image latent"]
    rate: Float64[Tensor, "member image"]


@torch.no_grad()
def encode(
    vae: VAE, pixels: UInt8[Tensor, "all pixels"], rows: Int64[Tensor, " image"], batch_size: int = 2048
) -> Encodings:
    """Encode the images in `rows` of the flattened `pixels`; rates in nats."""
    # Made once: small results kept between large temporaries would break the heap into pieces, gigabytes of them.
    shape = (2, vae.members, len(rows), vae.network.latent_dim)
    mean, log_var = torch.empty(shape, dtype=next(vae.parameters()).dtype, device=vae.device)
    for here, x in _batches(pixels, rows, batch_size):
        mean[:, here], log_var[:, here] = vae.encode(x)
    return Encodings(mean, log_var, vae.prior.rate(mean.double(), log_var.double()))


@torch.no_grad()
def distortion_per_draw(
    vae: VAE,
    pixels: UInt8[Tensor, "all pixels"],
    rows: Int64[Tensor, " image"],
    encodings: Encodings,
    generator: torch.Generator,
    *,
    draws: int = 2,
    batch_size: int = 2048,
) -> Float64[Tensor, "member draw image"]:
    """Return the distortion of each image at each draw of z, in nats; the arguments are those of `distortion`."""
    values = torch.empty(vae.members, draws, len(rows), dtype=torch.float64, device=vae.device)
    for here, x in _batches(pixels, rows, batch_size):
        mean, std = encodings.mean[:, here], (encodings.log_var[:, here] / 2).exp()
        for draw in range(draws):
            noise = torch.randn(mean.shape[1:], generator=generator).to(mean.device)
            values[:, draw, here] = vae.likelihood.distortion(vae.decode(mean + std * noise), x).double()
    return values


def distortion(
    vae: VAE,
    pixels: UInt8[Tensor, "all pixels"],
    rows: Int64[Tensor, " image"],
    encodings: Encodings,
    generator: torch.Generator,
    *,
    population: int,
    draws: int = 2,
    batch_size: int = 2048,
) -> tuple[Float64[Tensor, " member"], Float64[Tensor, " member"]]:
    """Return the mean distortion over images, and its standard error, in nats, for each member.

    The noise of an image is the same for all members, so that contrasts between them are paired. Means are over images
    and not over batches, so a short last batch has no greater weight.

    Arguments:
        vae: the ensemble.
        pixels: all images, flattened.
        rows: the images to measure on.
        encodings: of the same `rows`.
        generator: the source of noise, on the CPU.
        population: how many images `rows` were drawn from; its length when these are all there are.
        draws: samples of z per image, at least 2.
        batch_size: images decoded at once.
    """
    how = {"draws": draws, "batch_size": batch_size}
    return mean_over_images(distortion_per_draw(vae, pixels, rows, encodings, generator, **how), population)


def mean_over_images(
    values: Float64[Tensor, "member draw image"], population: int
) -> tuple[Float64[Tensor, " member"], Float64[Tensor, " member"]]:
    """Return the mean over images and draws of a cost, and its standard error; `population` as in `distortion`."""
    return values.mean((1, 2)), two_stage_covariance(values, values, population).sqrt()


def _batches(pixels: Tensor, rows: Tensor, batch_size: int) -> Iterator[tuple[slice, Float[Tensor, "1 batch pixels"]]]:
    for start in range(0, len(rows), batch_size):
        here = slice(start, start + batch_size)
        yield here, pixels[rows[here]].float().div_(255).unsqueeze(0)
