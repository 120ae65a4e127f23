"""The base class of measurements: their settings and results, and the images and noise that they use."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ratereg.data import ImageSet
from ratereg.models import LatentVariableModel

__all__ = [
    "Measured",
    "Measurement",
    "at_least",
    "chosen",
    "partitions",
    "pixels_of",
    "rows_of",
    "stream",
    "with_errors",
]


@dataclass(frozen=True, eq=False)
class Measured:
    """The outcome of a measurement.

    Attributes:
        rows: one for each member and partition, with `member` and `partition`, and the measurement's columns.
        arrays: by name; axis 0 is the member, except for what belongs to the images, whose names start with
            "test_original".
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A question with its settings; subclasses implement `__call__`.

    Images and noise depend on the partition alone, so contrasts between members and between studies are paired. A
    member whose values are not finite has NaN in its rows.

    Attributes:
        columns: columns of the rows in addition to member and partition.
        arrays: names of the arrays.
        partitions: the partitions that rows are of.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    arrays: ClassVar[tuple[str, ...]] = ()
    partitions: ClassVar[tuple[str, ...]] = ("train", "test")

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Measure every member of a model on images that it was made for."""
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, Any]:
        """The kind, and the settings that differ from their defaults, ready for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        differing = {one.name: values[one.name] for one in fields(self) if values[one.name] != one.default}
        return {"type": type(self).__name__, **differing}

    def check(self, images: ImageSet) -> None:
        """Raise ValueError where the images can't be measured so, before anything is trained."""


def partitions(images: ImageSet) -> Iterator[tuple[str, Int64[Tensor, " row"]]]:
    """Yield the name and the rows of the training and of the test images.

    Raises:
        ValueError: `images` is something else, such as a `Data` that was not loaded.
    """
    if not isinstance(images, ImageSet):
        raise ValueError(f"images is a {type(images).__name__}; give an ImageSet, as Data(...).load() returns it.")
    yield "train", images.train
    yield "test", images.test


def stream(name: str) -> torch.Generator:
    """Return the random stream of a name, the same at every call."""
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]))


def chosen(rows: Int64[Tensor, " row"], count: int | None, generator: torch.Generator) -> Int64[Tensor, " count"]:
    """Return a random subset of rows, sorted; all of them if `count` is None or not below their number."""
    if count is None or count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=generator)[:count].sort().values]


@lru_cache(maxsize=1)
def pixels_of(images: ImageSet, device: torch.device) -> UInt8[Tensor, "image pixels"]:
    """Return the flattened images on a device; those of the last call are kept there."""
    return images.pixels.flatten(1).to(device)


def with_errors(*names: str) -> tuple[str, ...]:
    """Return names of columns, each followed by the name of its standard error."""
    return tuple(f"{name}{end}" for name in names for end in ("", "_se"))


def rows_of(partition: str, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each member. A tensor in `columns` has a value for each member; other values are shared."""
    values = {name: value.tolist() for name, value in columns.items() if isinstance(value, Tensor)}
    return [
        {"member": member, "partition": partition, **columns, **dict(zip(values, of_member, strict=True))}
        for member, of_member in enumerate(zip(*values.values(), strict=True))
    ]


def at_least(measurement: Measurement, least: int, *names: str) -> None:
    """Raise ValueError where one of a measurement's settings is not an integer of at least `least`."""
    for name in names:
        value = getattr(measurement, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{type(measurement).__name__}: {name} is {value!r}; give an integer of at least {least}.")
