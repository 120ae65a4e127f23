"""Test images above their reconstructions, along beta."""

import base64
import html
import io

import ipywidgets
import numpy as np
import pandas as pd
from PIL import Image

from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, network_label

__all__ = ["reconstruction_slider"]


def reconstruction_slider(results: Results, *, images: int = 8, seed: int | None = None) -> ipywidgets.VBox:
    """Return a slider over beta that shows test images above their reconstructions, with rate and distortion.

    A menu above it chooses the network and the data. Both work by keyboard, and without a kernel.

    Arguments:
        results: with pictures.
        images: how many test images.
        seed: of the members; None for the first.
    """
    rows = results.final
    rows = rows[rows["seed"] == (rows["seed"].min() if seed is None else seed)]
    betas = sorted(rows["beta"].unique(), reverse=True)
    wide = ipywidgets.Layout(width="100%", max_width="40em")
    slider = ipywidgets.SelectionSlider(
        options=[(f"{beta:g}", index) for index, beta in enumerate(betas)], description="β", layout=wide
    )
    curves, links = {}, []
    for data in groups(rows, DATA):
        for curve in groups(data, NETWORK):
            frames = [ipywidgets.HTML(_frame(results, curve[curve["beta"] == beta], images)) for beta in betas]
            stack = ipywidgets.Stack(frames, selected_index=0)
            links.append(ipywidgets.jslink((slider, "index"), (stack, "selected_index")))
            curves[f"{network_label(curve)}; {data_label(data)}"] = stack
    menu = ipywidgets.Dropdown(options=list(curves), index=0, description="model", layout=wide)
    chosen = ipywidgets.Stack(list(curves.values()), selected_index=0)
    links.append(ipywidgets.jslink((menu, "index"), (chosen, "selected_index")))
    box = ipywidgets.VBox([menu, slider, chosen])
    # The links live as long as the box.
    box.links = links
    return box


def _frame(results: Results, rows: pd.DataFrame, images: int) -> str:
    """Return what one beta shows: a picture of two rows, and its numbers in words."""
    test, train = (rows[rows["partition"] == name].iloc[0] for name in ("test", "train"))
    member = int(test["member"])
    originals = results.arrays["test_originals"][results.arrays["member_dataset"][member], :images]
    reconstructions = results.arrays["test_reconstructions"][member, :images]
    numbers = (
        f"β = {test['beta']:g}: rate {test['rate']:.1f}, distortion {test['distortion']:.1f} nats on test images "
        f"({train['rate']:.1f} and {train['distortion']:.1f} on training images)"
    )
    alt = f"Upper row: {len(originals)} test images. Lower row: their reconstructions at beta = {test['beta']:g}."
    style = "width:100%;max-width:40em;image-rendering:pixelated"
    return (
        f'<img alt="{html.escape(alt)}" style="{style}" src="data:image/png;base64,{_png(originals, reconstructions)}">'
        f"<div>{html.escape(numbers)}</div>"
    )


def _png(upper: np.ndarray, lower: np.ndarray) -> str:
    """Return two rows of images (image, channel, height, width), uint8, as one small PNG in base64."""
    cells = np.pad(np.stack([upper, lower]), ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1)), constant_values=255)
    rows, columns, channels, height, width = cells.shape
    canvas = cells.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(canvas.squeeze(2) if channels == 1 else canvas)
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
