"""What the importance weights of a few chains say: the log of their mean, and how far to trust it."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from ratereg.evaluation.sampling import two_stage_covariance

__all__ = ["checked_population", "effective_sample_size", "leave_one_out", "log_mean_exp", "mean_and_error"]


def log_mean_exp(log_weights: Float64[Tensor, "*lead draw"]) -> Float64[Tensor, "*lead"]:
    """Return the log of the weights' mean, whose expectation is at most the log of their expectation."""
    return log_weights.logsumexp(-1) - math.log(log_weights.shape[-1])


def effective_sample_size(log_weights: Float64[Tensor, "*lead draw"]) -> Float64[Tensor, "*lead"]:
    """Return (sum w)^2 / sum w^2, from 1 to the number of draws.

    Source: Kong (1992), A note on importance sampling using standardized weights.
    """
    return (2 * log_weights.logsumexp(-1) - (2 * log_weights).logsumexp(-1)).exp()


def leave_one_out(values: Float64[Tensor, "*lead draw"]) -> Float64[Tensor, "*lead draw other"]:
    """Return, for each draw, the values of all others."""
    draws = values.shape[-1]
    others = torch.tensor([[other for other in range(draws) if other != draw] for draw in range(draws)])
    return values[..., others.to(values.device)]


def mean_and_error(
    whole: Float64[Tensor, "*lead image"], left_out: Float64[Tensor, "*lead image draw"], population: int
) -> tuple[Float64[Tensor, "*lead"], Float64[Tensor, "*lead"], Float64[Tensor, "*lead"]]:
    """Return the mean over images of a statistic of an image's draws, its standard error, and its bias.

    By the jackknife: the statistic with each draw left out gives pseudo-values that spread as if it were a mean of
    draws. Their own mean is free of the bias of order one over the number of draws.

    Arguments:
        whole: the statistic of each image.
        left_out: the same with each of the draws left out.
        population: how many images these were drawn from.

    Source: Tukey (1958), Bias and confidence in not quite large samples.
    """
    draws = left_out.shape[-1]
    pseudo = (draws * whole.unsqueeze(-1) - (draws - 1) * left_out).transpose(-1, -2)
    mean = whole.mean(-1)
    return mean, two_stage_covariance(pseudo, pseudo, population).clamp_min(0).sqrt(), mean - pseudo.mean((-2, -1))


def checked_population(population: int | None, images: int) -> int:
    """Return how many images there are in all.

    Raises:
        ValueError: fewer than are given, or more beside a single one, which shows no spread between images.
    """
    if population is None:
        return images
    if population < images:
        raise ValueError(f"population is {population}, but x has {images} images; give how many x was drawn from.")
    if images == 1 < population:
        raise ValueError(f"population is {population} for 1 image, which shows no spread; give at least 2 images.")
    return population
