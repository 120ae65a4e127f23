"""Known image sets given as a file, for machines that have no network: only the very set is accepted.

So a study names its source alike on every machine, and a result made from such a file is that of the named source.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ratereg.data.arrays import read_file
from ratereg.data.idx import FILES, as_idx, read_idx_folder
from ratereg.data.imageset import Images
from ratereg.storage import writing

__all__ = ["read_given", "variable", "write_given"]

_DIGESTS = {
    "fashion-mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
"""SHA-256 of the published sets' unpacked files, in the order of `FILES`."""


def variable(name: str) -> str:
    """Return the environment variable that says where the set `name` is given, e.g. RATEREG_DATA_FASHION_MNIST."""
    return f"RATEREG_DATA_{name.upper().replace('-', '_')}"


def read_given(name: str, path: Path) -> Images:
    """Read a known set from an .npz file as `write_given` makes it, or from a folder of its four files.

    Raises:
        FileNotFoundError: there is nothing at `path`, or a file of the folder is missing.
        ValueError: it cannot be read, or holds anything but the published set.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"data.load: source {name!r} is given as {str(path)!r}, which is not there; `ratereg data {name}` makes "
            "such a file on a machine that has the set."
        )
    images = replace(read_idx_folder(name, path) if path.is_dir() else read_file(path), name=name)
    _check(images, str(path))
    return images


def write_given(images: Images, path: Path) -> Path:
    """Write a known set to an .npz file that `read_given` reads, whole or not at all, and return its place.

    Raises:
        StorageError: the file can't be written.
        ValueError: `path` does not end in .npz, or the set is not the published one.
    """
    if path.suffix != ".npz":
        raise ValueError(f"output is {str(path)!r}; give a file that ends in .npz.")
    _check(images, f"the {images.name!r} of this machine")
    train, train_labels, test, test_labels = _arrays(images)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    arrays = {"train": train, "train_labels": train_labels, "test": test, "test_labels": test_labels}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **arrays)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return path


def _check(images: Images, where: str) -> None:
    """Refuse anything but the published pixels and labels, in their order."""
    found = [hashlib.sha256(as_idx(array)).hexdigest() for array in _arrays(images)]
    wrong = [file for file, one, known in zip(FILES, found, _DIGESTS[images.name], strict=True) if one != known]
    if wrong:
        raise ValueError(
            f"data.load: {where} is not the published {images.name!r}: other content in {', '.join(wrong)}. Give the "
            f"set's own four files, or what `ratereg data {images.name}` writes; name other images by their path."
        )


def _arrays(images: Images) -> tuple[np.ndarray, ...]:
    """Pixels and labels of training and of test images, uint8 as in the set's files."""
    count, n_train = images.count, images.n_train or 0
    pixels = images.pixels(np.arange(count)).numpy().transpose(0, 2, 3, 1)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    labels = np.zeros(count, dtype=np.uint8) if images.labels is None else images.labels.astype(np.uint8)
    return pixels[:n_train], labels[:n_train], pixels[n_train:], labels[n_train:]
