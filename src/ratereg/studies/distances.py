"""The distortion of test images by the distance of their factors to the nearest training image's."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from ratereg.data import ImageSet, tetrominoes
from ratereg.evaluation import encode
from ratereg.evaluation.rate_distortion import distortion_per_draw
from ratereg.models import VAE

__all__ = ["distances_to_training", "distortion_by_distance"]

_MOST_IMAGES = 16_384

_PERIODS = (360.0, 1.0, math.inf, math.inf, math.inf)
"""Of Tetrominoes' factors: angle and hue close to circles."""

_TABLE = 2**22
"""Distances held at once."""


def distances_to_training(
    train: Float64[np.ndarray, "train factor"],
    test: Float64[np.ndarray, "test factor"],
    device: torch.device | str = "cpu",
) -> Float64[np.ndarray, " test"]:
    """Return for each test image the distance to the nearest training image in the unit cube of the factors.

    Angle and hue are circles, whose ends meet beyond the data's range: 360 degrees, and hue 1.

    Arguments:
        train: the factors of Tetrominoes, a row an image.
        test: the same.
        device: to compute on; all pairs are compared.
    """
    trained, tested = (torch.from_numpy(tetrominoes.unit_cube(one)).to(device) for one in (train, test))
    ranges = list(tetrominoes.RANGES.values())
    periods = [period / (high - low) for period, (low, high) in zip(_PERIODS, ranges, strict=True)]
    block = max(1, _TABLE // len(trained))
    nearest = [_squared_distances(some, trained, periods).amin(1).sqrt() for some in tested.split(block)]
    distances: Float64[np.ndarray, " test"] = torch.cat(nearest).cpu().numpy()
    return distances


def _squared_distances(
    a: Float64[Tensor, "one factor"], b: Float64[Tensor, "other factor"], periods: Sequence[float]
) -> Float64[Tensor, "one other"]:
    squares = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for factor, period in enumerate(periods):
        apart = (a[:, factor, None] - b[:, factor]).abs()
        squares += torch.minimum(apart, period - apart).square()
    return squares


def distortion_by_distance(
    vae: VAE,
    pixels: UInt8[Tensor, "all pixels"],
    images: ImageSet,
    classes: int,
    generator: torch.Generator,
) -> dict[str, np.ndarray]:
    """Return `distance` and `distance_distortion` (member, class): means over equally many test images, near to far.

    Arguments:
        vae: the ensemble.
        pixels: all images, flattened, on its device.
        images: the same images, with their factors.
        classes: how many; fewer where there are fewer test images.
        generator: of the choice of test images and of the noise.
    """
    assert images.factors is not None
    test = images.test[torch.randperm(len(images.test), generator=generator)[:_MOST_IMAGES]]
    # Apple's GPUs have no float64.
    device = vae.device if vae.device.type == "cuda" else "cpu"
    distances = distances_to_training(images.factors[images.train].numpy(), images.factors[test].numpy(), device)
    order = np.argsort(distances, kind="stable")
    rows = test.to(pixels.device)
    costs = distortion_per_draw(vae, pixels, rows, encode(vae, pixels, rows), generator).mean(1).cpu().numpy()
    parts = np.array_split(order, min(classes, len(order)))
    mean_distance = np.array([distances[part].mean() for part in parts])
    return {
        "distance": np.tile(mean_distance, (vae.members, 1)),
        "distance_distortion": np.stack([costs[:, part].mean(1) for part in parts], axis=1),
    }
