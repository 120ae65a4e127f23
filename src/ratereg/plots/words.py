"""What is seen in a figure, in words, made of the numbers that are drawn in it."""

import re
from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from ratereg.plots.data import Panel, figure_data, panels

__all__ = ["describe", "smallest_letters"]

_CURVES = 6
"""So many curves are described one by one; of more it is counted which way they go."""

_EXCEPTIONS = 3
_NAMES = 6
_SUBSCRIPT = 0.7
"""The size of a subscript beside its letter, by Matplotlib's rules."""


def describe(fig: Figure) -> str:
    """Return a few sentences that say what is seen: the panels, their axes and ranges, and where each curve goes.

    They are made of the figure's data alone, and contain no mathematical notation.
    """
    shown = panels(fig)
    data = figure_data(fig).astype({"kind": str, "series": str})
    # The seeds are dots around their mean, which is described.
    data = data[~data["series"].str.endswith(", seeds")]
    of_numbers = [panel for panel in shown if (data["panel"] == panel.name).any()]
    sentences = []
    if len(shown) > 1:
        names = [panel.name for panel in shown if not re.fullmatch(r"panel \d+", panel.name)]
        named = _listed(names, "; ") if len(set(names)) == len(shown) else ""
        sentences.append(f"{len(shown)} panels{f': {named}' if named else ''}.")
    if not of_numbers:
        pictures = any(isinstance(one, AxesImage) for panel in shown for one in panel.axes.get_children())
        return " ".join([*sentences, *(["Pictures, without axes."] if pictures else [])])
    sentences.append(_axes(of_numbers, data))
    curves = data[data["kind"].str.startswith("line")]
    if len(curves):
        sentences.append(_curves(of_numbers, curves))
    others = [_others(rows, str(word), str(kind)) for (kind, word), rows in _other_series(data)]
    if others:
        sentences.append(f"{_capital(_listed(others, '; '))}.")
    return " ".join(sentences)


def _axes(shown: list[Panel], data: pd.DataFrame) -> str:
    across, along = (_axis(shown, data, which, column) for which, column in (("x", "x"), ("y", ["y", "low", "high"])))
    return f"Across: {across}. Upwards: {along}."


def _axis(shown: list[Panel], data: pd.DataFrame, which: str, columns: str | list[str]) -> str:
    labels = dict.fromkeys(getattr(panel, f"{which}_axis") for panel in shown)
    names = _listed([label for label in labels if label]) or "numbers"
    values = data[[one for one in np.atleast_1d(columns) if one in data]].to_numpy().ravel()
    numbers = pd.to_numeric(pd.Series(values), errors="coerce").dropna()
    words = dict.fromkeys(one for one in values if isinstance(one, str))
    if words:
        return f"{names}, {_listed(list(words), '; ')}".removeprefix("numbers, ")
    scales = {getattr(panel.axes, f"get_{which}scale")() for panel in shown}
    reach = f", from {_number(numbers.min())} to {_number(numbers.max())}" if len(numbers) else ""
    falls = all(getattr(panel.axes, f"{which}axis_inverted")() for panel in shown)
    scale = " on a logarithmic scale" if scales <= {"log", "symlog"} else ""
    return f"{names}{reach}{scale}{', falling' if falls and which == 'x' else ''}"


def _curves(shown: list[Panel], curves: pd.DataFrame) -> str:
    ways = []
    for panel in shown:
        here = curves[curves["panel"] == panel.name]
        reach = _reach(panel.axes)
        for word, rows in here.groupby("series", sort=False):
            y = pd.to_numeric(rows["y"], errors="coerce")
            if y.notna().sum() < 2:
                continue
            x = pd.to_numeric(rows["x"], errors="coerce")
            ordered = y.iloc[np.argsort(x.to_numpy(), kind="stable")] if x.notna().all() else y
            ordered = (ordered[::-1] if panel.axes.xaxis_inverted() else ordered).dropna()
            ways.append((panel.name, str(word) or "a curve", _way(ordered.to_numpy(dtype=float), reach), ordered))
    if not ways:
        return "Single points."
    if len(ways) <= _CURVES:
        several = len({where for where, *_ in ways}) > 1
        each = [
            f"{f'{where}, ' if several and where else ''}{word}: {way}, {_number(y.iloc[0])} to {_number(y.iloc[-1])}"
            for where, word, way, y in ways
        ]
        return f"From left to right: {'; '.join(each)}."
    total = Counter(way for _, _, way, _ in ways)
    if len(total) == 1:
        return f"From left to right, all {len(ways)} curves {_plural(ways[0][2], len(ways))}."
    counted = []
    for way, count in total.most_common():
        # Exceptions are named.
        few = [f"{word}{f' in {where}' if where else ''}" for where, word, one, _ in ways if one == way]
        named = f" ({'; '.join(few)})" if len(few) <= _EXCEPTIONS and len(few) < len(ways) / 2 else ""
        counted.append(f"{count} {_plural(way, count)}{named}")
    return f"From left to right, of {len(ways)} curves {', '.join(counted)}."


def _reach(panel: Axes) -> float:
    low, high = panel.get_ylim()
    return abs(high - low)


def _way(y: np.ndarray, reach: float) -> str:
    """Say how a curve goes from left to right, in changes that can be seen: above 3% of the panel's height."""
    least = 0.03 * reach
    first, last, low, high = y[0], y[-1], y.min(), y.max()
    if high - low < least:
        return "stays level"
    if min(first, last) - low > least and high - max(first, last) <= least:
        return "falls and then rises"
    if high - max(first, last) > least and min(first, last) - low <= least:
        return "rises and then falls"
    if min(first, last) - low > least:
        return "goes up and down"
    return "rises" if last > first else "falls"


def _other_series(data: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    others = data[~data["kind"].str.startswith("line")]
    others = others.assign(kind=others["kind"].str.split(",").str[0])
    parts = [((str(kind), str(word)), rows) for (kind, word), rows in others.groupby(["kind", "series"], sort=False)]
    return [(key, rows) for key, rows in parts if key[1] or key[0] == "map"]


def _others(rows: pd.DataFrame, word: str, kind: str) -> str:
    """Say what a series of points, bars, bands or levels, or the maps, show."""
    if kind == "map":
        maps = rows["panel"].nunique()
        return (
            f"{'a map' if maps == 1 else f'{maps} maps'} of values "
            f"from {_number(rows['value'].min())} to {_number(rows['value'].max())}"
        )
    y, x = (pd.to_numeric(rows[one], errors="coerce").dropna() for one in ("y", "x"))
    if kind == "band":
        return f"a band of {word} from {_number(rows['low'].min())} to {_number(rows['high'].max())}"
    if kind == "level":
        return f"a line of {word} at {_span(y) if len(y) else _span(x)}"
    count = f"{len(rows)} {'points' if kind == 'points' else 'bars'}"
    count = count.removesuffix("s") if len(rows) == 1 else count
    by_panel = rows.groupby("panel", sort=False).size()
    shares = f" ({', '.join(str(one) for one in by_panel)} by panel)" if len(by_panel) > 1 else ""
    return f"{word}: {count}{shares}, {_span(y) if len(y) else _span(x)}"


def _span(values: pd.Series) -> str:
    low, high = _number(values.min()), _number(values.max())
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """Three digits, and never an exponent where a reader can do without."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.7f}".rstrip("0").rstrip(".") or f"{rounded:g}"


def _listed(words: list[str], between: str = ", ") -> str:
    """Join words, the first few of them if there are many."""
    if len(words) <= _NAMES + 1:
        return between.join(words)
    return f"{between.join(words[:_NAMES])}{between}and {len(words) - _NAMES} more"


def _plural(way: str, count: int) -> str:
    if count == 1:
        return way
    verbs = {"rises": "rise", "falls": "fall", "goes": "go", "stays": "stay"}
    return " ".join(verbs.get(one, one) for one in way.split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def smallest_letters(fig: Figure) -> float:
    """Return the size of the smallest letters of a figure, in points, subscripts and exponents included."""
    fig.draw_without_rendering()
    sizes = []
    for text in fig.findobj(Text):
        if isinstance(text, Text) and text.get_text().strip() and text.get_visible():
            in_mathematics = "".join(re.findall(r"\$[^$]*\$", text.get_text()))
            sizes.append(float(text.get_fontsize()) * (_SUBSCRIPT if re.search(r"[_^]", in_mathematics) else 1))
    return float(min(sizes, default=0.0))
