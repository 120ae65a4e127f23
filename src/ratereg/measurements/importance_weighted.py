"""The importance-weighted bound on the log-likelihood, or pseudo-evidence, of training and test images."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ratereg.data import ImageSet
from ratereg.evaluation import importance_weighted_bound
from ratereg.measurements.measured import (
    Measured,
    Measurement,
    at_least,
    partitions,
    pixels_of,
    rows_of,
    stream,
    with_errors,
)
from ratereg.models import LatentVariableModel

__all__ = ["ImportanceWeighted", "bounded_images"]


@dataclass(frozen=True)
class ImportanceWeighted(Measurement):
    """The importance-weighted bound L_K, in nats; higher is better.

    Arguments:
        images: random images of each partition; all of it if it has fewer.
        samples: K.
        repeats: independent sets of K samples for each image.
    """

    images: int = 128
    samples: int = 256
    repeats: int = 2

    columns: ClassVar = with_errors("importance_weighted_bound")

    def __post_init__(self) -> None:
        at_least(self, 2, "images", "samples", "repeats")

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on random training and test images."""
        rows = []
        for partition, all_rows in partitions(images):
            x, generator = bounded_images(model, images, partition, self.images)
            found = importance_weighted_bound(
                model, x, self.samples, generator, repeats=self.repeats, population=len(all_rows)
            )
            rows += rows_of(partition, dict(zip(self.columns, (found.bound, found.bound_se), strict=True)))
        return Measured(rows)


def bounded_images(
    model: LatentVariableModel, images: ImageSet, partition: str, count: int
) -> tuple[Float[Tensor, "image pixels"], torch.Generator]:
    """Return random images of a partition, in [0, 1], and their random stream, to be continued.

    Fewer images are the first ones of more, so estimates by different means share them.
    """
    rows = dict(partitions(images))[partition]
    generator = stream(f"bounds/{partition}")
    subset = rows[torch.randperm(len(rows), generator=generator)[:count]].to(model.device)
    return pixels_of(images, model.device)[subset].float().div_(255), generator
