"""The user's own images: an array, a file of arrays, or a folder of images."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped, UInt8
from torch import Tensor

from ratereg.data.imageset import Images

__all__ = ["read_array", "read_file", "read_folder", "stored"]

_LAYOUT = "give (image, height, width) or (image, height, width, channel) with 1 to 4 channels"


def stored(name: str, pixels: UInt8[np.ndarray, "image height width channel"], **known: Any) -> Images:
    """Make a source of pixels that are there, channels last as files have them."""

    def rows_of(rows: Int64[np.ndarray, " row"]) -> UInt8[Tensor, "row channel height width"]:
        return torch.from_numpy(np.ascontiguousarray(pixels[rows].transpose(0, 3, 1, 2)))

    return Images(name=name, count=len(pixels), pixels=rows_of, **known)


def read_array(array: np.ndarray | Tensor, name: str = "array") -> Images:
    """Check an array (image, height, width[, channel]) of uint8, of booleans, or of floats in [0, 1].

    Floats are rounded to 256 levels.

    Raises:
        ValueError: it is misshapen, empty, of another type, not finite, or out of range.
    """
    return stored(name, _pixels(array.numpy(force=True) if isinstance(array, Tensor) else array, name))


def read_file(path: Path) -> Images:
    """Read a .npy file of one array, or a .npz file.

    A .npz file holds either `images`, with `labels` (image,) and `factors` (image, factor) and `factor_names` if there
    are any, or its own split `train` and `test`, with `train_labels` and `test_labels` if there are any.

    Raises:
        ValueError: the file cannot be read without unpickling objects, holds other arrays, or an array is refused as in
            `read_array`.
    """
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"data.load: source {str(path)!r} cannot be read as arrays ({error}); write it with numpy.save or "
            "numpy.savez, and numbers only, no objects."
        ) from error
    name = path.stem
    if arrays.keys() <= {"images", "labels", "factors", "factor_names"} and "images" in arrays:
        pixels = _pixels(arrays["images"], f"{path}: images")
        factors = _factors(arrays.get("factors"), len(pixels))
        names = _factor_names(arrays.get("factor_names"), factors)
        return stored(
            name,
            pixels,
            factors=factors,
            factor_names=names,
            ranges=_ranges(names, factors),
            labels=_labels(arrays.get("labels"), len(pixels), "labels"),
        )
    if {"train", "test"} <= arrays.keys() <= {"train", "test", "train_labels", "test_labels"}:
        sides = [_pixels(arrays[side], f"{path}: {side}") for side in ("train", "test")]
        labels = [
            _labels(arrays.get(f"{side}_labels"), len(pixels), f"{side}_labels")
            for side, pixels in zip(("train", "test"), sides, strict=True)
        ]
        return _joined(name, sides, labels)
    raise ValueError(
        f"data.load: source {str(path)!r} holds the arrays {', '.join(sorted(arrays)) or '(none)'}; give images (and "
        "labels, factors, factor_names), or train and test (and train_labels, test_labels)."
    )


def read_folder(folder: Path) -> Images:
    """Read a folder of images of one size, gray or RGB, in the natural order of their names (2 before 10).

    Subfolders train/ and test/ are the folder's own split; other subfolders are classes, numbered in their order.
    Hidden files do not count.

    Raises:
        ValueError: there are no images, a file is damaged or not an image, or sizes or kinds differ.
    """
    inner = {path.name: path for path in _visible(folder)}
    if inner.keys() == {"train", "test"} and all(path.is_dir() for path in inner.values()):
        classes = [[path.name for path in _visible(inner[side]) if path.is_dir()] for side in ("train", "test")]
        if classes[0] != classes[1]:
            raise ValueError(
                f"data.load: source {str(folder)!r} has other classes in train/ than in test/; give the same."
            )
        read = [_read_classes(inner[side]) for side in ("train", "test")]
        return _joined(folder.name, [pixels for pixels, _ in read], [labels for _, labels in read])
    pixels, labels = _read_classes(folder)
    return stored(folder.name, pixels, labels=labels)


def _joined(
    name: str,
    sides: list[UInt8[np.ndarray, "..."]],
    labels: list[Int64[np.ndarray, "..."] | None],
) -> Images:
    """A set with its own split, from the pixels and labels of train and test."""
    shapes = [side.shape[1:] for side in sides]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"data.load: source {name!r} has images of (height, width, channel) {shapes[0]} in train and "
            f"{shapes[1]} in test; give one shape."
        )
    known = [one for one in labels if one is not None]
    if len(known) == 1:
        raise ValueError(f"data.load: source {name!r} has labels on one side only; give both or none.")
    labels_of_all = np.concatenate(known) if known else None
    return stored(name, np.concatenate(sides), n_train=len(sides[0]), labels=labels_of_all)


def _read_classes(folder: Path) -> tuple[UInt8[np.ndarray, "..."], Int64[np.ndarray, "..."] | None]:
    """The images of a folder, and their labels if it has subfolders."""
    inner = _visible(folder)
    classes = [path for path in inner if path.is_dir()]
    if classes and len(classes) < len(inner):
        stray = next(path for path in inner if not path.is_dir())
        raise ValueError(
            f"data.load: source folder {str(folder)!r} holds both files ({stray.name}) and folders "
            f"({classes[0].name}/); give images alone, or one folder a class."
        )
    files = [_visible(one) for one in classes] if classes else [inner]
    if not all(files):
        empty = folder if not classes else classes[[bool(one) for one in files].index(False)]
        raise ValueError(f"data.load: source folder {str(empty)!r} is empty; give a folder with images in it.")
    paths = [path for one in files for path in one]
    images = [_read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"data.load: {path} is {_described(image)}, {paths[0]} is {_described(images[0])}; give images of "
                "one size and kind."
            )
    labels = np.repeat(np.arange(len(files)), [len(one) for one in files]) if classes else None
    return np.stack(images), labels


def _read_image(path: Path) -> UInt8[np.ndarray, "height width channel"]:
    from PIL import Image

    if path.is_dir():
        raise ValueError(f"data.load: {path} is a folder inside a class; give folders of images one level deep.")
    try:
        with Image.open(path) as image:
            image.load()
            kind = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB"}.get(image.mode)
            if kind is not None:
                pixels = np.asarray(image.convert(kind))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"data.load: {path} cannot be read as an image ({error}); remove it or replace it by a whole one."
        ) from error
    if kind is None:
        raise ValueError(f"data.load: {path} has the color mode {image.mode}; give 8-bit gray or RGB images.")
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _described(image: UInt8[np.ndarray, "height width channel"]) -> str:
    height, width, channels = image.shape
    return f"{width} x {height} {'gray' if channels == 1 else 'RGB'}"


def _visible(folder: Path) -> list[Path]:
    """The folder's content without hidden files, numbers in names by value."""

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=order)


def _pixels(array: Shaped[np.ndarray, "..."], name: str) -> UInt8[np.ndarray, "image height width channel"]:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not 1 <= array.shape[3] <= 4:
        raise ValueError(f"data.load: {name} has shape {array.shape}; {_LAYOUT}.")
    if 0 in array.shape:
        raise ValueError(f"data.load: {name} has shape {array.shape}, which is empty; give at least two images.")
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"data.load: {name} has type {array.dtype}; give uint8 in 0..255 or floats in [0, 1].")
    if not np.isfinite(array).all():
        raise ValueError(f"data.load: {name} holds NaN or infinity; give floats in [0, 1].")
    low, high = array.min(), array.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"data.load: {name} holds floats from {low:g} to {high:g}; give floats in [0, 1], or uint8 in 0..255."
        )
    return np.round(array * 255).astype(np.uint8)


def _labels(labels: Shaped[np.ndarray, "..."] | None, count: int, name: str) -> Int64[np.ndarray, " image"] | None:
    if labels is None:
        return None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"data.load: {name} has shape {labels.shape} and type {labels.dtype}; give {count} integers, one per image."
        )
    return labels.astype(np.int64)


def _factors(factors: Shaped[np.ndarray, "..."] | None, count: int) -> Float64[np.ndarray, "image factor"] | None:
    if factors is None:
        return None
    if factors.ndim != 2 or len(factors) != count or not np.issubdtype(factors.dtype, np.number):
        raise ValueError(
            f"data.load: factors has shape {factors.shape} and type {factors.dtype}; give numbers, {count} rows."
        )
    factors = factors.astype(np.float64)
    if not np.isfinite(factors).all():
        raise ValueError("data.load: factors holds NaN or infinity; give finite numbers.")
    return factors


def _factor_names(
    names: Shaped[np.ndarray, "..."] | None, factors: Float64[np.ndarray, "image factor"] | None
) -> tuple[str, ...]:
    columns = 0 if factors is None else factors.shape[1]
    if names is None:
        return tuple(f"factor {k}" for k in range(columns))
    if names.shape != (columns,) or names.dtype.kind != "U":
        raise ValueError(
            f"data.load: factor_names has shape {names.shape} and type {names.dtype}; give {columns} texts, one "
            "per factor."
        )
    if len(set(names.tolist())) < columns:
        raise ValueError("data.load: factor_names holds a name twice; give each factor its own.")
    return tuple(names.tolist())


def _ranges(
    names: tuple[str, ...], factors: Float64[np.ndarray, "image factor"] | None
) -> dict[str, tuple[float, float]]:
    """Lower and upper end of the factors that vary."""
    if factors is None:
        return {}
    ends = zip(names, factors.min(axis=0).tolist(), factors.max(axis=0).tolist(), strict=True)
    return {name: (low, high) for name, low, high in ends if low < high}
