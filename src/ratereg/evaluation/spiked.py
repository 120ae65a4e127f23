"""What a training set of N images teaches of their covariance, in the limit of many images and pixels."""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

__all__ = ["spiked_limit"]

_GRID = 20_001


def spiked_limit(
    spikes: Float[Tensor, " spike"], noise: float, *, pixels: int, images: int
) -> tuple[Float64[Tensor, " pixels"], Float64[Tensor, " pixels"]]:
    """Return the variances that N images show in P pixels, and the true ones, for large N and P, gamma = P/N.

    The population's covariance has the eigenvalues `spikes`, and `noise` v for all others. A spike
    l > v (1 + sqrt gamma) is seen in training as l (1 + gamma v/(l - v)), along a direction that has squared overlap
    (1 - gamma v^2/(l - v)^2) / (1 + gamma v/(l - v)) with its own. A weaker one is not seen: its place is taken by
    noise, whose eigenvalues in training are the quantiles of the Marchenko-Pastur law, up to v (1 + sqrt gamma)^2,
    along directions of variance v. So that finite sets come out well, the noise's share makes the traces right, which
    the error of the training images' mean changes by 1/N.

    Arguments:
        spikes: eigenvalues greater than `noise`.
        noise: the variance v in all other directions, positive.
        pixels: P.
        images: N.

    Returns:
        Eigenvalues of the training images' covariance, falling, and the population's mean squares along its
        eigenvectors, about the training images' mean.

    Raises:
        ValueError: `noise` is not positive, a spike is not greater than `noise`, there are P spikes or more, or fewer
            than two images, or too few to see more than the spikes.

    Source: Marchenko and Pastur (1967) for the noise; Baik, Ben Arous and Peche (2005) for the threshold; Paul (2007)
    for the spikes.
    """
    if not noise > 0:
        raise ValueError(f"spiked_limit: noise is {noise}; give a positive variance.")
    if not (torch.isfinite(spikes) & (spikes > noise)).all():
        raise ValueError(f"spiked_limit: spikes is {spikes.tolist()}; give variances greater than noise, {noise}.")
    if len(spikes) >= pixels:
        raise ValueError(f"spiked_limit: pixels is {pixels}, with {len(spikes)} spikes; give more pixels than spikes.")
    if images < 2:
        raise ValueError(f"spiked_limit: images is {images}; give at least 2.")
    gamma = pixels / images
    strength = spikes.double().sort(descending=True).values / noise - 1
    trace = pixels + strength.sum()
    strength = strength[strength > math.sqrt(gamma)]
    inflation = 1 + gamma / strength
    seen, true = (strength + 1) * inflation, 1 + strength * (1 - gamma / strength.square()) / inflation
    left = (1 - 1 / images) * trace - seen.sum()
    # N images less their mean have N - 1 directions.
    positive = min(pixels, images - 1) - len(seen)
    if left <= 0 or positive < 1:
        raise ValueError(f"spiked_limit: images is {images}, too few for spikes of {spikes.tolist()}; give more.")
    bulk = torch.zeros(pixels - len(seen), dtype=torch.float64, device=seen.device)
    bulk[:positive] = _marchenko_pastur_quantiles(positive, gamma).to(seen.device)
    rest = ((1 + 1 / images) * trace - true.sum()) / len(bulk)
    return noise * torch.cat([seen, bulk * left / bulk.sum()]), noise * torch.cat([true, rest.expand_as(bulk)])


def _marchenko_pastur_quantiles(count: int, gamma: float) -> Float64[Tensor, " count"]:
    """Return the quantiles of the law's positive part at the middles of `count` equal shares, falling."""
    angle = torch.linspace(0, math.pi, _GRID, dtype=torch.float64)
    value = 1 + gamma - 2 * math.sqrt(gamma) * angle.cos()
    # The law's density in the angle; for gamma = 1 its first value is a limit, of which one point is nothing.
    density = angle.sin().square() / value.clamp_min(1e-300)
    cumulative = torch.cumulative_trapezoid(density, angle)
    shares = (torch.arange(count, 0, -1, dtype=torch.float64) - 0.5) / count
    return value[torch.searchsorted(cumulative, shares * cumulative[-1])]
