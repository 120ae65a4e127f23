"""Test images above their reconstructions, along beta, and where beta is on the rate-distortion curve."""

from typing import NamedTuple

import ipywidgets
import numpy as np
import pandas as pd

from ratereg.plots.style import network_colors
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, network_label
from ratereg.widgets.drawing import WIDTH, boxed_picture, picture, png, text
from ratereg.widgets.frames import Framed, menu, slider
from ratereg.widgets.tradeoff import Axes, curves, marks

__all__ = ["reconstruction_slider"]

_MOST_BYTES = 600_000
"""Of all reconstructions together, so that with their frames and curves they stay below a megabyte in a page."""

_FEWEST_IMAGES, _FEWEST_BETAS = 4, 5


class _Rows(NamedTuple):
    """Where the rows of images lie in the picture."""

    originals: float
    reconstructions: float
    height: float


def reconstruction_slider(results: Results, *, images: int = 8, seed: int | None = None) -> ipywidgets.VBox:
    """Return a slider over beta that moves a mark along the rate-distortion curve, above images and reconstructions.

    Menus choose the data and the network. All work by keyboard, and without a kernel.

    Arguments:
        results: with pictures.
        images: how many test images at most. Fewer, and then fewer betas, are shown of a study that is so large that
            the widget would weigh more than a megabyte.
        seed: of the members; None for the first.

    Raises:
        ValueError: `images` is below 1, or the results have no such seed.
    """
    if images < 1:
        raise ValueError(f"reconstruction_slider: images is {images!r}; give 1 or more.")
    seeds = sorted(results.final["seed"].unique())
    if seed not in (None, *seeds):
        raise ValueError(f"reconstruction_slider: seed is {seed!r}, and results has {', '.join(map(str, seeds))}.")
    rows = results.final[results.final["seed"] == (seeds[0] if seed is None else seed)]
    pictures, betas = _affordable(results, rows, images)
    labels = [network_label(network) for network in groups(rows, NETWORK)]
    colors = network_colors(rows)
    backdrops, frames = [], []
    for data in groups(rows, DATA):
        drawn, axes = curves(data, colors, 24)
        originals = results.arrays["test_originals"][results.arrays["member_dataset"][int(data["member"].iloc[0])]]
        place = _places(axes, _aspect(originals[: pictures.images]))
        drawn.append(text(12, place.originals - 8, "test images"))
        drawn.append(_placed(png(_in_a_row(originals[: pictures.images])), place.originals, place))
        words = f"Distortion against rate, in nats, for {', '.join(labels)}. Below, {pictures.images} test images."
        backdrops.append(picture(f"{data_label(data)}. {words}", place.height, drawn))
        frames.append(
            [
                [_frame(curve[curve["beta"] == beta], pictures, axes, place, colors) for beta in betas]
                for curve in groups(data, NETWORK)
            ]
        )
    names = [data_label(data) for data in groups(rows, DATA)]
    controls = [menu("data", names), menu("network", labels), slider("weight β", [f"{beta:g}" for beta in betas])]
    return Framed(controls, frames, backdrops)


class _Pictures(NamedTuple):
    """How many reconstructions each frame shows, and the picture of them by member."""

    images: int
    by_member: dict[int, str]


def _affordable(results: Results, rows: pd.DataFrame, images: int) -> tuple[_Pictures, np.ndarray]:
    """Return the pictures and betas that stay within the budget, with fewer images first and then fewer betas."""
    every = betas = np.sort(rows["beta"].unique())[::-1]
    count = min(images, results.arrays["test_reconstructions"].shape[1])
    while True:
        members = rows[rows["beta"].isin(betas)]["member"].unique()
        found = {one: png(_in_a_row(results.arrays["test_reconstructions"][one, :count])) for one in map(int, members)}
        if sum(map(len, found.values())) <= _MOST_BYTES or (count == 1 and len(betas) <= _FEWEST_BETAS):
            return _Pictures(count, found), betas
        if count > _FEWEST_IMAGES or len(betas) <= _FEWEST_BETAS:
            count -= 1
        else:
            betas = every[np.unique(np.linspace(0, len(every) - 1, len(betas) - 1).round().astype(int))]


def _frame(rows: pd.DataFrame, pictures: _Pictures, axes: Axes, place: _Rows, colors: dict[str, str]) -> str:
    """Return what one beta lays over the curves: its marks, its reconstructions, and its numbers in words."""
    test, train = (rows[rows["partition"] == name].iloc[0] for name in ("test", "train"))
    points = [(name, float(row["rate"]), float(row["distortion"])) for name, row in (("train", train), ("test", test))]
    numbers = [
        f"{words}: rate {row['rate']:.1f}, distortion {row['distortion']:.1f} nats"
        for words, row in (("test", test), ("training", train))
    ]
    beta, label = f"{test['beta']:g}", network_label(rows)
    parts = marks(axes, points, colors[label])
    parts.append(text(12, place.reconstructions - 8, f"their reconstructions at β = {beta}"))
    parts.append(_placed(pictures.by_member[int(test["member"])], place.reconstructions, place))
    parts += [text(12, place.height - 34 + 22 * index, words) for index, words in enumerate(numbers)]
    words = f"{label} at β = {beta}: {'; '.join(numbers)}. Below, {pictures.images} reconstructions of the test images."
    return picture(words, place.height, parts, card=False)


def _places(axes: Axes, aspect: float) -> _Rows:
    """Return where the rows of images are, `aspect` being their height by their width."""
    high = (WIDTH - 24) * aspect
    originals = axes.floor + 78
    reconstructions = originals + high + 30
    return _Rows(originals, reconstructions, reconstructions + high + 58)


def _placed(data: str, y: float, place: _Rows) -> str:
    return boxed_picture(data, 12, y, WIDTH - 24, place.reconstructions - 30 - place.originals, sharp=True)


def _aspect(images: np.ndarray) -> float:
    height, width = _in_a_row(images).shape[:2]
    return float(height / width)


def _in_a_row(images: np.ndarray) -> np.ndarray:
    """Return images (image, channel, height, width), uint8, side by side on white, as (height, width[, 3])."""
    cells = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=255)
    count, channels, height, width = cells.shape
    canvas = cells.transpose(2, 0, 3, 1).reshape(height, count * width, channels)
    return canvas.squeeze(2) if channels == 1 else canvas
