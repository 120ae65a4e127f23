"""What all figures share: the style file, what each color means, and how a figure ends.

Color has one meaning at a time, the same in the whole book. It says which network (`NETWORKS`: blue is shallow,
vermilion deep), or which part of the rate (`MEASURES`), or how large beta is (`beta_colors`, dark for large), or,
where none of these is told apart, which images (`PARTITIONS`: ocher for training, black for test). Line and marker say
which images too, everywhere: solid with circles is test, dashed with triangles training (`LINES`, `MARKERS`). What else
is compared takes the style file's cycle, which has none of these colors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ratereg.plots.data import figure_data, leave_out
from ratereg.plots.words import describe, smallest_letters
from ratereg.summary import NETWORK, groups, network_label

__all__ = [
    "COLORS",
    "FIGURE",
    "LINES",
    "MARKERS",
    "MEASURES",
    "NETWORKS",
    "PARTITIONS",
    "STYLE",
    "WORDS",
    "beta_colors",
    "finished",
    "interval",
    "key",
    "network_color",
    "network_colors",
    "use_style",
]

STYLE = str(Path(__file__).with_name("ratereg.mplstyle"))
"""The one style file of all figures."""

COLORS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
"""Of the style file, in their order: for what has no color of its own."""

NETWORKS: dict[int | str, str] = {1: "#0072B2", 2: "#CC79A7", 3: "#D55E00", "convolutional": "#6B6B6B"}
"""By the number of hidden layers, from blue to vermilion."""

MEASURES = {"rate": "#332288", "mutual_information": "#009E73", "marginal_kl": "#AA3377"}
"""The rate and its two parts."""

PARTITIONS = {"train": "#B87A00", "test": "#000000"}
"""Training and test images, where color tells them apart."""

WORDS = {"train": "training images", "test": "test images"}

MARKERS = {"train": "^", "test": "o"}
"""Of training and test images, in every figure that shows both."""

LINES: dict[str, Any] = {"train": (0, (4, 1.5)), "test": "-"}
"""Of training and test images: dashed and solid."""

FIGURE = "application/vnd.ratereg.figure+json"
"""The type of what a notebook keeps beside a figure's picture: {"description": ..., "letters": ...}."""


def network_color(row: pd.Series) -> str:
    """Return the color of a row's network, by its kind and depth; black for one that has none."""
    return NETWORKS.get("convolutional" if row["network"] == "convolutional" else int(row["layers"]), "#000000")


def network_colors(rows: pd.DataFrame) -> dict[str, str]:
    """Return a color for each network of the rows, by its label: that of its depth, and for a second one another."""
    found: dict[str, str] = {}
    for network in groups(rows, NETWORK):
        own = network_color(network.iloc[0])
        free = [color for color in (own, *COLORS) if color not in found.values()]
        found.setdefault(network_label(network), free[0] if free else COLORS[-1])
    return found


def beta_colors(betas: Sequence[float] | np.ndarray) -> dict[float, str]:
    """Return a color for each beta, from dark for the largest to light for the smallest."""
    ordered = sorted(set(betas), reverse=True)
    # As dark as lines on white must be.
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.75, len(ordered)))
    return {beta: to_hex(shade) for beta, shade in zip(ordered, shades, strict=True)}


def use_style() -> None:
    """Draw every figure of this process in the book's style; in a notebook as SVG, with its data and a description."""
    plt.style.use(STYLE)
    try:
        from IPython.core.getipython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # no notebook
        return
    # Without a date the same figure is the same file.
    set_matplotlib_formats("svg", metadata={"Date": None})  # type: ignore[no-untyped-call]
    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        shell.display_formatter.mimebundle_formatter.for_type(Figure, _bundle)


def _bundle(fig: Figure) -> dict[str, Any]:
    """Return what a notebook keeps of a figure besides its picture."""
    bundle: dict[str, Any] = {FIGURE: {"description": describe(fig), "letters": round(smallest_letters(fig), 2)}}
    data = figure_data(fig)
    if len(data):
        bundle["text/csv"] = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return bundle


def key(**style: Any) -> Line2D:
    """Return an entry for a legend, gray unless it says otherwise."""
    return Line2D([], [], **({"color": "0.3"} | style))


def interval(panel: Axes, x: Sequence[float], y: Sequence[float], **style: Any) -> Line2D:
    """Draw an interval from (x[0], y[0]) to (x[1], y[1]) without stretching the axes, and return it.

    One over two seeds can be longer than all else in the panel.
    """
    # As an artist: the limits follow lines that are plotted.
    line = Line2D(x, y, **({"lw": 1} | style))
    panel.add_artist(line)
    leave_out(line)
    return line


def finished(fig: Figure) -> Figure:
    """Return the figure, closed."""
    # Left open, a notebook would show the figure twice and a long program would keep all of them.
    plt.close(fig)
    return fig
