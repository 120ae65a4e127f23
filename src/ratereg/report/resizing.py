"""Images of several sizes and kinds, made alike: a copy of a folder, kept in the cache."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ratereg.storage import cache_directory, written_folder

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["resized"]

_GREY = {"1", "L", "LA", "I;16"}
"""Color modes without a color."""


def resized(folder: str | Path, size: int) -> Path:
    """Return a copy of a folder of images, each cut to its central square and averaged to `size` x `size` pixels.

    Subfolders are kept, so that train/ and test/ or classes are what they were. Images are upright as their camera
    notes, on white where they are transparent, and gray if all of them are, else RGB. The copy lies in the cache under
    a fingerprint of the files' names, sizes and dates, and is made once.

    Raises:
        StorageError: the cache can't be written.
        ValueError: `size` is not from 4 to 512, `folder` is no folder or is empty, or a file is not an image.
    """
    folder = Path(folder).expanduser()
    if not 4 <= size <= 512:
        raise ValueError(f"report: size is {size}; give the pixels of a side, from 4 to 512.")
    if not folder.is_dir():
        raise ValueError(
            f"report: size is for folders of images, and {str(folder)!r} is none; scale an array yourself."
        )
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path.relative_to(folder))]
    if not paths:
        raise ValueError(f"report: folder {str(folder)!r} is empty; give a folder with images in it.")
    target = cache_directory() / "resized" / f"{_fingerprint(folder, paths)}-{size}" / folder.resolve().name
    if target.is_dir():
        return target
    gray = all(_opened(path).mode in _GREY for path in paths)
    with written_folder(target) as aside:
        for path in paths:
            place = aside / path.relative_to(folder)
            # The whole name with another ending, so that a.jpg and a.png stay two.
            place = place.with_name(f"{place.name}.png")
            place.parent.mkdir(parents=True, exist_ok=True)
            _alike(path, size, "L" if gray else "RGB").save(place)
    return target


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _fingerprint(folder: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path in paths:
        facts = path.stat()
        digest.update(f"{path.relative_to(folder)}/{facts.st_size}/{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _opened(path: Path) -> "Image":
    """Return an image that is read whole, or say that it cannot be."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"report: {path} cannot be read as an image ({error}); remove it or replace it by a whole one."
        ) from error


def _alike(path: Path, size: int, mode: str) -> "Image":
    from PIL import Image, ImageOps

    image = _opened(path)
    if image.mode == "I;16":
        # Sixteen bits a pixel: Pillow would cut off what is above 255.
        image = image.point(lambda value: value / 257).convert("L")
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BOX)
