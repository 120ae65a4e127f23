"""Measures of the final models along beta and along width, and any column of the table along training."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ratereg.plots.data import in_words
from ratereg.plots.grid import draw_betas, grid
from ratereg.plots.labels import labeled, seed_means
from ratereg.plots.style import (
    LINES,
    MARKERS,
    MEASURES,
    NETWORKS,
    WORDS,
    beta_colors,
    beta_keys,
    draw_means,
    finished,
    key,
    log_axis,
)
from ratereg.studies import Results
from ratereg.summary import groups

__all__ = ["distortion_by_width", "information", "trajectory"]


def information(results: Results, *, partition: str = "train") -> Figure:
    """Draw the rate, its two parts and the ceiling log N against beta: one panel per data set and model.

    Means over seeds with 95% t intervals, in nats.

    Arguments:
        results: of any study.
        partition: images to show, "train" or "test".

    Raises:
        ValueError: the results have no such partition.
    """
    rows = labeled(_of_partition("information", results.final, partition))
    table = seed_means(rows, (*MEASURES, "log_n"))
    names = {name: name.replace("_", " ").replace("kl", "KL") for name in MEASURES}

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for name, color in MEASURES.items():
            draw_means(panel, here[here["measure"] == name], "beta", color=color, marker="o", ms=4, label=names[name])
        ceiling = here.loc[here["measure"] == "log_n", "value"].mean()
        panel.axhline(ceiling, color="k", ls="--", lw=1.2, label="ceiling")
        panel.axhline(0, color="k", lw=0.8)
        log_axis(panel.xaxis, table["beta"])
        panel.xaxis.set_inverted(True)

    keys = [key(color=MEASURES[name], marker="o", label=label) for name, label in names.items()]
    keys.append(key(color="k", ls="--", label=r"ceiling $\log N$"))
    fig = grid(table, draw, keys, xlabel=r"$\beta$", ylabel="nats")
    return finished(fig, table, in_words(table[table["measure"] == "mutual_information"], "beta"))


def trajectory(results: Results, *, measure: str = "distortion", partition: str = "test") -> Figure:
    """Draw a column of the table against the training step, one line per beta: one panel per data set and model.

    Arguments:
        results: of any study.
        measure: column of the table, in nats.
        partition: images to show, "train" or "test".

    Raises:
        ValueError: the results have no such column or partition.
    """
    if measure not in results.table:
        raise ValueError(f"trajectory: measure is {measure!r}; give a column of the results' table.")
    rows = labeled(_of_partition("trajectory", results.table, partition))
    table = seed_means(rows, (measure,), by=("step",))
    colors = beta_colors(table["beta"])

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        draw_betas(panel, here, "step", colors, ms=3)
        panel.set_xscale("log")

    ylabel = f"{measure.replace('_', ' ')} (nats)"
    fig = grid(table, draw, beta_keys(colors, marker="o", ms=3), xlabel="training step", ylabel=ylabel)
    last = table[table["step"] == table["step"].max()]
    return finished(fig, table, f"At the last step. {in_words(last, 'beta')}")


def distortion_by_width(results: Results) -> Figure:
    """Draw training and test distortion against width (log axis): a row of panels per data set, a column per beta.

    Color is depth. Markers are means over seeds, bars their 95% t intervals, cut off where they leave the panel.

    Arguments:
        results: of a study whose networks differ in depth and width alone.

    Raises:
        ValueError: several models of one depth and width were trained on the same data.
    """
    rows = labeled(results.final[results.final["partition"].isin(WORDS)])
    networks = rows[["panel", "series", "layers", "width"]].drop_duplicates()
    if networks.duplicated(["panel", "layers", "width"]).any():
        names = "; ".join(networks["series"].unique())
        raise ValueError(
            f"distortion_by_width: results has {names}; give networks that differ in depth and width only."
        )
    table = seed_means(rows, ("distortion",)).merge(networks, on=["panel", "series"])
    depths = {count: f"{count} hidden layer{'' if count == 1 else 's'}" for count in sorted(table["layers"].unique())}
    colors = {count: NETWORKS.get(count, "#000000") for count in depths}
    table["series"] = table["layers"].map(depths) + ", " + table["partition"].map(WORDS)
    table = table.sort_values("beta", ascending=False, kind="stable")

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for curve in groups(here, ["series"]):
            partition, layers = curve[["partition", "layers"]].iloc[0]
            style = {"ls": LINES[partition], "marker": MARKERS[partition], "label": curve["series"].iloc[0]}
            draw_means(panel, curve, "width", color=colors[layers], **style)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(sorted(table["width"].unique())))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter("{x:g}")

    keys = [key(color=color, label=depths[count]) for count, color in colors.items()]
    keys += [key(ls=LINES[one], marker=MARKERS[one], label=WORDS[one]) for one in WORDS]
    layout: dict[str, Any] = {"columns": ["beta"], "title": "{panel}\n$\\beta$ = {beta:g}", "ncols": 2}
    ylabel = "distortion (nats)"
    fig = grid(table, draw, keys, xlabel="units a layer", ylabel=ylabel, share=(True, "row"), **layout)
    return finished(fig, table, in_words(table[table["partition"] == "test"], "width"))


def _of_partition(caller: str, table: pd.DataFrame, partition: str) -> pd.DataFrame:
    rows = table[table["partition"] == partition]
    if rows.empty:
        raise ValueError(f"{caller}: partition is {partition!r}; give one of {', '.join(table['partition'].unique())}.")
    return rows
