"""Training as a path: rate and distortion step by step, the parts of the rate, and the gap; values in nats."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ratereg.plots.data import in_words
from ratereg.plots.grid import draw_betas, grid
from ratereg.plots.labels import labeled, seed_means
from ratereg.plots.style import LINES, MARKERS, WORDS, beta_colors, beta_keys, finished, key, log_axis
from ratereg.studies import Results
from ratereg.summary import groups, over_seeds

__all__ = ["training_parts", "training_paths"]

_PARTS = {
    "mutual_information": "mutual\ninformation",
    "marginal_kl": "marginal KL\n",
    "gap": "distortion,\ntest less training",
}
_FIRST: dict[str, Any] = {"ms": 7, "mfc": "white", "mew": 1.5}
_LAST: dict[str, Any] = {"ms": 7, "mec": "black", "mew": 1.2}


def training_paths(results: Results) -> Figure:
    """Draw the path of training in the plane of rate and distortion (log axes): one panel per data set and model.

    Means over seeds at the recorded steps, one color per beta, for training and test images; the first point is
    hollow, the last one large and edged in black.
    """
    rows = labeled(results.table[results.table["partition"].isin(MARKERS)])
    table = over_seeds(rows, ("rate", "distortion"), by=("panel", "series", "step"))
    table = table[["panel", "series", "partition", "beta", "step", "rate", "distortion", "seeds"]].sort_values(
        "step", kind="stable"
    )
    colors = beta_colors(table["beta"])

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for path in groups(here, ["beta", "partition"]):
            beta, partition = path["beta"].iloc[0], path["partition"].iloc[0]
            style: dict[str, Any] = {"color": colors[beta], "marker": MARKERS[partition]}
            label = rf"$\beta$ = {beta:g}, {WORDS[partition]}"
            panel.plot(path["rate"], path["distortion"], ms=4, lw=1.2, ls=LINES[partition], label=label, **style)
            for end, look in ((path.iloc[:1], _FIRST), (path.iloc[-1:], _LAST)):
                panel.plot(end["rate"], end["distortion"], zorder=4, **style, **look)
        log_axis(panel.xaxis, table["rate"], least=1e-3)
        log_axis(panel.yaxis, table["distortion"])

    keys = beta_keys(colors)
    keys += [key(ls=LINES[one], marker=MARKERS[one], ms=4, label=WORDS[one]) for one in MARKERS]
    keys += [key(marker="o", ls="", label="first recorded step", **_FIRST)]
    keys += [key(marker="o", ls="", label="last step", **_LAST)]
    fig = grid(table, draw, keys, xlabel="rate (nats)", ylabel="distortion (nats)", height=3.6)
    last = table[(table["step"] == table["step"].max()) & (table["partition"] == "test")]
    return finished(fig, table, f"Test images at the last step. {in_words(last, 'beta', 'distortion')}")


def training_parts(results: Results, *, partition: str = "train") -> Figure:
    """Draw three columns of panels against the training step, with a row per data set and model.

    They are the mutual information with its ceiling, the log of the number of images measured; the marginal KL; and
    the gap, the distortion of test images less that of training images. Means over seeds, one color per beta, with 95%
    t intervals that do not stretch the axes. The intervals of the gap are paired over seeds.

    Arguments:
        results: of any study.
        partition: images of the parts of the rate, "train" or "test".

    Raises:
        ValueError: the partition is neither.
    """
    if partition not in MARKERS:
        raise ValueError(f"training_parts: partition is {partition!r}; give 'train' or 'test'.")
    rows = labeled(results.table[results.table["partition"].isin(MARKERS)])
    by_side = rows.pivot(index=["member", "step"], columns="partition", values="distortion")
    gap = (by_side["test"] - by_side["train"]).rename("gap").reset_index()
    rows = rows[rows["partition"] == partition].merge(gap, on=["member", "step"])
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
