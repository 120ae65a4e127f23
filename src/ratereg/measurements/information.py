"""Mutual information and marginal KL of training and test images."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from ratereg.data import ImageSet
from ratereg.evaluation import decompose_rate, encode
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

__all__ = ["Information"]


@dataclass(frozen=True)
class Information(Measurement):
    """The two parts of the rate, mutual information and marginal KL, under each partition's own aggregate posterior.

    The aggregate posterior has all images measured on as components, `components` of them; `log_n` is the logarithm of
    their number, the ceiling of the mutual information. If the prior's rate has no closed form, `RateDistortion` uses
    other samples z, and the two parts add up to its rate only within their standard errors.

    Arguments:
        images: images of each partition, a random subset; None for all.
        queries: images whose posteriors z is drawn from.
    """

    images: int | None = None
    queries: int = 8192

    columns: ClassVar = ("queries", "components", "log_n", *with_errors("mutual_information", "marginal_kl"))

    def __post_init__(self) -> None:
        at_least(self, 2, "queries", *(() if self.images is None else ("images",)))

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on the training and on the test images."""
        pixels = pixels_of(images, model.device)
        rows = []
        for partition, all_rows in partitions(images):
            # The images are those that rate and distortion are measured on, where both are of as many.
            subset = chosen(all_rows, self.images, stream(f"evaluation/{partition}")).to(model.device)
            encodings = encode(model, pixels, subset)
            generator = stream(f"information/{partition}")
            queries = chosen(torch.arange(len(subset)), self.queries, generator)
            parts = decompose_rate(encodings.mean, encodings.log_var, generator, queries=queries, prior=model.prior)
            counts = {"queries": len(queries), "components": len(subset), "log_n": math.log(len(subset))}
            rows += rows_of(partition, counts | {name: getattr(parts, name) for name in self.columns[3:]})
        return Measured(rows)
