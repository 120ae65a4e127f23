"""Distortion against the width of the hidden layers."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ratereg.plots.data import carry
from ratereg.plots.style import LINES, MARKERS, NETWORKS, STYLE, WORDS, finished, interval, key
from ratereg.studies import Results
from ratereg.summary import DATA, data_label, groups, over_seeds

__all__ = ["distortion_by_width"]


def distortion_by_width(results: Results) -> Figure:
    """Draw training and test distortion against width (log axis): a row of panels per data set, a column per beta.

    Color is depth. Markers are means over seeds, bars their 95% t intervals, cut off where they leave the panel.

    Arguments:
        results: of a study whose networks differ in depth and width alone.
    """
    rows = results.final[results.final["partition"].isin(WORDS)]
    betas = sorted(rows["beta"].unique(), reverse=True)
    colors = {layers: NETWORKS[int(layers)] for layers in sorted(rows["layers"].unique())}
    table = groups(rows, DATA)
    with plt.style.context(STYLE):
        size = (6.4, 1.2 + 2.6 * len(table))
        fig, axes = plt.subplots(len(table), len(betas), figsize=size, sharex=True, sharey="row", squeeze=False)
        for panels, data in zip(axes, table, strict=True):
            for panel, beta in zip(panels, betas, strict=True):
                for (layers, partition), curve in data[data["beta"] == beta].groupby(["layers", "partition"]):
                    _draw_curve(panel, curve, f"{_layers(layers)}, {WORDS[partition]}", partition, colors[layers])
                panel.set_title(f"{data_label(data, short=True)}\n" rf"$\beta$ = {beta:g}", fontsize=10)
                panel.set_xscale("log")
                panel.xaxis.set_major_locator(FixedLocator(sorted(rows["width"].unique())))
                panel.xaxis.set_minor_locator(NullLocator())
                panel.xaxis.set_major_formatter("{x:g}")
            panels[0].set_ylabel("distortion (nats)")
        for panel in axes[-1]:
            panel.set_xlabel("units a layer")
        keys = [key(color=color, label=_layers(layers)) for layers, color in colors.items()]
        keys += [key(ls=LINES[one], marker=MARKERS[one], label=WORDS[one]) for one in WORDS]
        fig.legend(handles=keys, loc="outside lower center", ncols=2)
    return finished(fig)


def _layers(count: int) -> str:
    return f"{count} hidden layer{'' if count == 1 else 's'}"


def _draw_curve(panel: Axes, curve: pd.DataFrame, name: str, partition: str, color: str) -> None:
    means = over_seeds(curve, ("distortion",)).sort_values("width")
    style = {"color": color, "ls": LINES[partition], "marker": MARKERS[partition], "label": name}
    (line,) = panel.plot(means["width"], means["distortion"], **style)
    low, high = (means[f"distortion_{end}"].to_numpy() for end in ("low", "high"))
    carry(line, low=low, high=high)
    for width, *ends in zip(means["width"], low, high, strict=True):
        interval(panel, [width] * 2, ends, color=color)
