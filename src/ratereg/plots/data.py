"""The numbers behind a figure, read from what is drawn in it, whoever drew it."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import AxLine, Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

__all__ = ["Panel", "carry", "figure_data", "leave_out", "panels", "plain"]

_POINTS = 2500
"""A series or a map has at most so many points in the data; of more, evenly picked ones."""

_COLUMNS = ("panel", "x_axis", "y_axis", "series", "kind", "x", "y", "low", "high", "value")
_OPTIONAL = ("low", "high", "value")
_UNNAMED = re.compile(r"_(child|container)\d+$|_nolegend_$|$")


class Panel(NamedTuple):
    """A panel of a figure, with the words that stand around it, or those of the panels whose words it shares."""

    axes: Axes
    name: str
    x_axis: str
    y_axis: str


def plain(text: str) -> str:
    r"""Return a label without line breaks and mathematical notation: "beta = 0.1" for "$\beta$ = 0.1"."""
    words = re.sub(r"\\(?:mathrm|mathbf|text)\b", "", text.replace("$", ""))
    words = re.sub(r"\\([A-Za-z]+)", r"\1", words)
    words = re.sub(r"[{}\\]", "", words).replace("−", "-").replace("β", "beta").replace("σ", "sigma")
    return " ".join(words.split())


def carry(artist: Line2D, *others: Artist, **columns: Any) -> None:
    """Give the points of a line more columns in the figure's data, which other artists show too.

    Arguments:
        artist: whose points they are.
        others: drawn from the same numbers, such as intervals and markers: left out of the data.
        columns: a value for all points or one for each; `low` and `high` are the ends of an interval.
    """
    artist.__dict__.setdefault("_ratereg_columns", {}).update(columns)
    for other in others:
        leave_out(other)


def leave_out(artist: Artist) -> None:
    """Leave an artist out of the figure's data, as another one carries its numbers."""
    # No gid: a picture would have many things of one name.
    artist.__dict__["_ratereg_left_out"] = True


def panels(fig: Figure) -> list[Panel]:
    """Return the figure's visible panels but for color bars, from the upper left on."""
    shown = [one for one in fig.axes if one.get_visible() and one.get_label() != "<colorbar>"]
    names = [plain(str(one.get_label())) or _title(one, shown) for one in shown]
    return [
        Panel(
            one,
            name or (f"panel {index}" if len(shown) > 1 else ""),
            _axis_label(one, shown, "x", fig.get_supxlabel()),
            _axis_label(one, shown, "y", fig.get_supylabel()),
        )
        for index, (one, name) in enumerate(zip(shown, names, strict=True), 1)
    ]


def _title(panel: Axes, shown: list[Axes]) -> str:
    """Of the panel or, in a grid that is named at its edges, of its column."""
    titles = [panel, *(other for other in shown if _same(panel, other, "colspan"))]
    title = next((one.get_title() for one in titles if one.get_title()), "")
    return plain(title.replace("\n", ", "))


def _axis_label(panel: Axes, shown: list[Axes], which: str, figures: str) -> str:
    """Return an axis's label: the panel's own, or that of a panel that shares the axis at the grid's edge."""
    own: str = getattr(panel, f"get_{which}label")()
    if own:
        return plain(own)
    shared = getattr(panel, f"get_shared_{which}_axes")()
    span = "colspan" if which == "x" else "rowspan"
    for other in shown:
        label: str = getattr(other, f"get_{which}label")()
        if label and shared.joined(panel, other) and _same(panel, other, span):
            return plain(label)
    return plain(figures)


def _same(panel: Axes, other: Axes, span: str) -> bool:
    mine, others = panel.get_subplotspec(), other.get_subplotspec()
    return mine is not None and others is not None and getattr(mine, span) == getattr(others, span)


def figure_data(fig: Figure) -> pd.DataFrame:
    """Return the numbers that a figure shows, a row for each point, bar, interval or cell of a map.

    Columns: `panel`; `x_axis` and `y_axis`, the axes' labels; `series`, the legend's word; `kind` (line, points, bar,
    band, level, map); `x` and `y`, with the tick's label where places have names; where there are any, `low` and
    `high`, the ends of intervals and bands, and `value` of a map; and what `carry` added. Photographs are left out.
    Series and maps of more than 2,500 points are thinned evenly, which `kind` says.
    """
    parts = []
    for panel in panels(fig):
        names = _names_by_color(panel.axes)
        for artist, name, kind, columns in _drawn(panel.axes):
            if artist.__dict__.get("_ratereg_left_out"):
                continue
            extra: Mapping[str, Any] = artist.__dict__.get("_ratereg_columns", {})
            rows, step = _thinned(pd.DataFrame(columns | dict(extra)), kind)
            kind = kind if step == 1 else f"{kind}, every {step}th"
            word = plain(name) or names.get(_color(artist), "")
            about = {"panel": panel.name, "x_axis": panel.x_axis, "y_axis": panel.y_axis, "series": word, "kind": kind}
            parts.append(rows.assign(**about))
        for place in ("x", "y"):
            _name_places(panel.axes, place, parts, panel.name)
    data = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    data = data.reindex(columns=[*_COLUMNS, *(name for name in data if name not in _COLUMNS)])
    return data.drop(columns=[name for name in _OPTIONAL if data[name].isna().all()])


def _drawn(panel: Axes) -> Iterator[tuple[Artist, str, str, dict[str, Any]]]:
    """Yield what the panel shows: artist, label, kind and columns."""
    held: set[int] = set()
    for container in panel.containers:
        held.update(id(one) for one in container.get_children())
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            line = container.lines[0]
            yield line, _label(container), _kind(line), _line_columns(line) | _error_columns(container, line)
        elif isinstance(container, BarContainer):
            bars = [one for one in container.patches if isinstance(one, Rectangle)]
            columns = {
                "x": [one.get_x() + one.get_width() / 2 for one in bars],
                "y": [one.get_height() for one in bars],
            }
            yield bars[0], _label(container), "bar", columns
    for artist in panel.get_children():
        if id(artist) in held or not artist.get_visible():
            continue
        name = _label(artist)
        if isinstance(artist, Line2D) and not isinstance(artist, AxLine):
            across, along = artist.get_transform().contains_branch_seperately(panel.transData)
            if across and along and len(np.atleast_1d(artist.get_xdata())):
                yield artist, name, _kind(artist), _line_columns(artist)
            elif across != along and name:
                yield artist, name, "level", {key: column[:1] for key, column in _level(artist, along).items()}
        elif isinstance(artist, Rectangle) and artist is not panel.patch:
            across, along = artist.get_transform().contains_branch_seperately(panel.transData)
            if along and not across:
                low = float(artist.get_y())
                yield artist, name, "band", {"x": [np.nan], "low": [low], "high": [low + float(artist.get_height())]}
        # A band without numbers has no outline.
        elif isinstance(artist, FillBetweenPolyCollection) and artist.get_paths():
            corners = pd.DataFrame(np.asarray(artist.get_paths()[0].vertices), columns=["x", "y"])
            ends = corners.groupby("x")["y"].agg(low="min", high="max").reset_index()
            yield artist, name, "band", {key: ends[key].to_numpy() for key in ("x", "low", "high")}
        elif isinstance(artist, PathCollection):
            x, y = np.ma.filled(artist.get_offsets(), np.nan).T
            yield artist, name, "points", {"x": x, "y": y}
        elif isinstance(artist, QuadMesh):
            mesh = np.asarray(artist.get_coordinates())
            centers = (mesh[1:, 1:] + mesh[:-1, :-1] + mesh[1:, :-1] + mesh[:-1, 1:]) / 4
            yield artist, name, "map", _map(centers[..., 0], centers[..., 1], artist.get_array())
        elif isinstance(artist, AxesImage) and _is_map(artist):
            yield artist, name, "map", _image_columns(artist)


def _label(artist: Any) -> str:
    """Return what the artist was labeled; a leading underscore keeps a word out of the legend, not out of the data."""
    label = str(artist.get_label() or "")
    return "" if _UNNAMED.match(label) else label.lstrip("_")


def _kind(line: Line2D) -> str:
    return "points" if line.get_linestyle() in ("None", " ", "") else "line"


def _line_columns(line: Line2D) -> dict[str, Any]:
    return {"x": np.atleast_1d(line.get_xdata(orig=False)), "y": np.atleast_1d(line.get_ydata(orig=False))}


def _level(line: Line2D, along: bool) -> dict[str, Any]:
    # As numbers: what was given may be a tensor.
    return (
        {"y": np.atleast_1d(line.get_ydata(orig=False))} if along else {"x": np.atleast_1d(line.get_xdata(orig=False))}
    )


def _error_columns(container: ErrorbarContainer, line: Line2D) -> dict[str, Any]:
    if not container.has_yerr:
        return {}
    ends = {float(x): sorted((low, high)) for (x, low), (_, high) in container.lines[2][-1].get_segments()}
    missing = (np.nan, np.nan)
    pairs = np.array([ends.get(float(x), missing) for x in np.atleast_1d(line.get_xdata(orig=False))])
    return {"low": pairs[:, 0], "high": pairs[:, 1]}


def _is_map(image: AxesImage) -> bool:
    values = image.get_array()
    return values is not None and values.ndim == 2 and values.dtype != np.uint8


def _image_columns(image: AxesImage) -> dict[str, Any]:
    values = image.get_array()
    assert values is not None
    rows, columns = values.shape
    left, right, bottom, top = image.get_extent()
    if image.origin == "upper":
        bottom, top = top, bottom
    x, y = ((np.arange(n) + 0.5) / n for n in (columns, rows))
    across, along = np.meshgrid(left + x * (right - left), bottom + y * (top - bottom))
    return _map(across, along, values)


def _map(x: np.ndarray, y: np.ndarray, values: Any) -> dict[str, Any]:
    step = 1
    while x[::step, ::step].size > _POINTS:
        step += 1
    cells: np.ndarray = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan).reshape(x.shape)[::step, ::step]
    return {"x": x[::step, ::step].ravel(), "y": y[::step, ::step].ravel(), "value": cells.ravel(), "step": step}


def _thinned(rows: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, int]:
    if kind == "map":
        return rows.drop(columns="step").dropna(subset="value"), int(rows["step"].iloc[0])
    step = -(-len(rows) // _POINTS)
    return rows.iloc[::step], step


def _name_places(panel: Axes, which: str, parts: list[pd.DataFrame], name: str) -> None:
    """Put the tick's label in the place of a number where an axis has names instead of numbers."""
    axis = getattr(panel, f"{which}axis")
    formatter = axis.get_major_formatter()
    # Matplotlib gives ticks with labels of their own a formatter that looks them up.
    named = isinstance(formatter, FuncFormatter) and isinstance(formatter.func, partial)
    if axis.get_scale() != "linear" or not named:
        return
    places = np.asarray(axis.get_majorticklocs(), dtype=float)
    words = np.array([plain(formatter(place)) for place in places], dtype=object)
    for rows in parts:
        if len(rows) and rows["panel"].iloc[0] == name and which in rows and rows[which].notna().all():
            nearest = np.abs(rows[which].to_numpy(dtype=float)[:, None] - places).argmin(axis=1)
            rows[which] = words[nearest]


def _names_by_color(panel: Axes) -> dict[str, str]:
    """Return the words of the figure's legends and labeled artists, by color where a color has one alone."""
    found: dict[str, set[str]] = {}
    figure = panel.get_figure(root=True)
    legends = [*(figure.legends if figure else ()), *([panel.get_legend()] if panel.get_legend() else [])]
    for legend in legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if handle is not None:
                found.setdefault(_color(handle), set()).add(plain(text.get_text()))
    for artist in panel.get_children():
        if isinstance(artist, Line2D) and _label(artist) and artist.get_transform() == panel.transData:
            found.setdefault(_color(artist), set()).add(plain(_label(artist)))
    return {color: words.pop() for color, words in found.items() if color and len(words) == 1}


def _color(artist: Artist) -> str:
    """Return the color as hexadecimal digits, or nothing where there is not one."""
    try:
        color: Any = artist.get_color() if isinstance(artist, Line2D) else artist.get_facecolor()  # type: ignore[attr-defined]
        return to_hex(tuple(np.reshape(color, -1)[:3]) if np.ndim(color) else color)
    except (AttributeError, ValueError):
        return ""
