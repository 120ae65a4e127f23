"""Annealed importance sampling of the log-likelihood, or pseudo-evidence, of training and test images."""

from dataclasses import dataclass
from typing import ClassVar

from ratereg.data import ImageSet
from ratereg.evaluation import annealed_importance_sampling
from ratereg.measurements.importance_weighted import bounded_images
from ratereg.measurements.measured import Measured, Measurement, at_least, partitions, rows_of, with_errors
from ratereg.models import LatentVariableModel

__all__ = ["Annealed"]


@dataclass(frozen=True)
class Annealed(Measurement):
    """Log p(x) by annealed importance sampling, a lower bound in expectation, in nats; higher is better.

    Its images are the first of those that `ImportanceWeighted` has.

    Arguments:
        images: random images of each partition; all of it if it has fewer.
        temperatures: steps of a chain.
        chains: independent chains for each image.
        leapfrog: steps of Hamiltonian dynamics at each temperature.
    """

    images: int = 32
    temperatures: int = 100
    chains: int = 2
    leapfrog: int = 3

    columns: ClassVar = with_errors("annealed_importance_sampling")

    def __post_init__(self) -> None:
        at_least(self, 2, "images", "temperatures", "chains")
        at_least(self, 1, "leapfrog")

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on random training and test images."""
        rows = []
        for partition, all_rows in partitions(images):
            x, generator = bounded_images(model, images, partition, self.images)
            found = annealed_importance_sampling(
                model,
                x,
                chains=self.chains,
                temperatures=self.temperatures,
                leapfrog=self.leapfrog,
                seed=generator.initial_seed() % 2**31,
                population=len(all_rows),
            )
            rows += rows_of(partition, dict(zip(self.columns, (found.estimate, found.estimate_se), strict=True)))
        return Measured(rows)
