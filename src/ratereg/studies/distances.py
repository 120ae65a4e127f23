"""The distortion of test images by the distance of their factors to the nearest training image's."""

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from ratereg.data import ImageSet, tetrominoes
from ratereg.evaluation import encode
from ratereg.evaluation.rate_distortion import distortion_per_draw
from ratereg.models import VAE

__all__ = ["distances_to_training", "distortion_by_distance"]

_MOST_IMAGES = 16_384


def distances_to_training(
    train: Float64[np.ndarray, "train factor"], test: Float64[np.ndarray, "test factor"]
) -> Float64[np.ndarray, " test"]:
    """Return for each test image the distance to the nearest training image in the unit cube of the factors.

    Angle and hue are circles, whose ends meet beyond the data's range: 360 degrees, and hue 1.

    Arguments:
        train: the factors of Tetrominoes, a row an image.
        test: the same.
    """
    ranges = list(tetrominoes.RANGES.values())
    periods = [period / (high - low) for period, (low, high) in zip((360.0, 1.0), ranges, strict=False)]
    # A period of 0 stands for a factor that does not close.
    tree = cKDTree(tetrominoes.unit_cube(train), boxsize=periods + [0.0] * (len(ranges) - len(periods)))
    nearest: Float64[np.ndarray, " test"] = tree.query(tetrominoes.unit_cube(test))[0]
    return nearest


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
    distances = distances_to_training(images.factors[images.train].numpy(), images.factors[test].numpy())
    order = np.argsort(distances, kind="stable")
    rows = test.to(pixels.device)
    costs = distortion_per_draw(vae, pixels, rows, encode(vae, pixels, rows), generator).mean(1).cpu().numpy()
    parts = np.array_split(order, min(classes, len(order)))
    mean_distance = np.array([distances[part].mean() for part in parts])
    return {
        "distance": np.tile(mean_distance, (vae.members, 1)),
        "distance_distortion": np.stack([costs[:, part].mean(1) for part in parts], axis=1),
    }
