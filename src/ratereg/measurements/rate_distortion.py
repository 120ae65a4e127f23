"""Rate, distortion and negative ELBO of training and test images."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from ratereg.data import ImageSet
from ratereg.evaluation import distortion_per_draw, encode, mean_over_images
from ratereg.measurements.measured import (
    Measured,
    Measurement,
    at_least,
    chosen,
    partitions,
    pixels_of,
    rows_of,
    stream,
    with_errors,
)
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

    columns: ClassVar = ("images", *with_errors("rate", "distortion", "negative_elbo"))

    def __post_init__(self) -> None:
        if self.images is not None:
            at_least(self, 2, "images")

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on the training and on the test images."""
        pixels = pixels_of(images, model.device)
        rows = []
        for partition, all_rows in partitions(images):
            generator = stream(f"evaluation/{partition}")
            subset = chosen(all_rows, self.images, generator).to(model.device)
            encodings = encode(model, pixels, subset)
            costs = distortion_per_draw(model, pixels, subset, encodings, generator)
            terms = (encodings.rate_per_draw, costs, encodings.rate_per_draw + costs)
            estimates = torch.stack([one for term in terms for one in mean_over_images(term, len(all_rows))])
            estimates[:, ~estimates.isfinite().all(0)] = math.nan
            rows += rows_of(partition, {"images": len(subset), **dict(zip(self.columns[1:], estimates, strict=True))})
        return Measured(rows)
