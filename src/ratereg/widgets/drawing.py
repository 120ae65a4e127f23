"""Frames of widgets: Matplotlib figures on white cards, written as small inline SVG with a text alternative.

A widget has hundreds of frames. What they share is drawn once, as a backdrop, and each frame is a transparent figure
that the page lays over it. Cards are white on light and dark pages alike, like the book's figures.
"""

import base64
import html
import io
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from ratereg.plots.style import COLORS, MEASURES, STYLE

__all__ = ["SHADE", "card", "draw_parts", "in_style", "over", "png", "svg"]

SHADE = COLORS[2]
"""Color of areas: single posteriors, and the band between two bounds."""

in_style = plt.style.context(
    [STYLE, {"svg.fonttype": "none", "path.simplify": False, "figure.constrained_layout.use": False, "font.size": 11}]
)
"""Decorator of functions that draw frames."""

_NAMES = {"rate": "R", "mutual_information": "I", "marginal_kl": "KL"}
_USUAL = "font-family:[^;]*;|font-size:11px;|text-anchor:start;|stroke-dashoffset:0;|stroke-linecap:square;"
"""Styles that a browser has by itself, or the whole picture has."""

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"


def card(height: float, *places: tuple[float, float, float, float]) -> Figure:
    """Return a white figure of 4.8 inches by `height`, with panels at (left, bottom, width, height) in inches.

    On a phone its letters of 11 points are legible.
    """
    fig = Figure(figsize=(4.8, height))
    for left, bottom, width, tall in places:
        fig.add_axes((left / 4.8, bottom / height, width / 4.8, tall / height), facecolor="none")
    return fig


def over(fig: Figure) -> Figure:
    """Return a transparent figure to lay over another one, whose panels have the same places, limits and scales."""
    upper = Figure(figsize=tuple(fig.get_size_inches()), facecolor="none")
    for panel in fig.axes:
        twin = upper.add_axes(panel.get_position().bounds)
        # Only pictures on linear axes are kept pixel by pixel.
        for axis, set_scale in ((panel.xaxis, twin.set_xscale), (panel.yaxis, twin.set_yscale)):
            if axis.get_scale() != "linear":
                scale = axis.get_transform()
                set_scale("function", functions=(scale.transform, scale.inverted().transform))
        twin.set(xlim=panel.get_xlim(), ylim=panel.get_ylim(), autoscale_on=False)
        twin.axis("off")
    return upper


def svg(fig: Figure, words: str) -> str:
    """Return a figure as one inline SVG element with words as its text alternative.

    Groups, names, clipping and fonts are left out: a frame takes about a tenth of the file that Matplotlib writes.
    """
    file = io.StringIO()
    fig.savefig(file, format="svg", facecolor="none")
    root = ElementTree.fromstring(file.getvalue())
    elements = [(one.tag.rpartition("}")[2], one) for one in root.iter()]
    markers = {f"#{one.get('id')}": one.get("d", "") for tag, one in elements if tag == "path" and one.get("id")}
    # Single quotes, which JSON does not escape.
    parts = ["<rect width='100%' height='100%' rx='4' fill='#fff'/>"] if to_rgba(fig.get_facecolor())[3] else []
    for tag, one in elements:
        style = re.sub(_USUAL, "", re.sub(r"\s", "", one.get("style", "")) + ";").rstrip(";")
        if tag == "path" and one.get("d") and not one.get("id") and style != "fill:none":
            parts.append(f"<path d='{_short(one.get('d', ''))}' style='{style}'/>")
        elif tag == "use":
            place = _short(f"translate({one.get('x')} {one.get('y')})")
            parts.append(f"<path d='{_short(markers[one.get(_HREF, '')])}' transform='{place}' style='{style}'/>")
        elif tag == "text":
            place = _short(f"x='{one.get('x')}' y='{one.get('y')}' transform='{one.get('transform')}'")
            place = re.sub(r" transform='rotate\(-0 .*", "", place)
            parts.append(f"<text {place} style='{style}'>{html.escape(one.text or '')}</text>")
        elif tag == "image":
            size = " ".join(f"{name}='{one.get(name)}'" for name in ("width", "height", "transform"))
            pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(one.get(_HREF, "").partition(",")[2]))))
            parts.append(f"<image {size} style='{style}' href='{png(pixels[..., :3])}'/>")
    return (
        f"<svg role='img' aria-label='{html.escape(words)}' viewBox='{root.get('viewBox')}' "
        f"style='display:block;width:100%;font-size:11px;stroke-linejoin:round' xmlns='{_SVG}'>{''.join(parts)}</svg>"
    )


def _short(drawing: str) -> str:
    """Return the text of a drawing with one decimal for each number, and without spaces that need not be there."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), drawing)
    return re.sub(r"\s*([MLCQz])\s*", r"\1", rounded).strip()


def png(pixels: UInt8[np.ndarray, "row column 3"]) -> str:
    """Return pixels as the data address of a PNG, in gray or with a palette where no color is lost by it."""
    image = Image.fromarray(pixels)
    if (pixels == pixels[..., :1]).all():
        image = image.convert("L")
    elif image.getcolors(256):
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def draw_parts(panel: Axes, row: Mapping[str, Any] | pd.Series) -> None:
    """Draw a row's rate as a bar, and below it its two parts, one beginning where the other ends, with I's ceiling.

    The panel has limits from 0 nats on, and room for numbers to the left. An estimate below 0, or NaN, has no bar.
    """
    lengths = {name: max(0.0, float(np.nan_to_num(row[name]))) for name in MEASURES}
    for height, (name, length) in enumerate(lengths.items()):
        start = lengths["mutual_information"] if name == "marginal_kl" else 0.0
        panel.barh(-height, length, 0.7, start, color=MEASURES[name])
        number = f"{_NAMES[name]} = {row[name]:.2f}".replace("-", "−")
        panel.text(-0.28, -height, number, va="center", transform=panel.get_yaxis_transform())
    panel.plot([row["log_n"]] * 2, [0.6, -2.6], "k--", lw=1.4)
    ceiling = f"dashed: ceiling of I, log {row['components']:,} = {row['log_n']:.2f} nats"
    panel.text(-0.28, -3.1, ceiling, va="center", transform=panel.get_yaxis_transform())
    panel.set_ylim(-3.5, 0.7)
    panel.axis("off")
