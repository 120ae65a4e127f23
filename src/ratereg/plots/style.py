"""The style file, the meaning of each color, and the parts that all figures share.

A color has one meaning at a time, the same in the whole book: the model (`NETWORKS` by depth, blue is shallow and
vermilion deep), or the part of the rate (`MEASURES`), or the size of beta (`beta_colors`, dark for large), or, where
none of these differs, the images (`PARTITIONS`: ocher for training, black for test). Line and marker show the images in
every figure: solid with circles for test, dashed with triangles for training (`LINES`, `MARKERS`). The style file's
cycle has none of these colors, and serves everything else.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ratereg.plots.data import bundle, carry

__all__ = [
    "COLORS",
    "LINES",
    "MARKERS",
    "MEASURES",
    "NETWORKS",
    "PARTITIONS",
    "STYLE",
    "WORDS",
    "beta_axis",
    "beta_colors",
    "beta_keys",
    "draw_means",
    "finished",
    "interval",
    "key",
    "log_axis",
    "partition_keys",
    "use_style",
]

STYLE = str(Path(__file__).with_name("ratereg.mplstyle"))
"""The one style file of all figures."""

COLORS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
"""The style file's cycle, for what has no color of its own."""

NETWORKS: dict[int | str, str] = {1: "#0072B2", 2: "#CC79A7", 3: "#D55E00", "convolutional": "#6B6B6B"}
"""Colors of networks by the number of hidden layers, or by family."""

MEASURES = {"rate": "#332288", "mutual_information": "#009E73", "marginal_kl": "#AA3377"}
"""Colors of the rate and its two parts."""

PARTITIONS = {"train": "#B87A00", "test": "#000000"}
"""Colors of training and test images, where color tells them apart."""

WORDS = {"train": "training images", "test": "test images"}

MARKERS = {"train": "^", "test": "o"}
LINES: dict[str, Any] = {"train": (0, (4, 1.5)), "test": "-"}
"""Markers and line styles of training and test images, in every figure that shows both."""


def beta_colors(betas: Iterable[float]) -> dict[float, str]:
    """Return a color for each beta, from dark for the largest to light for the smallest."""
    ordered = sorted(set(betas), reverse=True)
    # Lines on white must be dark, so that the light end of the map is left out.
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.75, len(ordered)))
    return {beta: to_hex(shade) for beta, shade in zip(ordered, shades, strict=True)}


def beta_keys(colors: Mapping[float, str], **style: Any) -> list[Line2D]:
    """Return an entry for a legend for each beta."""
    return [key(color=color, label=rf"$\beta$ = {beta:g}", **style) for beta, color in colors.items()]


def partition_keys(partitions: Iterable[str] = WORDS, **style: Any) -> list[Line2D]:
    """Return an entry for a legend for training images, for test images, or for both."""
    return [key(ls=LINES[one], marker=MARKERS[one], label=WORDS[one], **style) for one in partitions]


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
        shell.display_formatter.mimebundle_formatter.for_type(Figure, bundle)


def key(**style: Any) -> Line2D:
    """Return an entry for a legend, gray by default."""
    style.setdefault("color", "0.3")
    return Line2D([], [], **style)


def interval(panel: Axes, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
    """Draw an interval from (x[0], y[0]) to (x[1], y[1]) without stretching the axes.

    An interval over two seeds can be longer than everything else in the panel.
    """
    # An artist that is added does not change the limits, a plotted line does.
    look: dict[str, Any] = {"lw": 1.2, "label": "_interval"} | style
    panel.add_artist(Line2D(x, y, **look))


def draw_means(panel: Axes, curve: pd.DataFrame, x: str, **style: Any) -> None:
    """Draw the column `value` against column x, in the order of x, with intervals from `low` to `high`."""
    curve = curve.sort_values(x)
    (line,) = panel.plot(curve[x], curve["value"], **style)
    for place, low, high in curve[[x, "low", "high"]].itertuples(index=False):
        interval(panel, [place, place], [low, high], color=line.get_color())


def log_axis(axis: Axis, values: Iterable[float], *, least: float = 0.0) -> None:
    """Make an axis logarithmic with numbers at round places, and give 0 a marked place at its end where it is needed.

    Arguments:
        axis: `panel.xaxis` or `panel.yaxis`.
        values: all values that the axis has to show.
        least: smallest value that needs a place on the logarithmic part. Where some values are 0, or smaller than
            `least`, the axis is linear from 0 to the next value above, and 0 is written there.
    """
    given = np.asarray(list(values), dtype=float)
    given = given[np.isfinite(given) & (given >= 0)]
    large = given[(given > 0) & (given >= least)]
    if not len(large):
        return
    low, high = float(large.min()), float(large.max())
    below = len(large) < len(given)
    # Axes that are shared have one scale, which pyplot's setters keep the same.
    set_scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    set_scale(**({"value": "symlog", "linthresh": low, "linscale": 0.4} if below else {"value": "log"}))
    digits = (1, 1.5, 2, 3, 5, 7) if high < 8 * low else (1, 2, 5) if high < 100 * low else (1,)
    powers = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
    ticks = np.outer(powers, digits).ravel()
    axis.set_major_locator(FixedLocator([0, *ticks[ticks >= 0.99 * low]] if below else list(ticks)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def beta_axis(panel: Axes, betas: Iterable[float]) -> None:
    """Make the horizontal axis one of beta: logarithmic, the largest on the left."""
    log_axis(panel.xaxis, betas)
    panel.xaxis.set_inverted(True)


def finished(fig: Figure, table: pd.DataFrame | None = None, words: str = "") -> Figure:
    """Close a figure and return it, with the table that it shows and words for it, if there are any."""
    # Left open, a notebook would show the figure twice and a long program would keep all of them.
    plt.close(fig)
    return fig if table is None else carry(fig, table, words)
