"""Training and test images as points in the space of their factors: what a split leaves between them."""

from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np

from ratereg.data import tetrominoes
from ratereg.widgets.drawing import TEST, TRAIN, picture, text
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["factor_space"]

_PAIRS = (("x", "y"), ("angle", "hue"), ("scale", "angle"))
_NAMES = tuple(tetrominoes.RANGES)

_SLICE = (0.36, 0.5)
"""Of the three factors that a picture does not show: within the lower half of each, and within the central block."""

_TESTS = 80
"""Test images that are shown; all training images of the slice are."""

_HEIGHT = 492
_LEFT, _TOP, _SIDE = 86.0, 66.0, 370.0


def factor_space(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    distances: Mapping[str, float],
    *,
    pairs: Sequence[tuple[str, str]] = _PAIRS,
) -> ipywidgets.VBox:
    """Return a slider over splits of Tetrominoes that shows their images as points in two of the five factors.

    A menu chooses the two. Shown is a slice, within 14% of the range of each of the other three: all its training
    images, and some of its test images. Both work by keyboard, and without a kernel.

    Arguments:
        splits: by name, the factors of training and of test images, (image, factor) in the order of `FACTOR_NAMES`.
        distances: by the same names, the mean distance of test images to the nearest training image, in all five
            factors, from `ratereg.studies.distances.distances_to_training`; it is written above the picture.
        pairs: of factors.

    Raises:
        ValueError: there is no split, one has no distance, or a pair is not of two factors that vary.
    """
    if not splits:
        raise ValueError("factor_space: splits is empty; give factors of training and test images by name.")
    if missing := [name for name in splits if name not in distances]:
        raise ValueError(f"factor_space: distances lacks {', '.join(missing)}; give a mean distance for each split.")
    for pair in pairs:
        if len(set(pair)) != 2 or not set(pair) <= set(_NAMES):
            raise ValueError(f"factor_space: pairs holds {pair!r}; give two of {', '.join(_NAMES)}.")
    frames = [[_frame(name, pair, *splits[name], distances[name]) for name in splits] for pair in pairs]
    factors = menu("factors", [f"{across} and {along}" for across, along in pairs])
    # The first is what the others are compared with.
    split = slider("split", list(splits), min(1, len(splits) - 1))
    return Framed([factors, split], frames)


def _frame(name: str, pair: tuple[str, str], train: np.ndarray, test: np.ndarray, distance: float) -> str:
    """Return one picture as SVG on a white card, which reads on light and dark pages alike."""
    here, there = _in_slice(train, pair), _in_slice(test, pair)
    shown = there[np.sort(np.random.default_rng(1).permutation(len(there))[:_TESTS])]
    words = (
        f"{name}: {len(here)} training images and {len(shown)} of {len(there)} test images as points, {pair[0]} across "
        f"and {pair[1]} upwards. Mean distance of test images to the nearest training image: {distance:.2f}."
    )
    parts = _axes(pair)
    parts.append(_points(here, f"stroke='{TRAIN}' stroke-width='70'"))
    parts.append(_points(shown, f"stroke='{TEST}' stroke-width='70'"))
    legend = ((TRAIN, f"training ({len(here)})"), (TEST, f"test ({len(shown)} of {len(there):,})"))
    for place, (color, label) in zip((12, 196), legend, strict=True):
        parts.append(f"<circle cx='{place}' cy='43' r='5' fill='{color}'/>")
        parts.append(text(place + 10, 48, label))
    parts.append(text(12, 22, f"{name}: mean distance to training {distance:.2f}"))
    return picture(words, _HEIGHT, parts)


def _in_slice(factors: np.ndarray, pair: tuple[str, str]) -> np.ndarray:
    """Return where images of the slice lie in the two factors: (image, 2), from 0 to 1."""
    cube = tetrominoes.unit_cube(factors)
    hidden = [index for index, name in enumerate(_NAMES) if name not in pair]
    low, high = _SLICE
    inside = ((cube[:, hidden] >= low) & (cube[:, hidden] < high)).all(axis=1)
    return np.asarray(cube[inside][:, [_NAMES.index(name) for name in pair]])


def _axes(pair: tuple[str, str]) -> list[str]:
    """Draw the square, cut in its middle as the checkerboard cuts it, with the factors' ranges."""
    bottom, right, middle = _TOP + _SIDE, _LEFT + _SIDE, _SIDE / 2
    parts = [
        f"<path d='M{_LEFT:g} {_TOP:g}h{_SIDE:g}v{_SIDE:g}h-{_SIDE:g}z' fill='none' stroke='#777'/>",
        f"<path d='M{_LEFT + middle:g} {_TOP:g}v{_SIDE:g}M{_LEFT:g} {_TOP + middle:g}h{_SIDE:g}' stroke='#aaa' "
        "stroke-dasharray='4 4'/>",
    ]
    ends = [[f"{end:g}" for end in tetrominoes.RANGES[name]] for name in pair]
    parts += [text(_LEFT, bottom + 20, ends[0][0]), text(right, bottom + 20, ends[0][1], "end")]
    parts += [text(_LEFT - 6, bottom, ends[1][0], "end"), text(_LEFT - 6, _TOP + 14, ends[1][1], "end")]
    parts.append(text(_LEFT + middle, bottom + 44, _with_unit(pair[0]), "middle"))
    turned = f" transform='translate(20 {_TOP + middle:g}) rotate(-90)'"
    parts.append(text(0, 0, _with_unit(pair[1]), "middle", turned))
    return parts


def _with_unit(name: str) -> str:
    return {"angle": "angle (degrees)", "hue": "hue (turns of the color wheel)"}.get(name, f"{name} (pixels)")


def _points(places: np.ndarray, style: str) -> str:
    """Draw points as the round ends of lines without length, in tenths of a unit: so the numbers are short."""
    x = np.rint(10 * (_LEFT + _SIDE * places[:, 0])).astype(int)
    y = np.rint(10 * (_TOP + _SIDE * (1 - places[:, 1]))).astype(int)
    dots = "".join(f"M{across} {along}h0" for across, along in zip(x, y, strict=True))
    return f"<path transform='scale(.1)' d='{dots}' {style} stroke-linecap='round'/>"
