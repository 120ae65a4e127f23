"""The information terms on fresh images, which tell saturation of the mutual information from its ceiling."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from ratereg.data import ImageSet
from ratereg.evaluation import decompose_rate, encode, factor_bound, fit_factors, fit_marginal, marginal_bound
from ratereg.measurements.measured import Measured, Measurement, at_least, rows_of, stream, with_errors
from ratereg.models import LatentVariableModel

__all__ = ["FreshInformation"]

_LEAST = 256
"""Images in the smallest aggregate posterior."""

_TERMS = with_errors("rate", "mutual_information", "marginal_kl")
_BOUNDS = ("information_lower_bound", "information_upper_bound")


@dataclass(frozen=True)
class FreshInformation(Measurement):
    """Rate, mutual information and marginal KL on fresh images, for more and more of them in the aggregate posterior.

    Rows are of the partition "fresh", one for each number of images: powers of 4 times 256, and the most. The last one
    also has bounds on the population's mutual information, which have no ceiling: from below by a regression of the
    factors, from above by a fitted marginal density.

    Arguments:
        images: the most images in the aggregate posterior.
        queries: images whose posteriors z is drawn from.
        fitted: further images that the bounds' densities are fitted on.
        evaluated: further images that the bounds are evaluated on.
        regression_steps: training steps of the regression of the factors.
    """

    images: int = 163_840
    queries: int = 8192
    fitted: int = 16_384
    evaluated: int = 4096
    regression_steps: int = 1000

    partitions: ClassVar = ("fresh",)
    columns: ClassVar = ("images", "queries", "components", "log_n", *_TERMS, *with_errors(*_BOUNDS))

    def __post_init__(self) -> None:
        at_least(self, _LEAST, "images")
        at_least(self, 2, "queries", "fitted", "evaluated")
        at_least(self, 1, "regression_steps")

    @property
    def sizes(self) -> list[int]:
        """The numbers of images in the aggregate posterior."""
        powers = (_LEAST * 4**power for power in range(32))
        return [*(size for size in powers if size < self.images), self.images]

    def check(self, images: ImageSet) -> None:
        """Raise ValueError for images that no program draws."""
        if images.draw is None:
            raise ValueError(
                f"FreshInformation: no program draws {images.name!r}; measure it on images such as Tetrominoes."
            )

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member on newly drawn images."""
        self.check(images)
        pixels, cube = _drawn(images, self.images + self.fitted + self.evaluated)
        pixels, cube = pixels.to(model.device), cube.to(model.device)
        encodings = encode(model, pixels, torch.arange(len(pixels), device=model.device))
        mean, log_var = encodings.mean, encodings.log_var
        generator = stream("fresh")
        rows = []
        for size in self.sizes:
            queries = torch.randperm(size, generator=generator)[: self.queries].sort().values
            parts = decompose_rate(mean[:, :size], log_var[:, :size], generator, queries=queries, prior=model.prior)
            counts = {"images": size, "queries": len(queries), "components": size, "log_n": math.log(size)}
            rows += rows_of("fresh", counts | {name: getattr(parts, name) for name in _TERMS})
        fitted = slice(self.images, self.images + self.fitted)
        evaluated = slice(self.images + self.fitted, len(pixels))
        to_fit = (mean[:, fitted], log_var[:, fitted])
        to_evaluate = (mean[:, evaluated], log_var[:, evaluated])
        above = marginal_bound(*to_evaluate, fit_marginal(*to_fit, generator), generator, sizes=[self.evaluated])
        seed = generator.initial_seed() % 2**31
        regression = fit_factors(*to_fit, cube[fitted], seed=seed, steps=self.regression_steps)
        below = factor_bound(*to_evaluate, cube[evaluated], regression, generator, sizes=[self.evaluated])
        for name, bound in zip(_BOUNDS, (below, above), strict=True):
            values = zip(bound.value.flatten().tolist(), bound.standard_error.flatten().tolist(), strict=True)
            for row, (value, error) in zip(rows[-model.members :], values, strict=True):
                row |= {name: value, f"{name}_se": error}
        return Measured(rows)


@lru_cache(maxsize=1)
def _drawn(images: ImageSet, count: int) -> tuple[UInt8[Tensor, "image pixels"], Float64[Tensor, "image factor"]]:
    assert images.draw is not None
    return images.draw(count, 0)
