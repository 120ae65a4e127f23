"""Distortion by how difficult the test images are: by data set, and by a test image's distance to training."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ratereg.plots.data import carry
from ratereg.plots.style import MARKERS, STYLE, WORDS, beta_colors, finished, interval, key
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, mean_interval, network_label

__all__ = ["difficulty", "distance_distortion"]


def difficulty(results: Results, *, distances: Mapping[str, float], others: Sequence[Results] = ()) -> Figure:
    """Draw the distortion of training and test images, a line of the figure for each data set, near to far.

    A panel per network, a color per beta. Circles are test images, with 95% t intervals over seeds; triangles training
    images; the line between them is the gap.

    Arguments:
        results: of any study.
        distances: for each data set, by its short label, the mean distance of test images to training, which orders it.
        others: more results, whose data sets are drawn with the betas and networks that `results` has too.

    Raises:
        ValueError: a data set has no distance.
    """
    betas = beta_colors(results.final["beta"].unique())
    lines = _lines(results, others, distances)
    names = [network_label(network) for network in groups(results.final, NETWORK)]
    with plt.style.context(STYLE):
        height = 1.3 + (0.3 + 0.12 * len(betas)) * len(lines)
        fig, axes = plt.subplots(1, len(names), figsize=(6.4, height), sharex=True, sharey=True, squeeze=False)
        for panel, name in zip(axes.flat, names, strict=True):
            for place, (_, rows) in enumerate(lines):
                here = [network for network in groups(rows, NETWORK) if network_label(network) == name]
                for index, (beta, color) in enumerate(betas.items()):
                    for network in here:
                        # Side by side around the middle of the line.
                        at = place + 0.7 * ((index + 0.5) / len(betas) - 0.5)
                        _draw_gap(panel, network[network["beta"] == beta], at, beta, color)
            panel.set_title(name)
            panel.set_xlabel("distortion (nats)")
            for edge in range(1, len(lines)):
                panel.axhline(edge - 0.5, color="0.85", lw=0.8)
            panel.grid(visible=False, axis="y")
            # Few enough that those of neighboring panels stay apart.
            panel.xaxis.set_major_locator(MaxNLocator(5, prune="upper"))
        axes.flat[0].set_yticks(range(len(lines)), [label for label, _ in lines], fontsize=9)
        axes.flat[0].set_ylim(len(lines) - 0.5, -0.5)
        keys = [key(color=color, label=rf"$\beta$ = {beta:g}") for beta, color in betas.items()]
        keys += [key(ls="", marker=MARKERS["test"], label=WORDS["test"])]
        keys += [key(ls="", marker=MARKERS["train"], mfc="white", label=WORDS["train"])]
        fig.legend(handles=keys, loc="outside lower center", ncols=4)
    return finished(fig)


def _lines(
    results: Results, others: Sequence[Results], distances: Mapping[str, float]
) -> list[tuple[str, pd.DataFrame]]:
    """Return labels and rows of the data sets, near to far."""
    found = []
    for one in (results, *others):
        for rows in groups(one.final, DATA):
            name = data_label(rows, short=True)
            if name not in distances:
                raise ValueError(f"difficulty: distances has {', '.join(distances)}; give one for {name!r} too.")
            # Results of other studies are of networks of another age.
            age = "" if one.study.steps == results.study.steps else f"{one.study.steps:,} steps, "
            label = f"{name}\n{age}distance {distances[name]:.3f}"
            found.append((distances[name], label, rows))
    return [(label, rows) for _, label, rows in sorted(found, key=lambda line: line[0])]


def _draw_gap(panel: Axes, rows: pd.DataFrame, at: float, beta: float, color: str) -> None:
    test, train = (mean_interval(rows.loc[rows["partition"] == name, "distortion"]) for name in ("test", "train"))
    gap = panel.plot([train.mean, test.mean], [at, at], color=color, lw=0.8, alpha=0.6)
    looks: dict[str, dict[str, Any]] = {
        "train": {"ms": 5, "mfc": "white"},
        "test": {"ms": 6, "mec": "white", "mew": 0.7, "zorder": 4},
    }
    for name, one in (("train", train), ("test", test)):
        style = {"color": color, "label": rf"$\beta$ = {beta:g}, {WORDS[name]}"} | looks[name]
        (point,) = panel.plot(one.mean, at, MARKERS[name], **style)
        carry(point, *gap, low=one.low, high=one.high)
    seeds = rows[rows["partition"] == "test"]
    label = rf"$\beta$ = {beta:g}, {WORDS['test']}, seeds"
    dots = panel.plot(seeds["distortion"], [at] * len(seeds), ".", ms=3, color=color, alpha=0.6, label=label)
    carry(*dots, seed=seeds["seed"].to_numpy())
    interval(panel, [test.low, test.high], [at, at], color=color, lw=2.2)


def distance_distortion(results: Results) -> Figure:
    """Draw test distortion against the distance to the nearest training image: a panel per data set and network.

    A line per beta, with the mean over seeds and its 95% t interval for each class of equally many test images.

    Raises:
        ValueError: the results have no distances.
    """
    if "distance" not in results.arrays:
        raise ValueError("distance_distortion: results has no distances; give those of a study with `distances`.")
    rows = results.final[results.final["partition"] == "test"]
    colors = beta_colors(rows["beta"].unique())
    table = [groups(data, NETWORK) for data in groups(rows, DATA)]
    with plt.style.context(STYLE):
        # Each data set has an axis of its own: what is cheap for one may be beyond reach for another.
        size = (6.4, 1.1 + 2.4 * len(table))
        fig, axes = plt.subplots(len(table), len(table[0]), figsize=size, sharex=True, sharey="row", squeeze=False)
        for panels, networks in zip(axes, table, strict=True):
            for panel, here in zip(panels, networks, strict=True):
                _draw_classes(panel, results, here, colors)
                panel.set_title(f"{network_label(here)}\n{data_label(here, short=True)}", fontsize=10)
            panels[0].set_ylabel("test distortion (nats)")
        for panel in axes[-1]:
            panel.set_xlabel("distance to the nearest\ntraining image")
        keys = [key(color=color, marker="o", ms=4, label=rf"$\beta$ = {beta:g}") for beta, color in colors.items()]
        fig.legend(handles=keys, loc="outside lower center", ncols=min(6, len(keys)))
    return finished(fig)


def _draw_classes(panel: Axes, results: Results, rows: pd.DataFrame, colors: Mapping[float, str]) -> None:
    for beta, color in colors.items():
        members = rows.loc[rows["beta"] == beta, "member"].to_numpy(dtype=int)
        away = results.arrays["distance"][members].mean(axis=0)
        ranges = [mean_interval(one) for one in results.arrays["distance_distortion"][members].T]
        label = rf"$\beta$ = {beta:g}"
        (line,) = panel.plot(away, [one.mean for one in ranges], "o-", ms=4, color=color, label=label)
        carry(line, low=[one.low for one in ranges], high=[one.high for one in ranges])
        for place, one in zip(away, ranges, strict=True):
            interval(panel, [place, place], [one.low, one.high], color=color, lw=1.2)
