"""Training as a path: rate and distortion step by step, the parts of the rate, and the gap; values in nats."""

from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ratereg.plots.curves import small_panels
from ratereg.plots.data import carry
from ratereg.plots.style import LINES, MARKERS, STYLE, WORDS, beta_colors, finished, interval, key
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, network_label, over_seeds

__all__ = ["training_parts", "training_paths"]

_FIRST: dict[str, Any] = {"ms": 7, "mfc": "white", "mew": 1.5}
_LAST: dict[str, Any] = {"ms": 7, "mec": "black", "mew": 1.2}


def training_paths(results: Results) -> Figure:
    """Draw the path of training in the plane of rate and distortion (log axes): a panel per data set, split, network.

    Means over seeds at the recorded steps, a color per beta, for training and test images; the first point is hollow,
    the last one large and edged in black.
    """
    rows = results.table[results.table["partition"].isin(MARKERS)]
    colors = beta_colors(rows["beta"].unique())

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        means = over_seeds(here, ("rate", "distortion"), by=("step",)).sort_values("step")
        for path in groups(means, ["beta", "partition"]):
            beta, partition = path["beta"].iloc[0], path["partition"].iloc[0]
            style: dict[str, Any] = {"color": colors[beta], "marker": MARKERS[partition]}
            label = rf"$\beta$ = {beta:g}, {WORDS[partition]}"
            (line,) = panel.plot(
                path["rate"], path["distortion"], ms=4, lw=1.2, ls=LINES[partition], label=label, **style
            )
            carry(line, step=path["step"].to_numpy())
            for end, look in ((path.iloc[:1], _FIRST), (path.iloc[-1:], _LAST)):
                carry(line, *panel.plot(end["rate"], end["distortion"], zorder=4, **style, **look))
        panel.set(xscale="log", yscale="log")
        for axis, name, places in ((panel.xaxis, "rate", (1, 2, 5)), (panel.yaxis, "distortion", (1, 1.5, 2, 3, 5, 7))):
            # Along more than two decades there is no room for more than these.
            many = rows[name].max() > 100 * rows[name].min()
            axis.set_major_locator(LogLocator(subs=(1,) if many else places))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())

    keys = [key(color=color, label=rf"$\beta$ = {beta:g}") for beta, color in colors.items()]
    keys += [key(ls=LINES[one], marker=MARKERS[one], ms=4, label=WORDS[one]) for one in MARKERS]
    keys += [key(marker="o", ls="", label="first recorded step", **_FIRST)]
    keys += [key(marker="o", ls="", label="last step", **_LAST)]
    return small_panels(rows, draw, keys, xlabel="rate (nats)", ylabel="distortion (nats)", height=3.6)


def training_parts(results: Results, *, partition: str = "train") -> Figure:
    """Draw three columns of panels against the training step, with a row per data set, split and network.

    They are the mutual information with its ceiling, the log of how many images were measured; the marginal KL; and
    the gap, the distortion of test images less that of training images. Means over seeds, a color per beta, with 95%
    t intervals that do not stretch the axes.

    Arguments:
        results: of any study.
        partition: whose parts of the rate, "train" or "test".

    Raises:
        ValueError: the partition is neither.
    """
    if partition not in MARKERS:
        raise ValueError(f"training_parts: partition is {partition!r}; give 'train' or 'test'.")
    table = results.table
    gap = table[table["partition"] == "test"].merge(
        table.loc[table["partition"] == "train", ["member", "step", "distortion"]],
        on=["member", "step"],
        suffixes=("", "_train"),
    )
    gap["gap"] = gap["distortion"] - gap["distortion_train"]
    parts = table[table["partition"] == partition]
    columns = (
        ("mutual_information", "mutual\ninformation", parts),
        ("marginal_kl", "marginal KL\n", parts),
        ("gap", "distortion,\ntest less training", gap),
    )
    colors = beta_colors(parts["beta"].unique())
    settings = [(data, setting) for data in groups(parts, DATA) for setting in groups(data, NETWORK)]
    with plt.style.context(STYLE):
        shape = (len(settings), len(columns))
        size = (6.4, 1.3 + 2.3 * len(settings))
        fig, axes = plt.subplots(*shape, figsize=size, sharex=True, sharey="col", squeeze=False)
        for row, (data, setting) in zip(axes, settings, strict=True):
            for panel, (measure, title, rows) in zip(row, columns, strict=True):
                means = over_seeds(rows[rows["member"].isin(setting["member"])], (measure,), by=("step",))
                _draw_steps(panel, means.sort_values("step"), measure, colors)
                # The panels are named at the edges of their grid.
                panel.set_label(f"{network_label(setting)}, {data_label(data, short=True)}: {title}")
            ceiling = setting.groupby("step")["log_n"].mean()
            row[0].plot(ceiling.index, ceiling, color="k", ls="--", lw=1.2, label="ceiling")
            row[0].set_ylabel(f"{network_label(setting)}\n{data_label(data, short=True)}\nnats", fontsize=10)
        for panel, (_, title, _) in zip(axes[0], columns, strict=True):
            panel.set_title(title)
        for panel in axes[-1]:
            panel.set_xlabel("training step")
        keys = [key(color=color, marker="o", ms=4, label=rf"$\beta$ = {beta:g}") for beta, color in colors.items()]
        keys.append(key(color="k", ls="--", label=r"ceiling, $\log$ of the images measured"))
        fig.legend(handles=keys, loc="outside lower center", ncols=min(3, len(keys)))
    return finished(fig)


def _draw_steps(panel: Axes, means: pd.DataFrame, measure: str, colors: dict[float, str]) -> None:
    for path in groups(means, ["beta"]):
        color = colors[path["beta"].iloc[0]]
        label = rf"$\beta$ = {path['beta'].iloc[0]:g}"
        (line,) = panel.plot(path["step"], path[measure], "o-", ms=3, color=color, label=label)
        low, high = (path[f"{measure}_{end}"].to_numpy() for end in ("low", "high"))
        carry(line, low=low, high=high)
        for step, *ends in zip(path["step"], low, high, strict=True):
            interval(panel, [step, step], ends, color=color)
    panel.set_xscale("log")
