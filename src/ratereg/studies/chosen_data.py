"""Which images a study takes, as a frozen value, and the digest of those that are the user's own."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ratereg import data
from ratereg.data.sources import NAMES

__all__ = ["Data"]


@dataclass(frozen=True)
class Data:
    """Which images, split how; the arguments of `ratereg.data.load`.

    Arguments:
        source: "tetrominoes", "fashion-mnist", "mnist", "mnist-10k", or the path of the user's own array file or folder
            of images.
        split: the rule that parts training from test images, for example "default" or "checkerboard".
        share: the share that the splits "cv" (of the images) and "cd" (of the volume) take.
        n_train, n_test: keep that many images of a side, chosen at random.
        seed: of the split and of the binarization, not of the training.
        binarize: None for the images as they are, "static" or "dynamic" for binary draws of them.

    Raises:
        ValueError: `source` is neither a name nor a path.
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

    @property
    def content_digest(self) -> str | None:
        """The digest of the user's own file or folder; None for a known source, or where there is nothing."""
        path = Path(self.source).expanduser()
        return _content_digest(path) if self.source not in NAMES and path.exists() else None

    def load(self) -> data.ImageSet:
        """Load the images; see `ratereg.data.load` for what is refused."""
        return data.load(
            self.source,
            split=self.split,
            share=self.share,
            n_train=self.n_train,
            n_test=self.n_test,
            seed=self.seed,
            binarize=self.binarize,
        )


def _content_digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(path.parent)).encode())
        digest.update(_file_digest(file, file.stat().st_mtime_ns, file.stat().st_size))
    return digest.hexdigest()


@lru_cache(maxsize=100_000)
def _file_digest(path: Path, _changed: int, _size: int) -> bytes:
    """Return the digest of a file's bytes, read anew when the file has changed."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
