"""Images before and after they are split into training and test."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

__all__ = ["Draw", "ImageSet", "Images"]

Draw: TypeAlias = Callable[[int, int], tuple[UInt8[Tensor, "image pixels"], Float64[Tensor, "image factor"]]]
"""From a number of images and a seed to fresh images, flattened, and their factors in the unit cube.

The first images are the same for every number.
"""


@dataclass(frozen=True, eq=False)
class Images:
    """All images of a source, not yet split.

    Arguments:
        name: the source.
        count: number of images.
        pixels: function from rows to their pixels, 0 to 255, so that only images in use need to be made.
        n_train: where the source brings its own split, its first `n_train` images are for training, the others for
            test.
        factors, factor_names, ranges, periods, labels, draw: as in `ImageSet`.
    """

    name: str
    count: int
    pixels: Callable[[Int64[np.ndarray, " row"]], UInt8[Tensor, "row channel height width"]]
    n_train: int | None = None
    factors: Float64[np.ndarray, "image factor"] | None = None
    factor_names: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    periods: Mapping[str, float] = field(default_factory=dict)
    labels: Int64[np.ndarray, " image"] | None = None
    draw: Draw | None = None

    @property
    def varying(self) -> Float64[np.ndarray, "image varying"] | None:
        """The columns of the factors that vary, in the order of `ranges`; None if there are none."""
        if self.factors is None or not self.ranges:
            return None
        return self.factors[:, [self.factor_names.index(name) for name in self.ranges]]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with a split into training and test.

    Arguments:
        name: the source, with the kind of binarization if there is one.
        split: the rule that the images were split by.
        pixels: all images in use, 0 to 255.
        train, test: rows of `pixels`, sorted, none in both.
        factors: the numbers that each image was made from, where they are known.
        factor_names: names of the columns of `factors`.
        ranges: lower and upper end of the factors that vary.
        periods: periods of the factors that are circles, in their own units.
        labels: the class of each image, where there are classes.
        draw: function that draws fresh images, binarized if these are, where a program draws them.
        binarize: "static" or "dynamic" if `pixels` are binary draws, else None.
        gray: with "dynamic", the images that the draws come from, for training to draw again at each step; else None.
    """

    name: str
    split: str
    pixels: UInt8[Tensor, "image channel height width"]
    train: Int64[Tensor, " train"]
    test: Int64[Tensor, " test"]
    factors: Float64[Tensor, "image factor"] | None = None
    factor_names: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    periods: Mapping[str, float] = field(default_factory=dict)
    labels: Int64[Tensor, " image"] | None = None
    draw: Draw | None = None
    binarize: str | None = None
    gray: UInt8[Tensor, "image channel height width"] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def unit_cube(self) -> Float64[Tensor, "image varying"]:
        """Return the factors that vary, each scaled from its range to the interval from 0 to 1.

        Raises:
            ValueError: no factors are known that vary.
        """
        if self.factors is None or not self.ranges:
            raise ValueError(f"unit_cube: {self.name!r} has no factors that vary; give images whose factors are known.")
        columns = [self.factor_names.index(name) for name in self.ranges]
        low, high = torch.tensor(list(self.ranges.values()), dtype=torch.float64).T
        scaled: Float64[Tensor, "image varying"] = (self.factors[:, columns] - low) / (high - low)
        return scaled

    def unit_periods(self) -> list[float]:
        """Return the period of each column of `unit_cube`, infinity for factors that are no circles."""
        return [self.periods.get(name, math.inf) / (high - low) for name, (low, high) in self.ranges.items()]
