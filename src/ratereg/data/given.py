"""Known image sets given as a file, for machines that have no network: only the very set is accepted.

So a study names its source alike on every machine, and a result made from such a file is that of the named source.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from ratereg.data.arrays import read_file
from ratereg.data.idx import FILES, as_idx, read_idx_folder
from ratereg.data.imageset import Images
from ratereg.storage import writing

__all__ = ["digests", "read_given", "variable", "write_given"]

_DIGESTS = {
    "fashion-mnist": {
        "train": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "test": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    "mnist": {
        "train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "mnist-10k": {
        "images": "4e3355b0dd14bc12e53353f1d2789806361e6ef7350c92a8c5e778a74ea77696",
        "labels": "364de413ea4102745aa4d08a168e3501716cb789ace0f8b3033481882a00e25f",
    },
}
"""SHA-256 of the published sets' arrays as unpacked files, under the names that an .npz file has for the arrays."""

_FILES = dict(zip(("train", "train_labels", "test", "test_labels"), FILES, strict=True))
"""What the arrays are called in a set that comes in four files."""


def variable(name: str) -> str:
    """Return the environment variable that says where the set `name` is given, e.g. RATEREG_DATA_FASHION_MNIST."""
    return f"RATEREG_DATA_{name.upper().replace('-', '_')}"


def read_given(name: str, path: Path) -> Images:
    """Read a known set from an .npz file as `write_given` makes it, or from a folder of the four files it comes in.

    Raises:
        FileNotFoundError: there is nothing at `path`, or a file of the folder is missing.
        ValueError: it cannot be read, or holds anything but the published set.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"data.load: source {name!r} is given as {str(path)!r}, which is not there; `ratereg data {name}` makes "
            "such a file on a machine that has the set."
        )
    read = read_idx_folder(name, path) if path.is_dir() and _in_files(name) else read_file(path)
    images = Images(name, read.count, read.pixels, read.n_train, labels=read.labels)  # no known set has factors
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
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as stream:
                np.savez_compressed(stream, **_arrays(images))  # type: ignore[arg-type]  # no array is called allow_pickle
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return path


def digests(images: Images) -> dict[str, str]:
    """Return the SHA-256 of a set's arrays as unpacked files, under the names that an .npz file has for the arrays."""
    return {part: hashlib.sha256(as_idx(array)).hexdigest() for part, array in _arrays(images).items()}


def _check(images: Images, where: str) -> None:
    """Refuse anything but the published pixels and labels, in their order and with their split."""
    found = digests(images)
    wrong = [_FILES.get(part, part) for part, known in _DIGESTS[images.name].items() if found.get(part) != known]
    if wrong:
        own = "the set's own four files, or " if _in_files(images.name) else ""
        raise ValueError(
            f"data.load: {where} is not the published {images.name!r}: other content in {', '.join(wrong)}. Give "
            f"{own}what `ratereg data {images.name}` writes; name other images by their path."
        )


def _in_files(name: str) -> bool:
    return _DIGESTS[name].keys() == _FILES.keys()


def _arrays(images: Images) -> dict[str, np.ndarray]:
    """Pixels and labels, of training and of test images where that is known, uint8 as in the set's files."""
    count, n_train = images.count, images.n_train
    pixels = images.pixels(np.arange(count)).numpy().transpose(0, 2, 3, 1)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    labels = np.zeros(count, dtype=np.uint8) if images.labels is None else images.labels.astype(np.uint8)
    if n_train is None:
        return {"images": pixels, "labels": labels}
    return {
        "train": pixels[:n_train],
        "train_labels": labels[:n_train],
        "test": pixels[n_train:],
        "test_labels": labels[n_train:],
    }
