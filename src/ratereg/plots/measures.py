"""Measures of the final models along beta and along width, and of all models along training; values in nats."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ratereg.plots.data import in_words
from ratereg.plots.grid import draw_betas, grid, labeled, seed_means
from ratereg.plots.style import (
    LINES,
    MARKERS,
    MEASURES,
    NETWORKS,
    WORDS,
    beta_axis,
    beta_colors,
    beta_keys,
    draw_means,
    finished,
    key,
    log_axis,
    partition_keys,
)
from ratereg.studies import Results
from ratereg.summary import groups, over_seeds

__all__ = ["distortion_by_width", "information", "training_parts", "training_paths", "trajectory"]

_PARTS = {
    "mutual_information": "mutual\ninformation",
    "marginal_kl": "marginal KL\n",
    "gap": "distortion,\ntest less training",
}
_ENDS: dict[str, dict[str, Any]] = {
    "first recorded step": {"ms": 7, "mfc": "white", "mew": 1.5},
    "last step": {"ms": 7, "mec": "black", "mew": 1.2},
}


def information(results: Results) -> Figure:
    """Draw the rate of training images, its two parts and the ceiling log N against beta, in nats.

    One panel per data set and model, with means over seeds and their 95% t intervals.
    """
    rows = labeled(results.final[results.final["partition"] == "train"])
    table = seed_means(rows, (*MEASURES, "log_n"))
    names = {name: name.replace("_", " ").replace("kl", "KL") for name in MEASURES}

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for name, color in MEASURES.items():
            draw_means(panel, here[here["measure"] == name], "beta", color=color, marker="o", ms=4, label=names[name])
        ceiling = here.loc[here["measure"] == "log_n", "value"].mean()
        panel.axhline(ceiling, color="k", ls="--", lw=1.2, label="ceiling")
        panel.axhline(0, color="k", lw=0.8)
        beta_axis(panel, table["beta"])

    keys = [key(color=MEASURES[name], marker="o", label=label) for name, label in names.items()]
    keys.append(key(color="k", ls="--", label=r"ceiling $\log N$"))
    fig = grid(table, draw, keys, xlabel=r"$\beta$", ylabel="nats")
    return finished(fig, table, in_words(table[table["measure"] == "mutual_information"], "beta"))


def distortion_by_width(results: Results) -> Figure:
    """Draw training and test distortion against width (log axis): a row of panels per data set, a column per beta.

    Color is depth. Markers are means over seeds, bars their 95% t intervals, cut off where they leave the panel.

    Raises:
        ValueError: networks trained on the same data differ in more than depth and width.
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

    keys = [key(color=colors[count], label=words) for count, words in depths.items()] + partition_keys()
    layout: dict[str, Any] = {"columns": ["beta"], "title": "{panel}\n$\\beta$ = {beta:g}", "ncols": 2}
    ylabel = "distortion (nats)"
    fig = grid(table, draw, keys, xlabel="units a layer", ylabel=ylabel, share=(True, "row"), **layout)
    return finished(fig, table, in_words(table[table["partition"] == "test"], "width"))


def trajectory(results: Results, *, measure: str = "distortion", partition: str = "test") -> Figure:
    """Draw a column of the table against the training step, one line per beta: one panel per data set and model.

    The column, `measure`, is in nats, and that of one partition's images.

    Raises:
        ValueError: the results have no such column or partition.
    """
    rows = results.table[results.table["partition"] == partition]
    if measure not in rows or rows.empty:
        raise ValueError(
            f"trajectory: measure is {measure!r} and partition {partition!r}; give a column of the results' table, and "
            "'train' or 'test'."
        )
    rows = labeled(rows)
    table = seed_means(rows, (measure,), by=("step",))
    colors = beta_colors(table["beta"])

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        draw_betas(panel, here, "step", colors, ms=3)
        panel.set_xscale("log")

    ylabel = f"{measure.replace('_', ' ')} (nats)"
    fig = grid(table, draw, beta_keys(colors, marker="o", ms=3), xlabel="training step", ylabel=ylabel)
    last = table[table["step"] == table["step"].max()]
    return finished(fig, table, f"At the last step. {in_words(last, 'beta')}")


def training_paths(results: Results) -> Figure:
    """Draw the path of training in the plane of rate and distortion (log axes): one panel per data set and model.

    Means over seeds at the recorded steps, one color per beta, for training and test images; the first point is
    hollow, the last one large and edged in black.
    """
    rows = labeled(results.table[results.table["partition"].isin(MARKERS)])
    table = over_seeds(rows, ("rate", "distortion"), by=("panel", "series", "step"))
    table = table[["panel", "series", "partition", "beta", "step", "rate", "distortion", "seeds"]]
    table = table.sort_values("step", kind="stable")
    colors = beta_colors(table["beta"])

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for path in groups(here, ["beta", "partition"]):
            beta, partition = path["beta"].iloc[0], path["partition"].iloc[0]
            style: dict[str, Any] = {"color": colors[beta], "marker": MARKERS[partition]}
            label = rf"$\beta$ = {beta:g}, {WORDS[partition]}"
            panel.plot(path["rate"], path["distortion"], ms=4, lw=1.2, ls=LINES[partition], label=label, **style)
            for end, look in zip((path.iloc[:1], path.iloc[-1:]), _ENDS.values(), strict=True):
                panel.plot(end["rate"], end["distortion"], zorder=4, **style, **look)
        log_axis(panel.xaxis, table["rate"], least=1e-3)
        log_axis(panel.yaxis, table["distortion"])

    keys = beta_keys(colors) + partition_keys(ms=4)
    keys += [key(marker="o", ls="", label=label, **look) for label, look in _ENDS.items()]
    fig = grid(table, draw, keys, xlabel="rate (nats)", ylabel="distortion (nats)", height=3.6)
    last = table[(table["step"] == table["step"].max()) & (table["partition"] == "test")]
    return finished(fig, table, f"Test images at the last step. {in_words(last, 'beta', 'distortion')}")


def training_parts(results: Results) -> Figure:
    """Draw three columns of panels against the training step, with a row per data set and model.

    They are the mutual information of training images with its ceiling, the log of the number of images measured; their
    marginal KL; and the gap, the distortion of test images less that of training images. Means over seeds, one color
    per beta, with 95% t intervals that do not stretch the axes. The intervals of the gap are paired over seeds.
    """
    rows = labeled(results.table[results.table["partition"].isin(MARKERS)])
    by_side = rows.pivot(index=["member", "step"], columns="partition", values="distortion")
    gap = (by_side["test"] - by_side["train"]).rename("gap").reset_index()
    rows = rows[rows["partition"] == "train"].merge(gap, on=["member", "step"])
    table = seed_means(rows, (*_PARTS, "log_n"), by=("step",))
    ceilings = table[table["measure"] == "log_n"]
    table = table[table["measure"] != "log_n"].assign(part=table["measure"].map(_PARTS))
    colors = beta_colors(table["beta"])

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        draw_betas(panel, here, "step", colors, ms=3)
        if here["measure"].iloc[0] == "mutual_information":
            ceiling = ceilings.merge(here[["panel", "series"]].drop_duplicates()).groupby("step")["value"].mean()
            panel.plot(ceiling.index, ceiling, color="k", ls="--", lw=1.2, label="ceiling")
        panel.set_xscale("log")

    keys = beta_keys(colors, marker="o", ms=4)
    keys.append(key(color="k", ls="--", label=r"ceiling, $\log$ of the images measured"))
    layout: dict[str, Any] = {"rows": ["panel", "series"], "columns": ["measure"], "title": "{part}", "ncols": 3}
    ylabel = "{series}\n{panel}\nnats"
    fig = grid(table, draw, keys, xlabel="training step", ylabel=ylabel, share=(True, "col"), **layout)
    last = table[(table["step"] == table["step"].max()) & (table["measure"] == "gap")]
    return finished(fig, table.drop(columns="part"), f"At the last step. {in_words(last, 'beta')}")
