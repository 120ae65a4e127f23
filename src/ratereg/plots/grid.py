"""A grid of small panels with one legend below, made of one tidy table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ratereg.plots.style import STYLE, draw_means
from ratereg.summary import groups

__all__ = ["draw_betas", "grid"]


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
    """Draw each part of a table into a panel of its own: by default a row for each data set, a column for each model.

    Arguments:
        table: tidy.
        draw: draws a part of the table into its panel.
        keys: entries of the legend.
        xlabel: label below the last row.
        ylabel: label beside each row; as in `title`, {name} stands for a column's value.
        rows: columns of the table whose values have a row of panels each.
        columns: columns of the table whose values have a panel in the row each.
        title: above each panel, unless the panel above has the same.
        height: of a row, in inches.
        share: `sharex` and `sharey` of `matplotlib.pyplot.subplots`.
        ncols: largest number of columns of the legend.
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
