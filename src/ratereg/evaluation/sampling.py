"""Samples of posteriors, and the variances of means over images and draws, as the package defines its errors."""

import math

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

__all__ = ["INFINITE", "checked_queries", "sample_posteriors", "steadied", "two_stage_covariance"]

INFINITE = 2**62
"""The size of a population so large that a sample of it is without correction."""


def two_stage_covariance(
    a: Float64[Tensor, "*lead draw image"], b: Float64[Tensor, "*lead draw image"], population: int
) -> Float64[Tensor, "*lead"]:
    """Return the covariance of the means of `a` and `b` over draws and images.

    The images are a random subset, without replacement, of `population` of them, and the draws are independent given
    the image. When all images are there, only the spread between draws counts, so the standard error is conditional on
    the images; else the spread between images enters, with the finite-population correction.

    Source: Cochran (1977), Sampling Techniques, eq. 10.15 (two-stage sampling).

    Raises:
        ValueError: there is one draw per image only, which says nothing about the spread between draws.
    """
    draws, images = a.shape[-2:]
    if draws < 2:
        raise ValueError(f"draws is {draws}; give at least 2 draws per image, so that their spread can be estimated.")
    share = images / population
    a_image, b_image = a.mean(-2), b.mean(-2)
    within = ((a - a_image.unsqueeze(-2)) * (b - b_image.unsqueeze(-2))).sum((-2, -1)) / ((draws - 1) * images)
    covariance = share * within / (draws * images)
    if images > 1 and images < population:
        a_centerd, b_centerd = a_image - a_image.mean(-1, keepdim=True), b_image - b_image.mean(-1, keepdim=True)
        between = (a_centerd * b_centerd).sum(-1) / (images - 1)
        covariance = covariance + (1 - share) * between / images
    return covariance


def steadied(
    term: Float64[Tensor, "*lead draw image"], control: Float64[Tensor, "*lead draw image"], population: int
) -> tuple[Float64[Tensor, "*lead"], Float64[Tensor, "*lead"], Float64[Tensor, "*lead"]]:
    """Return the mean of `term` less a multiple of `control`, its standard error, and that multiple.

    The control's expectation is 0, so the mean keeps its expectation; the multiple is the one, between 0 and 1, that
    minimizes the variance. The standard error allows for its being fitted to the same samples.

    Source: MacKinnon and White (1985), for the correction ("HC3").
    """
    variance = two_stage_covariance(control, control, population)
    coefficient = (two_stage_covariance(term, control, population) / variance.clamp_min(1e-300)).clamp(0, 1)
    residual = term - coefficient[..., None, None] * control
    mean = residual.mean((-2, -1), keepdim=True)
    # The coefficient follows the images that have most of the control's variance, and makes their residuals too small.
    raised = mean + (residual - mean) / (1 - _shares(control, population)).unsqueeze(-2)
    error = two_stage_covariance(raised, raised, population).clamp_min(0).sqrt()
    return residual.mean((-2, -1)), error, coefficient


def _shares(control: Float64[Tensor, "*lead draw image"], population: int) -> Float64[Tensor, "*lead image"]:
    """Return the share of each image in the variance of the control's mean, at most 0.9."""
    draws, images = control.shape[-2:]
    share = images / population
    by_image = control.mean(-2)
    part = share * (control - by_image.unsqueeze(-2)).square().sum(-2) / ((draws - 1) * draws * images)
    if 1 < images < population:
        part = part + (1 - share) * (by_image - by_image.mean(-1, keepdim=True)).square() / (images - 1)
    return (part / part.sum(-1, keepdim=True).clamp_min(1e-300)).clamp_max(0.9)


def sample_posteriors(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    rows: Int64[Tensor, " query"],
    draws: int,
    generator: torch.Generator | None,
) -> tuple[Float64[Tensor, "*lead draw query latent"], Float64[Tensor, "*lead draw query latent"]]:
    """Return samples z of the posteriors in `rows`, and log q(z_k|x) of each in nats, latent by latent.

    The noise is the same for all leading axes, so that members are paired.
    """
    query_mean = mean[..., rows, :].double().unsqueeze(-3)
    query_log_var = log_var[..., rows, :].double().unsqueeze(-3)
    shape = (draws, len(rows), mean.shape[-1])
    noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(mean.device)
    z = query_mean + (query_log_var / 2).exp() * noise
    # From z as rounded, not from the noise: so an image's own term never exceeds its share of the aggregate's sum.
    standardized = (z - query_mean) * (-query_log_var / 2).exp()
    return z, -(standardized.square() + query_log_var + math.log(2 * math.pi)) / 2


def checked_queries(queries: Int64[Tensor, " query"] | None, images: int) -> Int64[Tensor, " query"]:
    """Return the rows to query, all of them by default.

    Raises:
        ValueError: there is none, or one is not the row of an image or stands twice.
    """
    if queries is None:
        return torch.arange(images)
    if len(queries) == 0:
        raise ValueError("queries is empty; give the row of at least one image.")
    if int(queries.min()) < 0 or int(queries.max()) >= images:
        raise ValueError(
            f"queries holds {int(queries.min())} to {int(queries.max())}; give rows from 0 to {images - 1}."
        )
    if len(queries.unique()) < len(queries):
        raise ValueError("queries holds a row twice; give each once, and take more draws instead.")
    return queries
