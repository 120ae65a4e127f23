"""The table that a figure shows, and words for it: the contract between a notebook and the site.

A function of `ratereg.plots` attaches to its figure the tidy table that it drew, with a description (`carry`). A
notebook that draws a figure can do the same; otherwise the table is read from the figure's lines and maps.
With `use_style`, an executed notebook keeps in each figure's output, next to "image/svg+xml":

- "text/csv": the table, which the site offers for download; absent where there are no numbers, as for photographs;
- "application/vnd.ratereg.figure+json": {"description": sentences with the numbers of the table, which the site appends
  to the alternative text; "letters": size of the smallest letters in points, which decides how far the site may shrink
  the figure}.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = ["FIGURE", "bundle", "carry", "description", "figure_data", "in_words", "plain", "smallest_letters"]

FIGURE = "application/vnd.ratereg.figure+json"
"""The MIME type of a figure's description and letters in a notebook."""

_POINTS = 2500
"""Largest number of points of a series in a table that is read from a figure; longer series are thinned evenly."""

_CURVES = 6
"""Largest number of curves that are described one by one."""


def carry(fig: Figure, table: pd.DataFrame, words: str = "") -> Figure:
    """Attach to a figure the table that it shows, with a description in words, and return the figure."""
    fig.__dict__.update(_ratereg_table=table, _ratereg_words=words)
    return fig


def description(fig: Figure) -> str:
    """Return the words that were attached to a figure, or an empty string."""
    return str(fig.__dict__.get("_ratereg_words", ""))


def bundle(fig: Figure) -> dict[str, Any]:
    """Return what a notebook keeps of a figure in addition to its picture."""
    kept: dict[str, Any] = {FIGURE: {"description": description(fig), "letters": round(smallest_letters(fig), 2)}}
    table = figure_data(fig)
    if len(table):
        kept["text/csv"] = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return kept


def figure_data(fig: Figure) -> pd.DataFrame:
    """Return the table that a figure shows: the one that was attached with `carry`, or one that is read from it.

    The latter has the lines and maps of the figure's panels, in the columns panel, x_axis, y_axis, series, x, y
    and, for maps, value. A level, the same in the whole panel, has no x or no y.
    """
    if "_ratereg_table" in fig.__dict__:
        table: pd.DataFrame = fig.__dict__["_ratereg_table"]
        return table
    parts = [pd.DataFrame(columns=["panel", "x_axis", "y_axis", "series"])]
    for index, panel in enumerate((one for one in fig.axes if one.get_label() != "<colorbar>"), 1):
        words = panel.get_title() or str(index), panel.get_xlabel() or fig.get_supxlabel()
        about = [*map(plain, (*words, panel.get_ylabel() or fig.get_supylabel()))]
        for label, columns in _drawn(panel):
            # A leading underscore keeps a label out of the legend, and not out of the table.
            unnamed = re.fullmatch(r"_(child|container)\d+|_nolegend_", label)
            rows = pd.DataFrame(columns)[:: -(-len(columns["y"]) // _POINTS)]
            names = [*about, "" if unnamed else plain(label.lstrip("_"))]
            parts.append(rows.assign(**dict(zip(parts[0].columns, names, strict=True))))
    return pd.concat(parts, ignore_index=True)


def _drawn(panel: Axes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the label and the columns of each series of numbers in a panel."""
    errors = {one.lines[0]: one.get_label() for one in panel.containers if isinstance(one, ErrorbarContainer)}
    for line in (one for one in panel.lines if one.get_label() != "_interval"):
        x, y = (np.atleast_1d(values) for values in line.get_data(orig=False))
        with_x, with_y = line.get_transform().contains_branch_seperately(panel.transData)
        label = str(errors.get(line, line.get_label()))
        if with_x and with_y:
            yield label, {"x": x, "y": y}
        # A line without a label is for the eye.
        elif not label.startswith("_child") and with_x != with_y:
            yield label, {"x": x[:1], "y": [np.nan]} if with_x else {"x": [np.nan], "y": y[:1]}
    for image in panel.images:
        values: np.ma.MaskedArray = np.ma.asarray(image.get_array())
        # Photographs consist of bytes, or have colors.
        if values.ndim == 2 and values.dtype != np.uint8:
            left, right, bottom, top = image.get_extent()
            ends = (left, right), (top, bottom) if image.origin == "upper" else (bottom, top)
            axes = (np.linspace(*pair, 2 * n + 1)[1::2] for pair, n in zip(ends, values.shape[::-1], strict=True))
            x, y = map(np.ravel, np.meshgrid(*axes))
            yield str(image.get_label()), {"x": x, "y": y, "value": values.filled(np.nan).ravel()}


def in_words(table: pd.DataFrame, x: str, y: str = "value") -> str:
    """Return sentences with the first and the last value of each curve, or the range of values of many curves.

    The table has the columns panel, series, beta, x and y (values in nats), and `measure` where y is "value".
    """
    table = table.dropna(subset=y)
    names = table["panel"] + ", " + table["series"]
    if x != "beta":
        names += ", beta = " + table["beta"].map("{:g}".format)
    names += ": " + (table["measure"] if y == "value" else y)
    curves = [(name, curve.sort_values(x)[[x, y]]) for name, curve in table.groupby(names, sort=False)]
    if len(curves) > _CURVES:
        return f"{len(curves)} curves, with values from {table[y].min():.4g} to {table[y].max():.4g} nats."
    sentences = []
    for name, curve in curves:
        (start, first), (end, last) = curve.iloc[[0, -1]].to_numpy()
        more = f", and {last:.4g} at {end:g}" if len(curve) > 1 else ""
        sentences.append(f"{str(name).replace('_', ' ').replace('kl', 'KL')} is {first:.4g} at {x} = {start:g}{more}.")
    return " ".join(sentences)


def plain(text: str) -> str:
    r"""Return a label without line breaks and mathematical notation: "beta = 0.1" for "$\beta$ = 0.1"."""
    words = re.sub(r"[{}$\\]", "", re.sub(r"\\(mathrm|mathbf|text)\b", "", text))
    return " ".join(words.replace("−", "-").replace("β", "beta").replace("σ", "sigma").split())


def smallest_letters(fig: Figure) -> float:
    """Return the size of a figure's smallest letters in points; subscripts and exponents have 70% of the size."""
    fig.draw_without_rendering()
    texts = [text for text in fig.findobj(Text) if text.get_text().strip() and text.get_visible()]
    sizes = [float(text.get_fontsize()) * (0.7 if re.search(r"\$.*[_^].*\$", text.get_text()) else 1) for text in texts]
    return float(min(sizes, default=0.0))
