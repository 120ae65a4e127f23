"""Training and test images as points in the space of their factors: what a split leaves between them."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets
import matplotlib
import numpy as np

from ratereg.data import tetrominoes
from ratereg.plots import STYLE

__all__ = ["factor_space"]

_COLOURS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
_TRAIN, _TEST = _COLOURS[:2]

_PAIRS = (("x", "y"), ("angle", "hue"), ("scale", "angle"))
_NAMES = tuple(tetrominoes.RANGES)

_SLICE = (0.36, 0.5)
"""Of the three factors that a picture does not show: within the lower half of each, and within the central block."""

_TESTS = 80
"""Test images that are shown; all training images of the slice are."""

# The picture, in units of its view box: on a phone it is shown at about 0.7 of them, and letters of 16 stay legible.
_WIDTH, _HEIGHT = 480, 492
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
    wide = ipywidgets.Layout(width="100%", max_width="34em")
    slider = ipywidgets.SelectionSlider(
        options=[(name, index) for index, name in enumerate(splits)],
        index=0,
        description="split",
        layout=wide,
    )
    menu = ipywidgets.Dropdown(
        options=[f"{across} and {along}" for across, along in pairs], index=0, description="factors", layout=wide
    )
    stacks, links = [], []
    for pair in pairs:
        frames = [ipywidgets.HTML(_frame(name, pair, *splits[name], distances[name]), layout=wide) for name in splits]
        stack = ipywidgets.Stack(frames, selected_index=0, layout=wide)
        links.append(ipywidgets.jslink((slider, "index"), (stack, "selected_index")))
        stacks.append(stack)
    chosen = ipywidgets.Stack(stacks, selected_index=0, layout=wide)
    links.append(ipywidgets.jslink((menu, "index"), (chosen, "selected_index")))
    box = ipywidgets.VBox([menu, slider, chosen])
    # The links live as long as the box.
    box.links = links
    return box


def _frame(name: str, pair: tuple[str, str], train: np.ndarray, test: np.ndarray, distance: float) -> str:
    """Return one picture as SVG on a white card, which reads on light and dark pages alike."""
    here, there = _in_slice(train, pair), _in_slice(test, pair)
    shown = there[np.sort(np.random.default_rng(1).permutation(len(there))[:_TESTS])]
    words = (
        f"{name}: {len(here)} training images and {len(shown)} of {len(there)} test images as points, {pair[0]} across "
        f"and {pair[1]} upwards. Mean distance of test images to the nearest training image: {distance:.2f}."
    )
    parts = _axes(pair)
    parts.append(_points(here, f"stroke='{_TRAIN}' stroke-width='70'"))
    parts.append(_points(shown, f"stroke='{_TEST}' stroke-width='70'"))
    legend = ((_TRAIN, f"training ({len(here)})"), (_TEST, f"test ({len(shown)} of {len(there):,})"))
    for place, (colour, label) in zip((12, 196), legend, strict=True):
        parts.append(f"<circle cx='{place}' cy='43' r='5' fill='{colour}'/>")
        parts.append(_text(place + 10, 48, label))
    parts.append(_text(12, 22, f"{name}: mean distance to training {distance:.2f}"))
    # Single quotes, which JSON does not escape.
    return (
        f"<svg role='img' aria-label='{html.escape(words)}' viewBox='0 0 {_WIDTH} {_HEIGHT}' font-size='16' "
        f"style='width:100%' xmlns='http://www.w3.org/2000/svg'>"
        f"<rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )


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
    parts += [_text(_LEFT, bottom + 20, ends[0][0]), _text(right, bottom + 20, ends[0][1], "end")]
    parts += [_text(_LEFT - 6, bottom, ends[1][0], "end"), _text(_LEFT - 6, _TOP + 14, ends[1][1], "end")]
    parts.append(_text(_LEFT + middle, bottom + 44, _with_unit(pair[0]), "middle"))
    parts.append(
        f"<text transform='translate(20 {_TOP + middle:g}) rotate(-90)' text-anchor='middle' fill='#000'>"
        f"{_with_unit(pair[1])}</text>"
    )
    return parts


def _with_unit(name: str) -> str:
    return {"angle": "angle (degrees)", "hue": "hue (turns of the colour wheel)"}.get(name, f"{name} (pixels)")


def _points(places: np.ndarray, style: str) -> str:
    """Draw points as the round ends of lines without length, in tenths of a unit: so the numbers are short."""
    x = np.rint(10 * (_LEFT + _SIDE * places[:, 0])).astype(int)
    y = np.rint(10 * (_TOP + _SIDE * (1 - places[:, 1]))).astype(int)
    dots = "".join(f"M{across} {along}h0" for across, along in zip(x, y, strict=True))
    return f"<path transform='scale(.1)' d='{dots}' {style} stroke-linecap='round'/>"


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f"<text x='{x:g}' y='{y:g}' text-anchor='{anchor}' fill='#000'>{html.escape(words)}</text>"
