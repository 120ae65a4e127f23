"""The user's own images in an array, or in a file of arrays."""

import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64, Integer, Shaped, UInt8
from torch import Tensor

from ratereg.data.imageset import Images

__all__ = ["check_regular", "joined", "read_array", "read_file", "stored"]

_LAYOUT = "give (image, height, width) or (image, height, width, channel) with 1 to 4 channels"
_WHOLE = {"images", "labels", "factors", "factor_names", "factor_periods"}
_SIDES = {"train", "test", "train_labels", "test_labels"}

_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def stored(name: str, pixels: UInt8[np.ndarray, "image height width channel"], **known: Any) -> Images:
    """Make a source of pixels in memory, channels last as files have them; `known` are further fields of `Images`."""

    def rows_of(rows: Int64[np.ndarray, " row"]) -> UInt8[Tensor, "row channel height width"]:
        return torch.from_numpy(np.ascontiguousarray(pixels[rows].transpose(0, 3, 1, 2)))

    return Images(name=name, count=len(pixels), pixels=rows_of, **known)


def joined(
    name: str, sides: Sequence[UInt8[np.ndarray, "..."]], labels: Sequence[Integer[np.ndarray, "..."] | None]
) -> Images:
    """Make a source with its own split, from the pixels and the labels of training and of test.

    Raises:
        ValueError: the images' shapes differ, or only one side has labels.
    """
    train, test = (side.shape[1:] for side in sides)
    if train != test:
        raise ValueError(
            f"data.load: source {name!r} has images of (height, width, channel) {train} in train and {test} in test; "
            "give one shape."
        )
    known = [side.astype(np.int64) for side in labels if side is not None]
    if len(known) == 1:
        raise ValueError(f"data.load: source {name!r} has labels on one side only; give both or none.")
    return stored(name, np.concatenate(sides), n_train=len(sides[0]), labels=np.concatenate(known) if known else None)


def read_array(array: np.ndarray | Tensor) -> Images:
    """Check an array (image, height, width[, channel]) of uint8, of booleans, or of floats in [0, 1].

    Floats are rounded to 256 levels.

    Raises:
        ValueError: the array is misshapen, empty, of another type, not finite, or out of range.
    """
    return stored("array", _pixels(array.numpy(force=True) if isinstance(array, Tensor) else array, "array"))


def read_file(path: Path) -> Images:
    """Read a .npy file of one array, or a .npz file.

    A .npz file holds either `images`, with `labels` (image,), `factors` (image, factor), `factor_names` (factor,) and
    `factor_periods` (factor,) if there are any; or its own split `train` and `test`, with `train_labels` and
    `test_labels` if there are any. A period is infinite where the factor is no circle.

    Raises:
        ValueError: the file is not regular, cannot be read without unpickling objects, or holds other arrays, or an
            array is refused as in `read_array`.
    """
    check_regular(path)
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except Exception as error:  # a damaged header makes numpy and zipfile raise nearly anything
        raise ValueError(
            f"data.load: source {str(path)!r} cannot be read as arrays ({error}); write it with numpy.save or "
            "numpy.savez, and numbers only, no objects."
        ) from error
    if "images" in arrays and arrays.keys() <= _WHOLE:
        pixels = _pixels(arrays["images"], f"{path}: images")
        factors = _factors(arrays, len(pixels))
        return stored(path.stem, pixels, labels=_labels(arrays, "labels", len(pixels)), **factors)
    if {"train", "test"} <= arrays.keys() <= _SIDES:
        sides = [_pixels(arrays[side], f"{path}: {side}") for side in ("train", "test")]
        labels = [_labels(arrays, f"{side}_labels", len(arrays[side])) for side in ("train", "test")]
        return joined(path.stem, sides, labels)
    raise ValueError(
        f"data.load: source {str(path)!r} holds the arrays {', '.join(sorted(arrays)) or '(none)'}; give images (and "
        "labels, factors, factor_names, factor_periods), or train and test (and train_labels, test_labels)."
    )


def check_regular(path: Path) -> None:
    """Check that a path is that of a regular file: opening another kind may block.

    Raises:
        ValueError: the path is that of a FIFO, a socket, a device, a folder or a broken link, or can't be looked at.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        broken = "a broken link" if path.is_symlink() else f"out of reach ({error.strerror})"
        raise ValueError(f"data.load: {path} is {broken}; remove it, or give a file.") from error
    if kind != stat.S_IFREG:
        raise ValueError(f"data.load: {path} is {_SPECIAL.get(kind, 'no regular file')}; remove it, or give a file.")


def _pixels(array: Shaped[np.ndarray, "..."], name: str) -> UInt8[np.ndarray, "image height width channel"]:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not 1 <= array.shape[3] <= 4:
        raise ValueError(f"data.load: {name} has shape {array.shape}; {_LAYOUT}.")
    if array.size == 0:
        raise ValueError(f"data.load: {name} has shape {array.shape}, which is empty; give at least two images.")
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"data.load: {name} has type {array.dtype}; give uint8 in 0..255 or floats in [0, 1].")
    low, high = array.min(), array.max()
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN spreads to both
        raise ValueError(f"data.load: {name} holds NaN or infinity; give floats in [0, 1].")
    if low < 0 or high > 1:
        raise ValueError(
            f"data.load: {name} holds floats from {low:g} to {high:g}; give floats in [0, 1], or uint8 in 0..255."
        )
    return np.round(array * 255).astype(np.uint8)


def _refused(name: str, array: Shaped[np.ndarray, "..."], wanted: str) -> ValueError:
    return ValueError(f"data.load: {name} has shape {array.shape} and type {array.dtype}; give {wanted}.")


def _labels(
    arrays: Mapping[str, Shaped[np.ndarray, "..."]], name: str, count: int
) -> Int64[np.ndarray, " image"] | None:
    if name not in arrays:
        return None
    labels = arrays[name]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise _refused(name, labels, f"{count} integers, one per image")
    return labels.astype(np.int64)


def _factors(arrays: Mapping[str, Shaped[np.ndarray, "..."]], count: int) -> dict[str, Any]:
    """Return the fields of `Images` that the factors in a file decide."""
    factors = arrays.get("factors", np.empty((count, 0)))
    if factors.ndim != 2 or len(factors) != count or factors.dtype.kind not in "iuf":
        raise _refused("factors", factors, f"numbers, {count} rows")
    values: Float64[np.ndarray, "image factor"] = factors.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("data.load: factors holds NaN or infinity; give finite numbers.")
    columns = values.shape[1]
    names = arrays.get("factor_names", np.array([f"factor {k}" for k in range(columns)], dtype=str))
    if names.shape != (columns,) or names.dtype.kind != "U":
        raise _refused("factor_names", names, f"{columns} texts, one per factor")
    if len(set(names.tolist())) < columns:
        raise ValueError("data.load: factor_names holds a name twice; give each factor its own.")
    low, high = (values.min(axis=0), values.max(axis=0)) if columns else (np.empty(0), np.empty(0))
    periods = arrays.get("factor_periods", np.full(columns, math.inf))
    if periods.shape != (columns,) or periods.dtype.kind not in "iuf" or not (periods > high - low).all():
        raise ValueError(
            f"data.load: factor_periods is {periods.tolist()}; give {columns} numbers above the ranges of the factors, "
            f"{(high - low).tolist()}, and infinity for a factor that is no circle."
        )
    each = list(zip(names.tolist(), low.tolist(), high.tolist(), periods.tolist(), strict=True))
    return {
        "factors": values if "factors" in arrays else None,
        "factor_names": tuple(names.tolist()),
        "ranges": {name: (a, b) for name, a, b, _ in each if a < b},
        "periods": {name: float(period) for name, _, _, period in each if math.isfinite(period)},
    }
