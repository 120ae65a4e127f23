"""The distortion of test images by the distance of their factors to the nearest training image's."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ratereg.data import ImageSet
from ratereg.evaluation import distances_to_training, distortion_per_draw, encode
from ratereg.measurements.measured import Measured, Measurement, at_least, chosen, pixels_of, stream
from ratereg.models import LatentVariableModel

__all__ = ["ByDistance"]


@dataclass(frozen=True)
class ByDistance(Measurement):
    """Mean distance and mean distortion of classes of equally many test images, near to far.

    Distances are in the unit cube of the factors. The arrays `distance` and `distance_distortion` are (member, class).

    Arguments:
        classes: how many classes.
        images: test images, a random subset.
    """

    classes: int = 8
    images: int = 16_384

    arrays: ClassVar = ("distance", "distance_distortion")
    partitions: ClassVar = ()

    def __post_init__(self) -> None:
        at_least(self, 1, "classes")
        at_least(self, 2, "images")

    def check(self, images: ImageSet) -> None:
        """Raise ValueError for images without factors, or for fewer test images than classes."""
        if images.factors is None:
            raise ValueError(
                f"ByDistance: the factors of {images.name!r} are not known; give images that have factors."
            )
        if (count := min(self.images, len(images.test))) < self.classes:
            raise ValueError(f"ByDistance: classes is {self.classes} for {count} test images; give at most that many.")

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on test images."""
        self.check(images)
        pixels, cube = pixels_of(images, model.device), images.unit_cube()
        generator = stream("distances")
        subset = chosen(images.test, self.images, generator)
        distances = distances_to_training(cube[images.train], cube[subset], images.unit_periods())
        encodings = encode(model, pixels, subset.to(model.device))
        costs = distortion_per_draw(model, pixels, subset.to(model.device), encodings, generator).mean(1).cpu()
        classes = distances.argsort().tensor_split(self.classes)
        means = torch.stack([costs[:, rows].mean(1) for rows in classes], 1)
        return Measured(
            arrays={
                "distance": torch.stack([distances[rows].mean() for rows in classes]).expand(model.members, -1).numpy(),
                "distance_distortion": means.numpy(),
            }
        )
