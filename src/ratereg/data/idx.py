"""The four files that MNIST and its likes come in: arrays of bytes in the IDX format, often packed by gzip."""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ratereg.data.arrays import joined
from ratereg.data.imageset import Images

__all__ = ["FILES", "as_idx", "find_idx", "from_idx"]

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Training images, their labels, test images, their labels."""


def find_idx(folder: Path) -> list[Path] | None:
    """Return the paths of the four files in a folder, packed (.gz) or not, or None if one is missing."""
    found = [path for name in FILES for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    packed = {path.name.removesuffix(".gz"): path for path in reversed(found)}
    return [packed[name] for name in FILES] if len(packed) == len(FILES) else None


def from_idx(name: str, contents: Mapping[str, bytes]) -> Images:
    """Make the source `name`, with its own split, from the names and the contents of its four files.

    Raises:
        ValueError: a file is damaged, or there are other numbers of labels than of images.
    """
    train, train_labels, test, test_labels = (_array(*file) for file in contents.items())
    for images, labels in ((train, train_labels), (test, test_labels)):
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(f"data.load: source {name!r} has images {images.shape} and labels {labels.shape}.")
    return joined(name, (train[..., None], test[..., None]), (train_labels, test_labels))


def as_idx(array: UInt8[np.ndarray, "..."]) -> bytes:
    """Return an array as the content of an unpacked file: type, number of axes, sizes, values."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def _array(name: str, content: bytes) -> UInt8[np.ndarray, "..."]:
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"data.load: {name} is damaged: {error}.") from error
    header = 4 + 4 * content[3] if len(content) > 3 else 0
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, header, 4)]
    if content[:3] != bytes([0, 0, 8]) or 0 in shape or len(content) != header + math.prod(shape):
        raise ValueError(f"data.load: {name} is damaged: it is no IDX file of bytes.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
