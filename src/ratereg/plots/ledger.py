"""The ledger's figure: the contrast of every setting, by several measures side by side; values in nats."""

import math
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import blended_transform_factory

from ratereg.plots.grid import labeled, network_color
from ratereg.plots.style import STYLE, finished, interval, key
from ratereg.summary import groups

__all__ = ["forest"]

_MARKERS = {
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
    settings = pd.concat(groups(contrasts[["panel", "series"]].drop_duplicates(), ["panel"]))
    # A line above the settings of each data set is its head.
    settings["place"] = np.arange(len(settings)) + (~settings["panel"].duplicated()).cumsum()
    lowest = int(settings["place"].max())
    with plt.style.context(STYLE):
        measures = groups(contrasts.merge(settings), ["measure"])
        size = (7.2, 1.4 + _ROW * (1 + lowest))
        fig, axes = plt.subplots(1, len(measures), figsize=size, sharex=True, sharey=True, squeeze=False)
        for panel, rows in zip(axes.flat, measures, strict=True):
            for _, row in rows.iterrows():
                style = {"color": network_color(row), "ls": "", "label": row["verdict"]} | _MARKERS[row["verdict"]]
                panel.plot(row["difference"], row["place"], ms=4, **style)
                ends = [row["difference_low"], row["difference_high"]]
                interval(panel, ends, [row["place"]] * 2, color=style["color"])
            panel.axvline(0, color="k", lw=0.8)
            panel.set_title("\n".join(wrap(rows["measure"].iloc[0], 13)), fontsize=8.5)
            panel.set_xlabel("nats", fontsize=8.5)
            panel.tick_params(labelsize=8)
            panel.tick_params(axis="y", length=0)
            panel.grid(visible=False, axis="y")
        first = axes.flat[0]
        _scale(first)
        first.set_yticks(settings["place"], settings["series"])
        first.set_ylim(lowest + 0.7, -0.7)
        # From edge to edge of the figure, and over the panels, which are empty at this height.
        at_edge = blended_transform_factory(fig.transFigure, first.transData)
        for data, place in settings.drop_duplicates("panel")[["panel", "place"]].itertuples(index=False):
            band = Rectangle((0, place - 1.45), 1, 0.9, transform=at_edge, color="0.93", lw=0, zorder=2)
            band.set_in_layout(False)
            fig.add_artist(band)
            text = fig.text(0.01, place - 1, data, transform=at_edge, va="center", fontsize=8, fontweight="bold")
            text.set(in_layout=False, zorder=3)
        found = set(contrasts["verdict"])
        keys = [key(ls="", label=word, **style) for word, style in _MARKERS.items() if word in found]
        fig.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    sentences = []
    for rows in measures:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in rows["verdict"].value_counts().items())
        low, high = rows["difference"].min(), rows["difference"].max()
        sentences.append(f"{rows['measure'].iloc[0]}: {counts}; differences from {low:.3g} to {high:.3g} nats.")
    columns = ["measure", "panel", "series", "difference", "difference_low", "difference_high", "verdict"]
    return finished(fig, contrasts[columns], " ".join(sentences))


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
