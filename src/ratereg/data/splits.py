"""Splits into training and test rows, the same for the same seed on every machine.

Every split is two sorted arrays of row numbers, of training and of test images, with no row in common. A ValueError
says which argument is out of range, or that a side would be left without images.
"""

import zlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["Rows", "cd", "checked_seed", "checked_share", "checkerboard", "cv", "default", "subset"]

Rows = Int64[np.ndarray, " _"]


def default(count: int, *, seed: int = 0) -> tuple[Rows, Rows]:
    """Split `count` images, at least 2, into random halves; of an odd count, test has one more."""
    return _cut("default", count, count // 2, seed)


def cv(count: int, share: float, *, seed: int = 0) -> tuple[Rows, Rows]:
    """Split with constant volume: a random share of the images for training, the rest for test."""
    return _cut("cv", count, round(checked_share(share) * count), seed)


def checkerboard(
    factors: Float64[np.ndarray, "row factor"], ranges: Mapping[str, tuple[float, float]]
) -> tuple[Rows, Rows]:
    """Split by a checkerboard: each factor's range is cut in the middle, and blocks of even index sum are for training.

    `factors` has one column for each of `ranges`, in its order, which are the lower and upper end of each factor.
    """
    low, high = _ends(factors, ranges)
    odd = (factors >= (low + high) / 2).sum(axis=1) % 2 == 1
    if odd.all() or not odd.any():
        raise ValueError(f"splits.checkerboard: all {len(odd)} images lie in blocks of one side; give another split.")
    return np.flatnonzero(~odd), np.flatnonzero(odd)


def cd(
    factors: Float64[np.ndarray, "row factor"],
    ranges: Mapping[str, tuple[float, float]],
    share: float,
    *,
    seed: int = 0,
) -> tuple[Rows, Rows]:
    """Split with constant density: the default split within the central `share` of the volume of the ranges.

    Of the range of each of the k factors the central share ** (1 / k) is kept, in training and test alike; `factors`
    and `ranges` as in `checkerboard`.
    """
    checked_share(share)
    low, high = _ends(factors, ranges)
    half = (high - low) / 2 * share ** (1 / len(ranges))
    inside = (np.abs(factors - (low + high) / 2) <= half).all(axis=1)
    train, test = (rows[inside[rows]] for rows in default(len(factors), seed=seed))
    if len(train) == 0 or len(test) == 0:
        raise ValueError(f"splits.cd: share is {share}, which leaves a side without images; give a larger one.")
    return train, test


def subset(rows: Rows, size: int, *, name: str, seed: int = 0) -> Rows:
    """Keep `size` of the rows at random; smaller subsets of the same rows and seed lie in the larger ones.

    `name`, of the setting that holds the size, is named in errors, and separates the random streams.
    """
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or not 1 <= size <= len(rows):
        raise ValueError(f"splits: {name} is {size!r}; give an integer from 1 to {len(rows)}, the images of that side.")
    return np.sort(rows[_permutation(name, len(rows), seed)[:size]])


def _ends(
    factors: Float64[np.ndarray, "row factor"], ranges: Mapping[str, tuple[float, float]]
) -> Float64[np.ndarray, "2 factor"]:
    if factors.ndim != 2 or factors.shape[1] != len(ranges) or not ranges:
        raise ValueError(
            f"splits: factors has shape {factors.shape}; give a column for each of the ranges, {', '.join(ranges)}."
        )
    return np.array(list(ranges.values()), dtype=np.float64).T


def _cut(name: str, count: int, n_train: int, seed: int) -> tuple[Rows, Rows]:
    if not isinstance(count, int | np.integer) or not 0 < n_train < count:
        raise ValueError(
            f"splits.{name}: of {count} images {n_train} would be in training; each side needs at least one."
        )
    order = _permutation(name, count, seed)
    return np.sort(order[:n_train]), np.sort(order[n_train:])


def _permutation(name: str, count: int, seed: int) -> Rows:
    # Raw bits, because numpy promises these for all versions to come, and its permutations not.
    stream = np.random.PCG64(np.random.SeedSequence([checked_seed(seed), zlib.crc32(name.encode())]))
    return np.argsort(stream.random_raw(count), kind="stable").astype(np.int64)


def checked_seed(seed: object) -> int:
    """Return a seed as an int; raise ValueError unless it is an integer that is not negative."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"splits: seed is {seed!r}; give an integer that is not negative.")
    return int(seed)


def checked_share(share: object) -> float:
    """Return a share as a float; raise ValueError unless it is a number between 0 and 1."""
    if not isinstance(share, int | float | np.floating) or isinstance(share, bool) or not 0 < share < 1:
        raise ValueError(f"splits: share is {share!r}; give a number between 0 and 1.")
    return float(share)
