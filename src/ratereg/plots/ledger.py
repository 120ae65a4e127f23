"""The ledger's figure: what every setting says, by several measures side by side; values in nats."""

import math
from textwrap import wrap

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import blended_transform_factory

from ratereg.plots.style import COLOURS, STYLE, finished, key
from ratereg.summary import SETTING, data_label, groups, network_label

__all__ = ["forest"]

_IDENTITY = [name for name in SETTING if name != "n_test"]
_DATA = [name for name in _IDENTITY if name in ("dataset", "split", "share", "n_train")]
_STYLES = {
    "improves": {"color": COLOURS[0], "marker": "o"},
    "worsens": {"color": COLOURS[1], "marker": "s"},
    "undecided": {"color": "0.45", "marker": "D"},
    "not enough data": {"color": "0.45", "marker": "D", "mfc": "white"},
}
_ROW = 0.19
"""The height of a setting, in inches."""


def forest(contrasts: pd.DataFrame) -> Figure:
    """Draw differences with their 95% intervals: a row for each setting, a panel for each measure.

    Settings with the same data stand together. The axis is linear between -1 and 1, and logarithmic beyond.

    Arguments:
        contrasts: of any number of measures, named by the column `measure`; from `ratereg.claims.forest_rows`.

    Raises:
        ValueError: there are no contrasts.
    """
    if contrasts.empty:
        raise ValueError("forest: contrasts has no rows; give those of at least one setting.")
    contrasts = contrasts.assign(setting=contrasts.groupby(_IDENTITY, dropna=False, sort=False).ngroup())
    places, labels, heads = _places(contrasts)
    names = list(contrasts["measure"].unique())
    with plt.style.context(STYLE):
        size = (6.4, 1.4 + _ROW * (1 + max(places.values())))
        fig, axes = plt.subplots(1, len(names), figsize=size, sharex=True, sharey=True, squeeze=False)
        for panel, name in zip(axes.flat, names, strict=True):
            for _, row in contrasts[contrasts["measure"] == name].iterrows():
                _draw(panel, row, places[row["setting"]])
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
        # From the figure's edge, and over the panels, which are empty at this height.
        at_edge = blended_transform_factory(fig.transFigure, first.transData)
        halo = [withStroke(linewidth=3, foreground="white")]
        for height, head in heads.items():
            text = fig.text(0.01, height, head, transform=at_edge, va="center", fontsize=8, fontweight="bold")
            text.set(in_layout=False, path_effects=halo)
        keys = [key(ls="", label=word, **style) for word, style in _STYLES.items() if word in set(contrasts["verdict"])]
        fig.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return finished(fig)


def _places(contrasts: pd.DataFrame) -> tuple[dict[int, int], dict[int, str], dict[int, str]]:
    """Return the height of each setting, the labels at the heights, and those of the data above their settings."""
    places, labels, heads = {}, {}, {}
    height = 0
    for same_data in groups(contrasts, _DATA):
        heads[height] = data_label(same_data, short=True)
        for setting in groups(same_data, _IDENTITY):
            height += 1
            places[setting["setting"].iloc[0]] = height
            labels[height] = network_label(setting)
        height += 1
    return places, labels, heads


def _draw(panel: Axes, row: pd.Series, height: int) -> None:
    style = _STYLES[row["verdict"]]
    panel.plot(row["difference"], height, ms=4, **style)
    # As an artist, so that the limits follow the points: an interval over few seeds can be longer than all else.
    ends = [row["difference_low"], row["difference_high"]]
    panel.add_artist(Line2D(ends, [height, height], color=style["color"], lw=1.2))


def _scale(panel: Axes) -> None:
    """Make the axis of differences logarithmic beyond 1, with as few numbers as fit below a narrow panel."""
    reach = max(1.0, *(abs(end) for end in panel.get_xlim()))
    decade = 10 ** math.floor(math.log10(reach))
    panel.set_xscale("symlog", linthresh=1, linscale=0.6)
    panel.margins(x=0.1)
    panel.xaxis.set_major_locator(FixedLocator([-decade, 0, decade]))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    panel.xaxis.set_minor_locator(FixedLocator([sign * 10**power for sign in (-1, 1) for power in range(4)]))
