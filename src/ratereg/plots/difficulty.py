"""Distortion by how difficult the test images are: by data set, and by a test image's distance to training."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ratereg.plots.data import in_words
from ratereg.plots.grid import draw_betas, grid, labeled, seed_means
from ratereg.plots.style import MARKERS, WORDS, beta_colors, beta_keys, finished, interval, key
from ratereg.studies import Results
from ratereg.summary import groups, mean_interval

__all__ = ["difficulty", "distance_distortion"]


def difficulty(results: Results, *, distances: Mapping[str, float], others: Sequence[Results] = ()) -> Figure:
    """Draw the distortion of training and test images, a line of the figure for each data set, near to far.

    One panel per model, one color per beta. Circles are test images, with 95% t intervals over seeds; triangles are
    training images; the line between them is the gap.

    Arguments:
        results: results of any study.
        distances: mean distance of test images to training for each data set, by its short label; the order of lines.
        others: more results, whose data sets are drawn with the betas and models that `results` has too.

    Raises:
        ValueError: a data set has no distance.
    """
    colors = beta_colors(results.final["beta"])
    rows = pd.concat([_lines(one, results.final["steps"].iloc[0], distances) for one in (results, *others)])
    rows = rows[rows["beta"].isin(colors) & rows["partition"].isin(MARKERS)]
    rows = rows[rows["series"].isin(labeled(results.final)["series"])].sort_values("distance", kind="stable")
    lines = list(dict.fromkeys(rows["line"]))
    table = seed_means(rows, ("distortion",), by=("line",)).sort_values("series", kind="stable")
    styles: dict[str, dict[str, Any]] = {
        "train": {"ms": 5, "mfc": "white"},
        "test": {"ms": 6, "mec": "white", "mew": 0.7, "zorder": 4},
    }

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        seeds = rows[(rows["series"] == here["series"].iloc[0]) & (rows["partition"] == "test")]
        for gap in groups(here, ["line", "beta"]):
            (line, beta), color = gap[["line", "beta"]].iloc[0], colors[gap["beta"].iloc[0]]
            # Betas lie next to each other around the middle of a line.
            place = lines.index(line) + 0.7 * ((list(colors).index(beta) + 0.5) / len(colors) - 0.5)
            panel.plot(gap["value"], [place] * len(gap), color=color, lw=0.8, alpha=0.6)
            dots = seeds.loc[(seeds["line"] == line) & (seeds["beta"] == beta), "distortion"]
            panel.plot(dots, [place] * len(dots), ".", ms=3, color=color, alpha=0.6)
            for partition, value, low, high in gap[["partition", "value", "low", "high"]].itertuples(index=False):
                panel.plot(value, place, MARKERS[partition], color=color, **styles[partition])
                if partition == "test":
                    interval(panel, [low, high], [place, place], color=color, lw=2.2)
        for edge in range(1, len(lines)):
            panel.axhline(edge - 0.5, color="0.85", lw=0.8)
        panel.grid(visible=False, axis="y")
        # Few numbers, so that those of neighboring panels stay apart.
        panel.xaxis.set_major_locator(MaxNLocator(5, prune="upper"))
        panel.set_yticks(range(len(lines)), lines, fontsize=9)
        panel.set_ylim(len(lines) - 0.5, -0.5)

    keys = [*beta_keys(colors), key(ls="", marker=MARKERS["test"], label=WORDS["test"])]
    keys.append(key(ls="", marker=MARKERS["train"], mfc="white", label=WORDS["train"]))
    height = 0.2 + (0.3 + 0.12 * len(colors)) * len(lines)
    layout: dict[str, Any] = {"rows": ["measure"], "title": "{series}", "height": height}
    fig = grid(table, draw, keys, xlabel="distortion (nats)", ylabel="", **layout)
    return finished(fig, table, in_words(table[table["partition"] == "test"], "beta"))


def _lines(results: Results, steps: int, distances: Mapping[str, float]) -> pd.DataFrame:
    """Return labeled rows with the distance, and the label of their line as `line`."""
    rows = labeled(results.final)
    for name in rows["panel"].unique():
        if name not in distances:
            raise ValueError(f"difficulty: distances has {', '.join(distances)}; give one for {name!r} too.")
    # Results of other studies can be of networks that were trained for longer or shorter.
    age = [f"{own:,} steps, " if own != steps else "" for own in rows["steps"]]
    away = rows["panel"].map(distances)
    words = [f"{name}\n{more}distance {one:.3f}" for name, more, one in zip(rows["panel"], age, away, strict=True)]
    return rows.assign(distance=away, line=words)


def distance_distortion(results: Results) -> Figure:
    """Draw test distortion against the distance to the nearest training image: one panel per data set and model.

    A line per beta, with the mean over seeds and its 95% t interval for each class of equally many test images.

    Raises:
        ValueError: the results have no distances.
    """
    if "distance" not in results.arrays:
        raise ValueError("distance_distortion: results has no distances; measure `ByDistance` first.")
    rows = labeled(results.final[results.final["partition"] == "test"])
    colors = beta_colors(rows["beta"])
    found = []
    for part in groups(rows, ["panel", "series", "beta"]):
        members = part["member"].to_numpy(dtype=int)
        of_class = (results.arrays[name][members].T for name in ("distance", "distance_distortion"))
        curve = part[["panel", "series", "beta"]].iloc[0]
        for away, values in zip(*of_class, strict=True):
            found.append((*curve, away.mean(), "distortion", *mean_interval(values)))
    columns = ["panel", "series", "beta", "distance", "measure", "value", "low", "high", "seeds"]
    table = pd.DataFrame(found, columns=columns)
    fig = grid(
        table,
        lambda panel, here: draw_betas(panel, here, "distance", colors),
        beta_keys(colors, marker="o", ms=4),
        xlabel="distance to the nearest\ntraining image",
        ylabel="test distortion (nats)",
        # Each data set has an axis of its own: what is cheap for one may be out of reach for another.
        share=(True, "row"),
    )
    return finished(fig, table, in_words(table, "distance"))
