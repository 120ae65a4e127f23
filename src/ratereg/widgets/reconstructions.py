"""Test images above their reconstructions, along beta, and the place of beta on the rate-distortion curve."""

from collections.abc import Mapping

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ratereg.plots.curves import draw_rate_distortion
from ratereg.plots.grid import evenly, labeled, model_colors
from ratereg.plots.reconstructions import tiled
from ratereg.plots.style import MARKERS, key, partition_keys
from ratereg.studies import Results
from ratereg.summary import groups
from ratereg.widgets.drawing import card, in_style, over, png, svg
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["reconstruction_slider"]

_MOST_BYTES, _FRAME_BYTES = 800_000, 2_200
"""Size of all frames, so that with the curves they stay below a megabyte in a page; and of one without its images."""

_MOST_IMAGES, _FEWEST_IMAGES, _FEWEST_BETAS = 8, 4, 5


@in_style
def reconstruction_slider(results: Results) -> ipywidgets.VBox:
    """Return a slider over beta that moves a mark along the rate-distortion curve, above images and reconstructions.

    Menus choose the data and the model, of the first seed. All work by keyboard, and without a kernel. Of a large study
    fewer images, and then fewer betas, are shown, so that the widget stays below a megabyte.
    """
    final = results.final[results.final["partition"].isin(MARKERS)]
    rows = labeled(final[final["seed"] == final["seed"].min()], short=False)
    pictures, betas = _affordable(results.arrays["test_reconstructions"][:, :_MOST_IMAGES], rows)
    colors = model_colors(rows)
    frames, backdrops = [], []
    for data in groups(rows, ["panel"]):
        originals = results.arrays["test_originals"][results.arrays["member_dataset"][int(data["member"].iloc[0])]]
        originals = tiled(originals[: pictures.shape[1], None])
        lower = _backdrop(data, originals, colors)
        backdrops.append(svg(lower, f"{data['panel'].iloc[0]}. Distortion against rate, in nats, above test images."))
        frames.append(
            [
                [_frame(lower, model[model["beta"] == beta], pictures, colors) for beta in betas]
                for model in groups(data, ["series"])
            ]
        )
    controls = [menu("data", list(rows["panel"].unique())), menu("network", list(colors))]
    return Framed([*controls, slider("weight β", [f"{beta:g}" for beta in betas])], frames, backdrops)


def _affordable(pictures: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray, list[float]]:
    """Return the pictures and betas that stay within the budget, with fewer images first and then fewer betas."""
    betas = evenly(rows["beta"], rows["beta"].nunique())
    while True:
        members = rows.loc[rows["beta"].isin(betas), "member"].unique().astype(int)
        size = sum(_FRAME_BYTES + len(png(tiled(one[:, None]))) for one in pictures[members])
        count, fewest = pictures.shape[1], len(betas) <= _FEWEST_BETAS
        if size <= _MOST_BYTES or (count == 1 and fewest):
            return pictures, betas
        if count > _FEWEST_IMAGES or fewest:
            pictures = pictures[:, :-1]
        else:
            betas = evenly(rows["beta"], len(betas) - 1)


def _backdrop(data: pd.DataFrame, originals: np.ndarray, colors: Mapping[str, str]) -> Figure:
    """Return a card with the curves of one data set, its test images, and room for their reconstructions."""
    row = 4.6 * originals.shape[0] / originals.shape[1]
    legend = 0.2 * (1 + (len(colors) + 3) // 2)
    low = 0.55
    middle = low + row + 0.3
    places = [(0.65, middle + row + 0.75, 4.0, 2.3), (0.1, middle, 4.6, row), (0.1, low, 4.6, row)]
    fig = card(places[0][1] + 2.3 + legend, *places)
    curves, images, empty = fig.axes
    draw_rate_distortion(curves, data, colors=colors, numbers=False)
    curves.set(xlabel="rate (nats)", ylabel="distortion (nats)")
    keys = [key(color=color, label=label) for label, color in colors.items()]
    keys += partition_keys(("test", "train"))
    fig.legend(handles=keys, loc="upper left", ncols=2, borderaxespad=0.2)
    images.imshow(originals, interpolation="none", extent=(0, 1, 0, 1), aspect="auto")
    images.set_title("test images", loc="left", fontsize=11, pad=3)
    for panel in (images, empty):
        panel.axis("off")
    return fig


def _frame(lower: Figure, rows: pd.DataFrame, pictures: np.ndarray, colors: Mapping[str, str]) -> str:
    """Return what one beta lays over the backdrop: its marks, its reconstructions, and its numbers in words."""
    fig = over(lower)
    curves, _, images = fig.axes
    train, test = (rows[rows["partition"] == name].iloc[0] for name in ("train", "test"))
    (left, _), (bottom, _) = curves.get_xlim(), curves.get_ylim()
    place = test["rate"], test["distortion"]
    curves.plot([left, place[0], place[0]], [place[1], place[1], bottom], color="0.5", lw=0.8)
    for row in (train, test):
        color = colors[row["series"]]
        curves.plot(row["rate"], row["distortion"], MARKERS[row["partition"]], ms=9, color=color, mec="white")
    reconstructed = tiled(pictures[int(test["member"]), :, None])
    images.imshow(reconstructed, interpolation="none", extent=(0, 1, 0, 1), aspect="auto")
    beta = f"{test['beta']:g}"
    images.set_title(f"their reconstructions at β = {beta}", loc="left", fontsize=11, pad=3)
    numbers = [
        f"{words}: rate {row['rate']:.1f}, distortion {row['distortion']:.1f} nats"
        for words, row in (("test", test), ("training", train))
    ]
    for line, words in enumerate(numbers):
        images.annotate(words, (0, 0), (0, -13 - 14 * line), textcoords="offset points")
    words = f"{test['series']} at β = {beta}: {'; '.join(numbers)}."
    return svg(fig, f"{words} Below, {pictures.shape[1]} reconstructions of the test images.")
