"""Curves along beta and along training, each figure a function of results alone; values in nats."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from ratereg.plots.data import carry
from ratereg.plots.style import (
    LINES,
    MARKERS,
    MEASURES,
    STYLE,
    WORDS,
    beta_colors,
    finished,
    interval,
    key,
    network_colors,
)
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, network_label, over_seeds

__all__ = [
    "information",
    "rate_distortion",
    "small_panels",
    "trajectory",
]


def rate_distortion(
    results: Results,
    *,
    partitions: Sequence[str] = ("train", "test"),
    paper: pd.DataFrame | None = None,
    floor: float | None = None,
) -> Figure:
    """Draw distortion against rate (log axis) along beta: one panel per data set and split, a color for each depth.

    Larger markers are means over seeds with 95% t intervals in both directions, dots the seeds, stars beta = 1; the
    numbers along the first and the last network's test curves are the betas.

    Arguments:
        results: of any study.
        partitions: which curves, of "train" and "test".
        paper: the paper's points, from `ratereg.claims.paper_points()`, drawn hollow in every panel.
        floor: the entropy floor of the data in nats, drawn as a line.

    Raises:
        ValueError: a partition is unknown, or none is given.
    """
    if not partitions or not set(partitions) <= set(MARKERS):
        raise ValueError(f"rate_distortion: partitions is {partitions!r}; give some of 'train' and 'test'.")
    rows = results.final[results.final["partition"].isin(partitions)]
    panels = groups(rows, DATA)
    colors = network_colors(rows)
    with plt.style.context(STYLE):
        size = (6.4, 1.2 + 3.3 * len(panels))
        # Distortions of different images, or of soft and of binary pixels, are not to be compared.
        alike = rows["dataset"].nunique() == 1
        fig, axes = plt.subplots(len(panels), figsize=size, sharex=True, sharey=alike, squeeze=False)
        for panel, here in zip(axes.flat, panels, strict=True):
            networks = groups(here, NETWORK)
            for index, network in enumerate(networks):
                color = colors[network_label(network)]
                for partition, curve in network.groupby("partition"):
                    means = _draw_curve(panel, curve, str(partition), color)
                    # Those of networks between the first and the last would be written over others.
                    if partition == "test" and index in (0, len(networks) - 1):
                        _write_betas(panel, means, color, below=index > 0)
                if paper is not None:
                    chosen = (paper["depth"] == network["layers"].iloc[0]) & paper["partition"].isin(partitions)
                    _draw_paper(panel, paper[chosen], color, network_label(network))
            if floor is not None:
                panel.axhline(floor, color="0.4", ls=":", lw=1.2, label="entropy floor")
            panel.set(title=data_label(here), ylabel="distortion (nats)")
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(NullLocator())
        axes.flat[-1].set_xlabel("rate (nats)")
        keys = [key(color=color, label=name) for name, color in colors.items()]
        keys += [key(ls=LINES[one], marker=MARKERS[one], label=WORDS[one]) for one in partitions]
        if (rows["beta"] == 1).any():
            keys.append(key(marker="*", ms=11, ls="", label=r"$\beta$ = 1"))
        if paper is not None:
            keys.append(key(marker="o", lw=0.7, mfc="white", label="paper (read off its figure)"))
        if floor is not None:
            keys.append(key(ls=":", label="entropy floor"))
        fig.legend(handles=keys, loc="outside lower center", ncols=2)
    return finished(fig)


def _draw_curve(panel: Axes, curve: pd.DataFrame, partition: str, color: str) -> pd.DataFrame:
    means = over_seeds(curve, ("rate", "distortion")).sort_values("beta", ascending=False)
    name = f"{network_label(curve)}, {WORDS[partition]}"
    seeds = panel.plot(curve["rate"], curve["distortion"], ".", ms=4, color=color, alpha=0.6, label=f"{name}, seeds")
    carry(*seeds, beta=curve["beta"].to_numpy(), seed=curve["seed"].to_numpy())
    (line,) = panel.plot(means["rate"], means["distortion"], ls=LINES[partition], color=color, label=name)
    markers = _draw_markers(
        panel, means, means["beta"] == 1, MARKERS[partition], color=color, mec="white", mew=0.7, zorder=4
    )
    ends = {"low": means["distortion_low"], "high": means["distortion_high"]}
    ends |= {name: means[name] for name in ("rate_low", "rate_high")}
    carry(line, *markers, beta=means["beta"].to_numpy(), **{name: end.to_numpy() for name, end in ends.items()})
    for _, row in means.iterrows():
        interval(panel, [row["rate_low"], row["rate_high"]], [row["distortion"]] * 2, color=color)
        interval(panel, [row["rate"]] * 2, [row["distortion_low"], row["distortion_high"]], color=color)
    return means


def _write_betas(panel: Axes, means: pd.DataFrame, color: str, below: bool) -> None:
    place, across, along = ((-5, -5), "right", "top") if below else ((5, 5), "left", "bottom")
    style: dict[str, Any] = {"textcoords": "offset points", "ha": across, "va": along, "fontsize": 9, "color": color}
    halo = [withStroke(linewidth=2.5, foreground="white")]
    previous = math.inf
    for _, row in means.iterrows():
        # Neighbors within a factor of 2.5 would write over each other.
        if row["beta"] == 1 or previous >= 2.5 * row["beta"]:
            previous = row["beta"]
            point = (row["rate"], row["distortion"])
            panel.annotate(f"{row['beta']:g}", point, place, path_effects=halo, zorder=5, **style)


def _draw_paper(panel: Axes, points: pd.DataFrame, color: str, network: str) -> None:
    style: dict[str, Any] = {"color": color, "alpha": 0.65}
    for partition, curve in points.groupby("partition"):
        name = f"the paper's, {network}, {WORDS[str(partition)]}"
        (line,) = panel.plot(curve["rate"], curve["distortion"], ls=LINES[str(partition)], lw=0.7, label=name, **style)
        star = curve["star"] == 1
        markers = _draw_markers(panel, curve, star, MARKERS[str(partition)], mfc="white", zorder=3, **style)
        carry(line, *markers, beta=curve["beta_inferred"].to_numpy())


def _draw_markers(panel: Axes, curve: pd.DataFrame, starred: pd.Series, marker: str, **style: Any) -> list[Line2D]:
    shapes = ((curve[~starred], marker, 6), (curve[starred], "*", 12))
    return [
        line
        for points, shape, size in shapes
        for line in panel.plot(points["rate"], points["distortion"], shape, ms=size, **style)
    ]


def information(results: Results, *, partition: str = "train") -> Figure:
    """Draw the rate, its two parts and the ceiling log N against beta: a panel per data set, split and network."""
    parts = {name: name.replace("_", " ").replace("kl", "KL") for name in MEASURES}

    def draw(panel: Axes, rows: pd.DataFrame) -> None:
        means = over_seeds(rows, tuple(parts)).sort_values("beta")
        for name, color in MEASURES.items():
            low, high = (means[f"{name}_{end}"].to_numpy() for end in ("low", "high"))
            (line,) = panel.plot(means["beta"], means[name], "o-", ms=4, color=color, label=parts[name])
            band = panel.fill_between(means["beta"], low, high, color=color, lw=0)
            band.set_alpha(0.2)
            carry(line, band, low=low, high=high)
        panel.axhline(rows["log_n"].mean(), color="k", ls="--", lw=1.2, label=r"ceiling $\log N$")
        panel.set_xscale("log")
        panel.axhline(0, color="k", lw=0.8)
        panel.xaxis.set_inverted(True)

    keys = [key(color=MEASURES[name], marker="o", label=label) for name, label in parts.items()]
    keys.append(key(color="k", ls="--", label=r"ceiling $\log N$"))
    rows = results.final[results.final["partition"] == partition]
    return small_panels(rows, draw, keys, xlabel=r"$\beta$", ylabel="nats")


def trajectory(results: Results, *, measure: str = "distortion", partition: str = "test") -> Figure:
    """Draw a column of the table against the training step, a line per beta: a panel per data set, split, network."""
    rows = results.table[results.table["partition"] == partition]
    colors = beta_colors(rows["beta"].unique())

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for path in groups(over_seeds(here, (measure,), by=("step",)), ["beta"]):
            beta = path["beta"].iloc[0]
            panel.plot(path["step"], path[measure], "o-", ms=3, color=colors[beta], label=rf"$\beta$ = {beta:g}")
        panel.set_xscale("log")

    keys = [key(color=color, marker="o", ms=3, label=rf"$\beta$ = {beta:g}") for beta, color in colors.items()]
    return small_panels(rows, draw, keys, xlabel="training step", ylabel=f"{measure.replace('_', ' ')} (nats)")


def small_panels(
    rows: pd.DataFrame,
    draw: Callable[[Axes, pd.DataFrame], None],
    keys: list[Line2D],
    *,
    xlabel: str,
    ylabel: str,
    height: float = 2.4,
) -> Figure:
    """Give every data set and split a row of panels, one per network; `height` is a row's, in inches."""
    table = [groups(data, NETWORK) for data in groups(rows, DATA)]
    shape = (len(table), max(len(row) for row in table))
    with plt.style.context(STYLE):
        size = (6.4, 1.1 + height * shape[0])
        fig, axes = plt.subplots(*shape, figsize=size, sharex=True, sharey=True, squeeze=False)
        for panels, row in zip(axes, table, strict=True):
            for panel, here in itertools.zip_longest(panels, row):
                if here is None:
                    panel.set_visible(False)
                    continue
                draw(panel, here)
                panel.set_title(f"{network_label(here)}\n{data_label(here, short=True)}", fontsize=10)
        for panel in axes[-1]:
            panel.set_xlabel(xlabel)
        for panel in axes[:, 0]:
            panel.set_ylabel(ylabel)
        fig.legend(handles=keys, loc="outside lower center", ncols=min(4, len(keys)))
    return finished(fig)
