"""Variances of means over images and draws, as the package defines its standard errors."""

from jaxtyping import Float64
from torch import Tensor

__all__ = ["two_stage_covariance"]


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
        a_centred, b_centred = a_image - a_image.mean(-1, keepdim=True), b_image - b_image.mean(-1, keepdim=True)
        between = (a_centred * b_centred).sum(-1) / (images - 1)
        covariance = covariance + (1 - share) * between / images
    return covariance
