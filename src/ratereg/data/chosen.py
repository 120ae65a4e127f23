"""Which images a training learns from and is measured on, as a frozen value, identified by their content."""

import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ratereg.data import splits
from ratereg.data.binarization import BINARIZATIONS
from ratereg.data.imageset import ImageSet
from ratereg.data.sources import NAMES, SPLITS, load, read_source

__all__ = ["Data"]


@dataclass(frozen=True)
class Data:
    """Which images, split how; the arguments of `ratereg.data.load`.

    Arguments:
        source: "tetrominoes", "fashion-mnist", "mnist", "mnist-10k", or the path of the user's own array file or folder
            of images.
        split: the rule that separates training from test images, for example "default" or "checkerboard".
        share: the share that the splits "cv" (of the images) and "cd" (of the volume) take.
        n_train, n_test: keep that many images of a side, chosen at random.
        seed: of the split and of the binarization, not of the training.
        binarize: None for the images as they are, "static" or "dynamic" for binary draws of them.

    Raises:
        ValueError: `source` is neither a name nor a path, or another argument is of the wrong kind or out of range.
    """

    source: str
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
        if self.split not in SPLITS:
            raise ValueError(f"Data: split is {self.split!r}; give one of {', '.join(map(repr, SPLITS))}.")
        if self.binarize is not None and self.binarize not in BINARIZATIONS:
            names = " or ".join(map(repr, BINARIZATIONS))
            raise ValueError(f"Data: binarize is {self.binarize!r}; give None, {names}.")
        if self.split not in ("cv", "cd") and self.share is not None:
            raise ValueError(f"Data: share is {self.share!r}, which the split {self.split!r} does not take; omit it.")
        splits.checked_seed(self.seed)
        for name in ("n_train", "n_test"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"Data: {name} is {value!r}; give a positive integer, or None for all.")

    @property
    def content(self) -> str | None:
        """The digest of the user's own images, and of their split and factors; None for a known source.

        Raises:
            FileNotFoundError: there is nothing at the path.
            ValueError: the images can't be read.
        """
        if self.source in NAMES:
            return None
        path = Path(self.source).expanduser()
        return _content(path, _state(path))

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the images that are measured on, ready for JSON: all but the path, whose content counts."""
        content = self.content
        settings: dict[str, Any] = {"source": self.source} if content is None else {"content": content}
        return settings | {
            one.name: getattr(self, one.name) for one in fields(self)[1:] if getattr(self, one.name) != one.default
        }

    @property
    def training_settings(self) -> dict[str, Any]:
        """What decides the training images, ready for JSON: the settings without the number of test images."""
        return {name: value for name, value in self.settings.items() if name != "n_test"}

    def load(self) -> ImageSet:
        """Load the images, or return those loaded last; see `ratereg.data.load` for what is refused."""
        return _loaded(self, self.content)


@lru_cache(maxsize=1)
def _loaded(one: Data, _content: str | None) -> ImageSet:
    return load(**{name.name: getattr(one, name.name) for name in fields(one)})


def _state(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file does, so that files are read again only then."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    visible = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in visible if file.is_file())


@lru_cache(maxsize=64)
def _content(path: Path, _state: tuple[tuple[str, int, int], ...]) -> str:
    images = read_source(str(path) if len(path.parts) > 1 else path)
    digest = hashlib.sha256(repr((images.count, images.n_train)).encode())
    for start in range(0, images.count, 4096):
        pixels = images.pixels(np.arange(start, min(start + 4096, images.count)))
        digest.update(repr(tuple(pixels.shape[1:])).encode() + pixels.numpy().tobytes())
    if images.factors is not None:
        digest.update(repr(images.factor_names).encode() + images.factors.tobytes())
    return digest.hexdigest()[:16]
