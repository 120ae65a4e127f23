"""Rate, distortion and negative ELBO of training and test images."""

import math
from dataclasses import dataclass
from typing import ClassVar

from ratereg.data import ImageSet
from ratereg.evaluation import distortion_per_draw, encode, mean_over_images
from ratereg.measurements.measured import Measured, Measurement, at_least, chosen, partitions, pixels_of, stream
from ratereg.models import LatentVariableModel

__all__ = ["RateDistortion"]


@dataclass(frozen=True)
class RateDistortion(Measurement):
    """Rate, distortion and their sum, the negative ELBO at beta = 1, of each partition, in nats.

    Standard errors are over the draws of z, and over the images where these are a random subset.

    Arguments:
        images: images of each partition, a random subset; None for all.
    """

    images: int | None = None

    columns: ClassVar = (
        "images",
        *(f"{name}{end}" for name in ("rate", "distortion", "negative_elbo") for end in ("", "_se")),
    )

    def __post_init__(self) -> None:
        if self.images is not None:
            at_least("RateDistortion", 2, images=self.images)

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on the training and on the test images."""
        pixels = pixels_of(images, model.device)
        rows = []
        for partition, all_rows in partitions(images):
            generator = stream(f"evaluation/{partition}")
            subset = chosen(all_rows, self.images, generator).to(model.device)
            encodings = encode(model, pixels, subset)
            costs = distortion_per_draw(model, pixels, subset, encodings, generator)
            estimates = {
                "rate": mean_over_images(encodings.rate_per_draw, len(all_rows)),
                "distortion": mean_over_images(costs, len(all_rows)),
                "negative_elbo": mean_over_images(encodings.rate_per_draw + costs, len(all_rows)),
            }
            for member in range(model.members):
                values = {
                    f"{name}{end}": value[member].item()
                    for name, pair in estimates.items()
                    for end, value in zip(("", "_se"), pair, strict=True)
                }
                finite = all(math.isfinite(value) for value in values.values())
                rows.append(
                    {"member": member, "partition": partition, "images": len(subset)}
                    | (values if finite else dict.fromkeys(values, math.nan))
                )
        return Measured(rows)
