"""The importance-weighted bound on the log-likelihood, or pseudo-evidence, of training and test images."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ratereg.data import ImageSet
from ratereg.evaluation import importance_weighted_bound
from ratereg.measurements.measured import Measured, Measurement, at_least, partitions, pixels_of, stream
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

    columns: ClassVar = ("importance_weighted_bound", "importance_weighted_bound_se")

    def __post_init__(self) -> None:
        at_least("ImportanceWeighted", 2, images=self.images, samples=self.samples, repeats=self.repeats)

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on random training and test images."""
        rows = []
        for partition, all_rows in partitions(images):
            x, generator = bounded_images(model, images, partition, self.images)
            bound = importance_weighted_bound(
                model, x, self.samples, generator, repeats=self.repeats, population=len(all_rows)
            )
            rows += [
                {"member": member, "partition": partition, self.columns[0]: value, self.columns[1]: error}
                for member, (value, error) in enumerate(zip(bound.bound.tolist(), bound.bound_se.tolist(), strict=True))
            ]
        return Measured(rows)


def bounded_images(
    model: LatentVariableModel, images: ImageSet, partition: str, count: int
) -> tuple[Float[Tensor, "image pixels"], torch.Generator]:
    """Return random images of a partition, in [0, 1], and the stream that goes on from there.

    Fewer images are the first ones of more, so estimates by different means share them.
    """
    rows = dict(partitions(images))[partition]
    generator = stream(f"bounds/{partition}")
    subset = rows[torch.randperm(len(rows), generator=generator)[:count]].to(model.device)
    return pixels_of(images, model.device)[subset].float().div_(255), generator
