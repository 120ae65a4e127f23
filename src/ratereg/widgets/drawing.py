"""What the widgets' pictures share: SVG on white cards, which read on light and dark pages alike, and its colors.

A picture is measured in units of its view box, 480 wide. On a phone a unit is about 0.7 of a pixel, so that letters of
16 units stay legible.
"""

import base64
import html
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from ratereg.plots.style import COLORS, MEASURES, PARTITIONS

__all__ = [
    "INFORMATION",
    "MARGINAL_KL",
    "RATE",
    "SHADE",
    "TEST",
    "TRAIN",
    "WIDTH",
    "boxed_picture",
    "flowing",
    "line",
    "logarithmic_ticks",
    "longest_bar",
    "parts_of_the_rate",
    "picture",
    "png",
    "text",
    "ticks",
]

RATE, INFORMATION, MARGINAL_KL = MEASURES.values()
TRAIN, TEST = PARTITIONS.values()
SHADE = COLORS[2]
"""Of areas: single posteriors, and the band between two bounds."""

WIDTH = 480
_BARS, _BARS_END = 108.0, 462.0


def picture(words: str, height: float, parts: Iterable[str], *, card: bool = True) -> str:
    """Return a picture as SVG with a text alternative; without a card it is laid over another one."""
    ground = "<rect width='100%' height='100%' rx='6' fill='#fff'/>" if card else ""
    # Single quotes, which JSON does not escape.
    return (
        f"<svg role='img' aria-label='{html.escape(words)}' viewBox='0 0 {WIDTH} {height:g}' font-size='16' "
        f"style='display:block;width:100%' xmlns='http://www.w3.org/2000/svg'>{ground}{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    """Return words that begin, end or have their middle at x; `more` are further attributes."""
    return f"<text x='{x:.4g}' y='{y:.4g}' text-anchor='{anchor}' fill='#000'{more}>{html.escape(words)}</text>"


def line(x: np.ndarray, y: np.ndarray, style: str) -> str:
    """Return a line through points; those that are not finite are left out."""
    there = np.isfinite(x) & np.isfinite(y)
    points = " ".join(f"{across:.1f},{along:.1f}" for across, along in zip(x[there], y[there], strict=True))
    return f"<polyline points='{points}' fill='none' {style}/>"


def ticks(low: float, high: float, most: int = 7) -> np.ndarray:
    """Return at most `most` round numbers between low and high, at equal distances of 1, 2 or 5 times a power of 10."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(factor * power for factor in (2, 5, 10) if (high - low) / (factor * power) < most)
    found: np.ndarray = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    return found


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of 10 between low and high, or the powers alone over many decades."""
    digits = (1, 2, 5) if high / low < 1000 else (1,)
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in digits if low <= digit * 10.0**decade <= high]


def flowing(entries: Sequence[tuple[str, str]], y: float) -> tuple[list[str], float]:
    """Return a legend of (a drawing 24 units wide, its words), in lines, and where the next one would be."""
    parts, x = [], 12.0
    for drawn, words in entries:
        # Letters of 16 are about 8 wide.
        long = 30 + 8.2 * len(words)
        if x > 12 and x + long > WIDTH - 6:
            x, y = 12.0, y + 22
        parts += [f"<g transform='translate({x:g} {y - 5:g})'>{drawn}</g>", text(x + 30, y, words)]
        x += long + 16
    return parts, y + 22


def parts_of_the_rate(
    y: float, rate: float, information: float, marginal_kl: float, per_nat: float, ceiling: float, label: str
) -> list[str]:
    """Draw the rate as a bar, and below it its two parts, one beginning where the other ends, with I's ceiling.

    Arguments:
        y: of the upper edge; all is within 116 units below.
        rate: in nats.
        information: in nats; an estimate below 0 has no bar.
        marginal_kl: in nats, the same.
        per_nat: units of length.
        ceiling: in nats.
        label: of the ceiling.
    """
    # Nor has NaN, of a member that diverged.
    end = float(np.fmax(information, 0.0))
    bars = (
        ("R", rate, 0.0, RATE),
        ("I", information, 0.0, INFORMATION),
        ("KL", marginal_kl, end, MARGINAL_KL),
    )
    parts = []
    for index, (name, value, start, color) in enumerate(bars):
        at = y + 32 * index
        place = f"x='{_BARS + per_nat * start:.1f}' y='{at:g}' width='{per_nat * np.fmax(value, 0.0):.1f}' height='22'"
        parts.append(f"<rect {place} fill='{color}'/>")
        parts.append(text(12, at + 17, f"{name} = {value:.2f}".replace("-", "−")))
    across = _BARS + per_nat * ceiling
    parts.append(f"<path d='M{across:.1f} {y - 6:g}v98' stroke='#000' stroke-width='2' stroke-dasharray='5 4'/>")
    # The words stay inside the picture.
    room = 4.2 * len(label)
    parts.append(text(min(max(across, room), WIDTH - room), y + 112, label, "middle"))
    return parts


def longest_bar(nats: float) -> float:
    """Return the units of length of a nat where the longest bar has that many nats."""
    return (_BARS_END - _BARS) / nats


def boxed_picture(data: str, x: float, y: float, width: float, height: float, *, sharp: bool = False) -> str:
    """Place a PNG in a picture; with `sharp`, each of its pixels is seen as a square."""
    style = " style='image-rendering:pixelated'" if sharp else ""
    place = f"x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}'"
    return f"<image {place} preserveAspectRatio='none' href='{data}'{style}/>"


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> str:
    """Return pixels, (height, width) or (height, width, 3) as uint8, as the address of a PNG that holds it all.

    Those of two dimensions are gray, or places in a palette (color, 3).
    """
    image = Image.fromarray(pixels)
    if palette is not None:
        image = image.convert("P")
        image.putpalette(palette.astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
