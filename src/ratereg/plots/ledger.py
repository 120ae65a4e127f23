"""The ledger's figure: the contrast of every setting, by several measures side by side; values in nats."""

import math
from textwrap import wrap

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import blended_transform_factory

from ratereg.plots.labels import labeled
from ratereg.plots.style import NETWORKS, STYLE, finished, interval, key

__all__ = ["forest"]

_STYLES = {
    "improves": {"marker": "o"},
    "worsens": {"marker": "s"},
    "undecided": {"marker": "D"},
    "not enough data": {"marker": "D", "mfc": "white"},
}
_ROW = 0.19
"""The height of a setting, in inches."""


def forest(contrasts: pd.DataFrame) -> Figure:
    """Draw differences with their 95% intervals: a row for each setting, a panel for each measure.

    Settings with the same data stand together. Color is the network's depth, the marker shows the verdict. The axis is
    linear between -1 and 1, and logarithmic beyond.

    Arguments:
        contrasts: with the columns `measure`, `difference`, `difference_low`, `difference_high`, `verdict`, and those
            of a result's table that describe a setting; from `ratereg.claims.forest_rows`.

    Raises:
        ValueError: there are no contrasts.
    """
    if contrasts.empty:
        raise ValueError("forest: contrasts has no rows; give those of at least one setting.")
    contrasts = labeled(contrasts)
    places, labels, heads = _places(contrasts)
    names = list(contrasts["measure"].unique())
    with plt.style.context(STYLE):
        size = (7.2, 1.4 + _ROW * (1 + max(places.values())))
        fig, axes = plt.subplots(1, len(names), figsize=size, sharex=True, sharey=True, squeeze=False)
        for panel, name in zip(axes.flat, names, strict=True):
            for _, row in contrasts[contrasts["measure"] == name].iterrows():
                _draw(panel, row, places[row["panel"], row["series"]])
            panel.axvline(0, color="k", lw=0.8)
            panel.set_title("\n".join(wrap(name, 13)), fontsize=8.5)
            panel.set_xlabel("nats", fontsize=8.5)
            panel.tick_params(labelsize=8)
            panel.tick_params(axis="y", length=0)
            panel.grid(visible=False, axis="y")
        first = axes.flat[0]
        _scale(first)
        first.set_yticks(list(labels), list(labels.values()))
        first.set_ylim(max(places.values()) + 0.7, -0.7)
        # From edge to edge of the figure, and over the panels, which are empty at this height.
        at_edge = blended_transform_factory(fig.transFigure, first.transData)
        for height, head in heads.items():
            band = Rectangle((0, height - 0.45), 1, 0.9, transform=at_edge, color="0.93", lw=0, zorder=2)
            band.set_in_layout(False)
            fig.add_artist(band)
            text = fig.text(0.01, height, head, transform=at_edge, va="center", fontsize=8, fontweight="bold")
            text.set(in_layout=False, zorder=3)
        keys = [key(ls="", label=word, **style) for word, style in _STYLES.items() if word in set(contrasts["verdict"])]
        fig.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    columns = ["measure", "panel", "series", "difference", "difference_low", "difference_high", "verdict"]
    return finished(fig, contrasts[columns], _in_words(contrasts))


def _in_words(contrasts: pd.DataFrame) -> str:
    """Return how many settings have each verdict, by each measure, and the range of differences."""
    sentences = []
    for measure, rows in contrasts.groupby("measure", sort=False):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in rows["verdict"].value_counts().items())
        low, high = rows["difference"].min(), rows["difference"].max()
        sentences.append(f"{measure}: {counts}; differences from {low:.3g} to {high:.3g} nats.")
    return " ".join(sentences)


def _places(
    contrasts: pd.DataFrame,
) -> tuple[dict[tuple[str, str], int], dict[int, str], dict[int, str]]:
    """Return the height of each setting, the labels at the heights, and the heads of the data above their settings."""
    places, labels, heads = {}, {}, {}
    height = 0
    for data, rows in contrasts.groupby("panel", sort=False):
        heads[height] = str(data)
        for series in rows["series"].unique():
            height += 1
            places[str(data), series] = height
            labels[height] = series
        height += 1
    return places, labels, heads


def _draw(panel: Axes, row: pd.Series, height: int) -> None:
    color = NETWORKS.get(row["network"], NETWORKS.get(row["layers"], "#000000"))
    style = {"color": color, "ls": "", "label": row["verdict"]} | _STYLES[row["verdict"]]
    panel.plot(row["difference"], height, ms=4, **style)
    interval(panel, [row["difference_low"], row["difference_high"]], [height, height], color=color)


def _scale(panel: Axes) -> None:
    """Make the axis of differences logarithmic beyond 1, with a number at 0, 1 and the last power of ten in it."""
    reach = max(1.0, *(abs(end) for end in panel.get_xlim()))
    decades = math.floor(math.log10(reach))
    panel.set_xscale("symlog", linthresh=1, linscale=0.8)
    panel.margins(x=0.1)
    panel.xaxis.set_major_locator(FixedLocator(sorted({-(10**decades), -1, 0, 1, 10**decades})))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    ticks = [sign * digit * 10**power for sign in (-1, 1) for power in range(decades + 1) for digit in range(1, 10)]
    panel.xaxis.set_minor_locator(FixedLocator([tick for tick in ticks if abs(tick) <= reach]))
