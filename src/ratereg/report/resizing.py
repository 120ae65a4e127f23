"""Images of several sizes and kinds, made alike: a copy of a folder in the cache."""

import hashlib
from pathlib import Path

from PIL import Image, ImageOps

from ratereg.storage import cache_directory, written_folder

__all__ = ["resized"]

_GRAY = {"1", "L", "LA", "I;16"}
"""Color modes without a color."""


def resized(folder: str | Path, size: int) -> Path:
    """Return a copy of a folder of images, each cut to its central square and averaged to `size` x `size` pixels.

    Subfolders are kept, so train/ and test/ stay a split. Images are upright as their camera notes, on white where they
    are transparent, and gray if all of them are, else RGB. The copy lies in the cache under a fingerprint of the files'
    names, sizes and dates, and is made once.

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
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not paths:
        raise ValueError(f"report: folder {str(folder)!r} is empty; give a folder with images in it.")
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    fingerprint = hashlib.sha256(repr((facts, size)).encode()).hexdigest()[:12]
    target = cache_directory() / "resized" / fingerprint / folder.resolve().name
    if target.is_dir():
        return target
    mode = "L" if all(_opened(path).mode in _GRAY for path in paths) else "RGB"
    with written_folder(target) as new:
        for path in paths:
            # The whole name with another ending, so that a.jpg and a.png stay two.
            place = new / path.relative_to(folder).with_name(f"{path.name}.png")
            place.parent.mkdir(parents=True, exist_ok=True)
            ImageOps.fit(_flat(_opened(path)).convert(mode), (size, size), Image.Resampling.BOX).save(place)
    return target


def _opened(path: Path) -> Image.Image:
    """Return an image, read completely and upright."""
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"report: {path} can't be read as an image ({error}); remove or replace it.") from error


def _flat(image: Image.Image) -> Image.Image:
    """Return an image of eight bits a channel, on white where it is transparent."""
    if image.mode == "I;16":
        # Pillow would cut off values above 255.
        image = image.point(lambda value: value / 257).convert("L")
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
