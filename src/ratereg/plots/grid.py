"""Tidy tables with words for data and model, and a grid of small panels made of one, with a legend below."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ratereg.plots.style import COLORS, NETWORKS, STYLE, draw_means
from ratereg.summary import groups, labels, over_seeds

__all__ = ["draw_betas", "evenly", "grid", "labeled", "model_colors", "network_color", "seed_means"]


def labeled(rows: pd.DataFrame, *, short: bool = True) -> pd.DataFrame:
    """Return rows with words for the data as column `panel`, and for the model as column `series`.

    Different settings have different words, as of `ratereg.summary.labels`.
    """
    words = labels(rows, short=short)
    return rows.assign(panel=words["data"].to_numpy(), series=words["network"].to_numpy())


def network_color(row: pd.Series) -> str:
    """Return the color of a row's network: that of its family or depth, or black."""
    return NETWORKS.get(row["network"], NETWORKS.get(row["layers"], "#000000"))


def model_colors(rows: pd.DataFrame) -> dict[str, str]:
    """Return a color for each `series` of labeled rows: that of its depth, and for a second one of a depth another."""
    found: dict[str, str] = {}
    for _, network in rows.drop_duplicates("series").iterrows():
        free = [color for color in (network_color(network), *COLORS) if color not in found.values()]
        found[network["series"]] = free[0] if free else COLORS[len(found) % len(COLORS)]
    return found


def evenly(betas: Iterable[float], count: int) -> list[float]:
    """Return at most `count` of the betas, evenly picked from the largest to the smallest."""
    known = sorted(set(betas), reverse=True)
    return [known[place] for place in np.unique(np.linspace(0, len(known) - 1, count).round().astype(int))]


def seed_means(rows: pd.DataFrame, measures: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the means over seeds of labeled rows as a tidy table, a row for each curve, place and measure.

    Its columns are panel, series, partition, beta, those of `by`, measure, value, low and high (the ends of the 95% t
    interval) and seeds. A measure without a value has no row.
    """
    place = ["panel", "series", "partition", "beta", *by]
    wide = over_seeds(rows, measures, by=("panel", "series", *by))
    parts = []
    for one in measures:
        part = wide[[*place, one, f"{one}_low", f"{one}_high", "seeds"]]
        part = part.set_axis([*place, "value", "low", "high", "seeds"], axis="columns")
        parts.append(part.assign(measure=one).dropna(subset="value"))
    return pd.concat(parts, ignore_index=True)


def grid(
    table: pd.DataFrame,
    draw: Callable[[Axes, pd.DataFrame], None],
    keys: Sequence[Line2D],
    *,
    xlabel: str,
    ylabel: str,
    rows: Sequence[str] = ("panel",),
    columns: Sequence[str] = ("series",),
    title: str = "{series}\n{panel}",
    height: float = 2.4,
    share: tuple[bool | Literal["row", "col"], bool | Literal["row", "col"]] = (True, True),
    ncols: int = 4,
) -> Figure:
    """Draw each part of a table into a panel of its own, by default a row for each data set, a column for each model.

    Values of the table's columns `rows` have a row of panels each, and in it those of `columns` a panel each. A row has
    its `height` in inches, and `ylabel` beside it; a panel has its `title`, unless the panel above has the same. In
    both {name} stands for a column's value. `share` is pyplot's `sharex` and `sharey`. The legend has the entries
    `keys`, in at most `ncols` columns.
    """
    cells = [groups(row, columns) for row in groups(table, rows)]
    shape = (len(cells), max(map(len, cells)))
    with plt.style.context(STYLE):
        size = (6.4, 1.1 + height * shape[0])
        fig, axes = plt.subplots(*shape, figsize=size, sharex=share[0], sharey=share[1], squeeze=False)
        above = [""] * shape[1]
        for panels, row in zip(axes, cells, strict=True):
            for panel in panels[len(row) :]:
                panel.set_visible(False)
            titles = [title.format(**part.iloc[0]) for part in row]
            for panel, part, words, before in zip(panels, row, titles, above, strict=False):
                draw(panel, part)
                panel.set_title(words if words != before else "", fontsize=10)
            panels[0].set_ylabel(ylabel.format(**row[0].iloc[0]), fontsize=10)
            above = titles
        for panel in axes[-1]:
            panel.set_xlabel(xlabel)
        fig.legend(handles=keys, loc="outside lower center", ncols=min(ncols, len(keys)))
    return fig


def draw_betas(panel: Axes, table: pd.DataFrame, x: str, colors: Mapping[float, str], **style: Any) -> None:
    """Draw a curve of means against column x for each beta."""
    for beta, color in colors.items():
        curve = table[table["beta"] == beta]
        draw_means(panel, curve, x, color=color, label=rf"$\beta$ = {beta:g}", **({"marker": "o", "ms": 4} | style))
