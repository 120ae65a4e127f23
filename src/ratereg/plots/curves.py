"""Rate-distortion curves: one renderer for the book's figures, the live panel, the report and the widgets."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ratereg.plots.data import in_words
from ratereg.plots.grid import grid, labeled, model_colors
from ratereg.plots.style import LINES, MARKERS, WORDS, finished, interval, key, log_axis, partition_keys
from ratereg.studies import Results
from ratereg.summary import over_seeds

__all__ = ["draw_rate_distortion", "rate_distortion"]

_LEAST_RATE = 0.01
"""Smallest rate with a place on the logarithmic axis, in nats; smaller ones stand between it and a marked 0."""


def rate_distortion(
    results: Results,
    *,
    partitions: Sequence[str] = ("train", "test"),
    paper: pd.DataFrame | None = None,
    floor: float | None = None,
) -> Figure:
    """Draw distortion against rate (log axis) along beta: one panel per data set, one color per model.

    Large markers are means over seeds with 95% t intervals in both directions, dots are seeds, stars beta = 1. The
    numbers along the first and the last model's test curves are betas.

    Arguments:
        results: results of any study.
        partitions: curves to draw, of "train" and "test".
        paper: points of the paper, from `ratereg.claims.paper_points()`, drawn hollow in every panel.
        floor: entropy floor of the data in nats, drawn as a line.

    Raises:
        ValueError: a partition is unknown, or there is none.
    """
    if not partitions or not set(partitions) <= set(MARKERS):
        raise ValueError(f"rate_distortion: partitions is {partitions!r}; give some of 'train' and 'test'.")
    rows = labeled(results.final[results.final["partition"].isin(partitions)], short=False)
    colors, tables = model_colors(rows), []

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        tables.append(draw_rate_distortion(panel, here, colors=colors))
        if paper is not None:
            points = paper[paper["partition"].isin(partitions)]
            for series, layers in here[["series", "layers"]].drop_duplicates().itertuples(index=False):
                _draw_paper(panel, points[points["depth"] == layers], colors[series])
        if floor is not None:
            panel.axhline(floor, color="0.4", ls=":", lw=1.2)
        log_axis(panel.xaxis, rows["rate"], least=_LEAST_RATE)

    keys = [key(color=color, label=name) for name, color in colors.items()]
    keys += partition_keys(partitions)
    if (rows["beta"] == 1).any():
        keys.append(key(marker="*", ms=11, ls="", label=r"$\beta$ = 1"))
    if paper is not None:
        keys.append(key(marker="o", lw=0.7, mfc="white", label="paper (read off its figure)"))
    if floor is not None:
        keys.append(key(ls=":", label="entropy floor"))
    # Distortions of different images, or of soft and of binary pixels, are not to be compared.
    share = (True, rows["dataset"].nunique() == 1)
    layout: dict[str, Any] = {"columns": ["panel"], "title": "{panel}", "height": 3.3, "share": share, "ncols": 2}
    fig = grid(rows, draw, keys, xlabel="rate (nats)", ylabel="distortion (nats)", **layout)
    table = pd.concat(tables, ignore_index=True)
    words = in_words(table[table["partition"] == partitions[-1]], "beta", "distortion")
    return finished(fig, table, f"{WORDS[partitions[-1]].capitalize()}. {words}")


def draw_rate_distortion(
    panel: Axes, rows: pd.DataFrame, *, colors: Mapping[str, str] | None = None, numbers: bool = True
) -> pd.DataFrame:
    """Draw the rate-distortion curves of one data set at one step into a panel, and return their means over seeds.

    The rate's axis is logarithmic. Rates that are 0 or nearly so have a marked place at its end.

    Arguments:
        panel: of any figure.
        rows: of a result's table, at one step, with the partitions "train", "test" or both.
        colors: of the models, by the labels of `ratereg.plots.grid`; None for the book's.
        numbers: whether betas are written along the first and the last model's test curves.
    """
    rows = rows if "series" in rows else labeled(rows)
    colors = model_colors(rows) if colors is None else colors
    ends = [f"{name}{end}" for name in ("rate", "distortion") for end in ("", "_low", "_high")]
    table = over_seeds(rows, ("rate", "distortion"), by=("panel", "series"))
    table = table[["panel", "series", "partition", "beta", *ends, "seeds"]]
    models = list(dict.fromkeys(rows["series"]))
    for series, partition in dict.fromkeys(zip(rows["series"], rows["partition"], strict=True)):
        color = colors[series]
        of_seeds, curve = (one[(one["series"] == series) & (one["partition"] == partition)] for one in (rows, table))
        curve = curve.sort_values("beta", ascending=False)
        if curve["seeds"].max() > 1:
            panel.plot(of_seeds["rate"], of_seeds["distortion"], ".", ms=4, color=color, alpha=0.6, label="_seeds")
        label = f"{series}, {WORDS[partition]}"
        panel.plot(curve["rate"], curve["distortion"], ls=LINES[partition], color=color, label=label)
        style = {"color": color, "mec": "white", "mew": 0.7, "zorder": 4}
        _draw_markers(panel, curve, curve["beta"] == 1, MARKERS[partition], style)
        for _, row in curve.iterrows():
            interval(panel, [row["rate_low"], row["rate_high"]], [row["distortion"]] * 2, color=color)
            interval(panel, [row["rate"]] * 2, [row["distortion_low"], row["distortion_high"]], color=color)
        # The numbers of models between the first and the last would be written over others.
        if numbers and partition == "test" and series in (models[0], models[-1]):
            _write_betas(panel, curve, color, below=series != models[0])
    log_axis(panel.xaxis, table["rate"], least=_LEAST_RATE)
    return table


def _write_betas(panel: Axes, curve: pd.DataFrame, color: str, below: bool) -> None:
    place, across, along = ((-5, -5), "right", "top") if below else ((5, 5), "left", "bottom")
    halo = [withStroke(linewidth=2.5, foreground="white")]
    style: dict[str, Any] = {"ha": across, "va": along, "fontsize": 9, "color": color, "path_effects": halo}
    previous = math.inf
    for _, row in curve.iterrows():
        # Neighbors within a factor of 2.5 would be written over each other.
        if row["beta"] == 1 or previous >= 2.5 * row["beta"]:
            previous = row["beta"]
            point = (row["rate"], row["distortion"])
            panel.annotate(f"{row['beta']:g}", point, place, textcoords="offset points", zorder=5, **style)


def _draw_paper(panel: Axes, points: pd.DataFrame, color: str) -> None:
    style: dict[str, Any] = {"color": color, "alpha": 0.65, "label": "_paper"}
    for partition, curve in points.groupby("partition"):
        panel.plot(curve["rate"], curve["distortion"], ls=LINES[str(partition)], lw=0.7, **style)
        _draw_markers(panel, curve, curve["star"] == 1, MARKERS[str(partition)], style | {"mfc": "white", "zorder": 3})


def _draw_markers(panel: Axes, curve: pd.DataFrame, starred: pd.Series, marker: str, style: dict[str, Any]) -> None:
    for points, shape, size in ((curve[~starred], marker, 6), (curve[starred], "*", 12)):
        panel.plot(points["rate"], points["distortion"], shape, ms=size, **style)
