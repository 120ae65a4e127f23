"""The user's own images in a folder."""

import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from ratereg.data.arrays import check_regular, joined, stored
from ratereg.data.imageset import Images

__all__ = ["read_folder"]

_MODES = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB"}
"""PIL's modes of the images that are taken, and the mode that they are read in."""


def read_folder(folder: Path) -> Images:
    """Read a folder of images of one size, gray or RGB, in the natural order of their names (2 before 10).

    Subfolders train/ and test/ are the folder's own split; other subfolders are classes, numbered in their order.
    Hidden files do not count.

    Raises:
        ValueError: there are no images, a file is damaged, not regular or not an image, or sizes or kinds differ.
    """
    name = os.path.basename(os.path.abspath(folder))
    inner = {path.name: path for path in _visible(folder)}
    if inner.keys() == {"train", "test"} and all(path.is_dir() for path in inner.values()):
        classes = [[path.name for path in _visible(inner[side]) if path.is_dir()] for side in ("train", "test")]
        if classes[0] != classes[1]:
            raise ValueError(
                f"data.load: source {str(folder)!r} has other classes in train/ than in test/; give the same."
            )
        read = [_read_classes(inner[side]) for side in ("train", "test")]
        return joined(name, [pixels for pixels, _ in read], [labels for _, labels in read])
    pixels, labels = _read_classes(folder)
    return stored(name, pixels, labels=labels)


def _read_classes(folder: Path) -> tuple[UInt8[np.ndarray, "..."], Int64[np.ndarray, "..."] | None]:
    """Return the images of a folder, and their labels if it has subfolders."""
    inner = _visible(folder)
    classes = [path for path in inner if path.is_dir()]
    if classes and len(classes) < len(inner):
        stray = next(path for path in inner if not path.is_dir())
        raise ValueError(
            f"data.load: source folder {str(folder)!r} holds both files ({stray.name}) and folders "
            f"({classes[0].name}/); give only images, or one folder a class."
        )
    files = {one: _visible(one) for one in classes} if classes else {folder: inner}
    for one, images in files.items():
        if not images:
            raise ValueError(f"data.load: source folder {str(one)!r} is empty; give a folder with images in it.")
    pixels = _read_images([path for images in files.values() for path in images])
    labels = np.repeat(np.arange(len(files)), [len(images) for images in files.values()]) if classes else None
    return pixels, labels


def _read_images(paths: list[Path]) -> UInt8[np.ndarray, "image height width channel"]:
    first = _read_image(paths[0])
    pixels = np.empty((len(paths), *first.shape), np.uint8)
    for row, path in enumerate(paths):
        image = _read_image(path)
        if image.shape != first.shape:
            raise ValueError(
                f"data.load: {path} is {_described(image)}, {paths[0]} is {_described(first)}; give images of one size "
                "and kind."
            )
        pixels[row] = image
    return pixels


def _read_image(path: Path) -> UInt8[np.ndarray, "height width channel"]:
    from PIL import Image

    check_regular(path)
    try:
        with Image.open(path) as image:
            mode, frames = image.mode, getattr(image, "n_frames", 1)
            pixels = np.asarray(image.convert(_MODES.get(mode, mode)))
    except Exception as error:  # damaged files make PIL raise nearly anything
        raise ValueError(
            f"data.load: {path} cannot be read as an image ({error}); remove it or replace it by a whole one."
        ) from error
    if mode not in _MODES:
        raise ValueError(f"data.load: {path} has the color mode {mode}; give 8-bit gray or RGB images.")
    if frames > 1:
        raise ValueError(f"data.load: {path} holds {frames} images; give one a file.")
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _described(image: UInt8[np.ndarray, "height width channel"]) -> str:
    height, width, channels = image.shape
    return f"{width} x {height} {'gray' if channels == 1 else 'RGB'}"


def _visible(folder: Path) -> list[Path]:
    """Return the folder's content without hidden files, numbers in names by value."""

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]

    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=order)
    except OSError as error:
        raise ValueError(f"data.load: folder {str(folder)!r} cannot be read: {error.strerror}; mend that.") from error
