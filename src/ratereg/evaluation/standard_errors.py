"""Means over images and draws, with the standard errors that the whole package states."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

__all__ = [
    "INFINITE",
    "checked_population",
    "effective_sample_size",
    "leave_one_out",
    "log_mean_exp",
    "mean_and_error",
    "nan_unless_finite",
    "steadied",
    "two_stage_covariance",
    "two_stage_error",
]

INFINITE = 2**62
"""The size of a population so large that a sample of it needs no correction."""


def two_stage_covariance(
    a: Float64[Tensor, "*lead draw image"], b: Float64[Tensor, "*lead draw image"], population: int
) -> Float64[Tensor, "*lead"]:
    """Return the covariance of the means of `a` and `b` over draws and images.

    The images are a random subset, without replacement, of `population` images; draws are independent given the image.
    Where all images are there, only the spread between draws counts: the standard error is conditional on the images.
    Otherwise the spread between images enters, with the finite-population correction.
    Raises ValueError for one draw per image, which shows no spread between draws.

    Source: Cochran (1977), Sampling Techniques, eq. 10.15 (two-stage sampling).
    """
    draws, images = a.shape[-2:]
    if draws < 2:
        raise ValueError(f"draws is {draws}; give at least 2 draws per image, so that their spread can be estimated.")
    share = images / population
    a_image, b_image = a.mean(-2), b.mean(-2)
    within = ((a - a_image.unsqueeze(-2)) * (b - b_image.unsqueeze(-2))).sum((-2, -1)) / ((draws - 1) * images)
    covariance = share * within / (draws * images)
    if 1 < images < population:
        a_centered, b_centered = a_image - a_image.mean(-1, keepdim=True), b_image - b_image.mean(-1, keepdim=True)
        between = (a_centered * b_centered).sum(-1) / (images - 1)
        covariance = covariance + (1 - share) * between / images
    return covariance


def two_stage_error(values: Float64[Tensor, "*lead draw image"], population: int) -> Float64[Tensor, "*lead"]:
    """Return the standard error of the mean over draws and images; see `two_stage_covariance`."""
    return two_stage_covariance(values, values, population).sqrt()


def steadied(
    term: Float64[Tensor, "*lead draw image"], control: Float64[Tensor, "*lead draw image"], population: int
) -> tuple[Float64[Tensor, "*lead"], Float64[Tensor, "*lead"], Float64[Tensor, "*lead"]]:
    """Return the mean of `term` less a multiple of `control`, its standard error, and that multiple.

    The control's expectation is 0, so the mean keeps its expectation; the multiple is the one, between 0 and 1, that
    minimizes the variance. The standard error allows for the multiple's being fitted to the same samples.

    Source: MacKinnon and White (1985), for the correction ("HC3").
    """
    variance = two_stage_covariance(control, control, population)
    coefficient = (two_stage_covariance(term, control, population) / variance.clamp_min(1e-300)).clamp(0, 1)
    residual = term - coefficient[..., None, None] * control
    mean = residual.mean((-2, -1), keepdim=True)
    # The coefficient follows the images with most of the control's variance, and makes their residuals too small.
    raised = mean + (residual - mean) / (1 - _shares(control, population)).unsqueeze(-2)
    return residual.mean((-2, -1)), two_stage_error(raised, population), coefficient


def _shares(control: Float64[Tensor, "*lead draw image"], population: int) -> Float64[Tensor, "*lead image"]:
    """Return the share of each image in the variance of the control's mean, at most 0.9."""
    draws, images = control.shape[-2:]
    share = images / population
    by_image = control.mean(-2)
    part = share * (control - by_image.unsqueeze(-2)).square().sum(-2) / ((draws - 1) * draws * images)
    if 1 < images < population:
        part = part + (1 - share) * (by_image - by_image.mean(-1, keepdim=True)).square() / (images - 1)
    return (part / part.sum(-1, keepdim=True).clamp_min(1e-300)).clamp_max(0.9)


def log_mean_exp(log_weights: Float64[Tensor, "*lead draw"]) -> Float64[Tensor, "*lead"]:
    """Return the log of the weights' mean, whose expectation is at most the log of their expectation."""
    return log_weights.logsumexp(-1) - math.log(log_weights.shape[-1])


def effective_sample_size(log_weights: Float64[Tensor, "*lead draw"]) -> Float64[Tensor, "*lead"]:
    """Return (sum w)^2 / sum w^2, from 1 to the number of draws.

    Source: Kong (1992), A note on importance sampling using standardized weights.
    """
    return (2 * log_weights.logsumexp(-1) - (2 * log_weights).logsumexp(-1)).exp()


def leave_one_out(values: Float64[Tensor, "*lead draw"]) -> Float64[Tensor, "*lead draw other"]:
    """Return, for each draw, the values of all other draws."""
    draws = values.shape[-1]
    others = ~torch.eye(draws, dtype=torch.bool, device=values.device)
    left: Tensor = values.unsqueeze(-2).expand(*values.shape, draws)[..., others].unflatten(-1, (draws, draws - 1))
    return left


def mean_and_error(
    whole: Float64[Tensor, "*lead image"], left_out: Float64[Tensor, "*lead image draw"], population: int
) -> tuple[Float64[Tensor, "*lead"], Float64[Tensor, "*lead"], Float64[Tensor, "*lead"]]:
    """Return the mean over images of a statistic of each image's draws, its standard error, and its bias.

    By the jackknife: the statistic with each draw left out gives pseudo-values that spread as if it were a mean of
    draws. Their own mean is free of the bias of order one over the number of draws. Infinite results become NaN.

    Source: Tukey (1958), Bias and confidence in not quite large samples.
    """
    draws = left_out.shape[-1]
    pseudo = (draws * whole.unsqueeze(-1) - (draws - 1) * left_out).transpose(-1, -2)
    mean = whole.mean(-1)
    error = two_stage_error(pseudo, population)
    bias = mean - pseudo.mean((-2, -1))
    return nan_unless_finite(mean), nan_unless_finite(error), nan_unless_finite(bias)


def nan_unless_finite(values: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Return the values, with NaN for infinite ones."""
    return values.masked_fill(values.isinf(), math.nan)


def checked_population(population: int | None, images: int) -> int:
    """Return how many images there are in all, `images` for None; raise ValueError unless a sample can tell of them."""
    if population is None:
        return images
    if population < images:
        raise ValueError(f"population is {population} for {images} images; give how many images these were drawn from.")
    if images == 1 < population:
        raise ValueError(f"population is {population} for 1 image, which shows no spread; give at least 2 images.")
    return population
