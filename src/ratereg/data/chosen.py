"""The images that a study takes, as a frozen value that is identified by the images' content."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ratereg.data.imageset import ImageSet
from ratereg.data.sources import NAMES, check_choices, load, read_source

__all__ = ["Data"]


@dataclass(frozen=True)
class Data:
    """Images and their split: the arguments of `ratereg.data.load`, as a value.

    Arguments:
        source: "tetrominoes", "fashion-mnist", "mnist", "mnist-10k", or the path of the user's own array file or folder
            of images; kept as text.
        split, share: the rule that separates training from test images, and the share that "cv" and "cd" take.
        n_train, n_test: number of images of a side to keep, chosen at random.
        seed: seed of the split and of the binarization, not of the training.
        binarize: None for the images as they are, "static" or "dynamic" for binary draws of them.

    Raises:
        ValueError: `source` is neither a name nor a path, or another argument is of the wrong type or out of range.
    """

    source: str | Path
    split: str = "default"
    share: float | None = None
    n_train: int | None = None
    n_test: int | None = None
    seed: int = 0
    binarize: str | None = None

    def __post_init__(self) -> None:
        given: object = self.source
        if not isinstance(given, str | Path):
            kind = type(given).__name__
            raise ValueError(f"Data: source is of type {kind}; give a name or a path. Save an array with numpy.save.")
        # A path is a path, also where a known set has its name.
        known = isinstance(given, Path) and str(given) in NAMES
        object.__setattr__(self, "source", f"./{given}" if known else str(given))
        for name in ("share", "n_train", "n_test", "seed"):
            if isinstance(getattr(self, name), np.generic):
                object.__setattr__(self, name, getattr(self, name).item())
        check_choices(**{name: value for name, value in self._arguments.items() if name != "source"})

    @property
    def content(self) -> str | None:
        """The digest of the user's own pixels, their order, own split and factors; None for a known source.

        Where the images lie, their format and hidden files do not count.

        Raises:
            FileNotFoundError: there is nothing at the path.
            ValueError: the images can't be read.
        """
        source = str(self.source)
        if source in NAMES:
            return None
        path = Path(source).expanduser()
        if not source or not path.exists():
            read_source(source)  # names what is wrong
        return _content(path.absolute(), frozenset(_state(str(path))))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide all images in use, ready for JSON; defaults are omitted, and errors as `content`."""
        content = self.content
        identity = {"source": self.source} if content is None else {"content": content}
        chosen = {one.name: getattr(self, one.name) for one in fields(self)[1:]}
        return identity | {name: value for name, value in chosen.items() if value != getattr(type(self), name)}

    @property
    def training_settings(self) -> dict[str, Any]:
        """The settings without the number of test images, which decide the training images, ready for JSON."""
        return {name: value for name, value in self.settings.items() if name != "n_test"}

    def load(self) -> ImageSet:
        """Load the images; those loaded last are kept in memory. Errors as in `ratereg.data.load`."""
        key = (self, self.content)
        images = _LOADED.get(key)
        if images is None:
            _LOADED.clear()  # before others are made, as two large sets may not fit
            images = _LOADED[key] = load(**self._arguments)
        return images

    @property
    def _arguments(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


_LOADED: dict[tuple[Data, str | None], ImageSet] = {}
"""The images loaded last."""


@lru_cache(maxsize=64)
def _content(path: Path, _state: frozenset[tuple[str, int, int]]) -> str:
    images = read_source(path)
    digest = hashlib.sha256()
    for start in range(0, images.count, 4096):
        pixels = images.pixels(np.arange(start, min(start + 4096, images.count)))
        digest.update(pixels.numpy().tobytes())
    digest.update(repr((images.count, tuple(pixels.shape[1:]), images.n_train)).encode())
    if images.factors is not None:
        periods = [images.periods.get(name) for name in images.factor_names]
        digest.update(images.factors.tobytes() + repr((images.factors.shape, periods)).encode())
    return digest.hexdigest()[:16]


def _state(path: str, depth: int = 3) -> Iterator[tuple[str, int, int]]:
    """Yield the path, time of change and size of each file below, so that images are read again when one differs."""
    with suppress(OSError):  # reading the images says it better
        if os.path.isdir(path) and depth:
            for name in os.listdir(path):
                if not name.startswith("."):
                    yield from _state(os.path.join(path, name), depth - 1)
        else:
            found = os.stat(path)
            yield os.path.abspath(path), found.st_mtime_ns, found.st_size
