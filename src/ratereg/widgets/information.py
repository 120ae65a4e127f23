"""Five images on a line: what the distance and the width of their posteriors do to the parts of the rate, in nats."""

import html
import math
from collections.abc import Sequence

import ipywidgets
import matplotlib
import numpy as np

from ratereg.plots import STYLE

__all__ = ["information_sliders"]

_IMAGES = 5
_DISTANCES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
_WIDTHS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4)
_FIRST = (0.6, 0.3)
"""What is shown first: neighbours overlap a little, and both sliders have room on either side."""

_COLOURS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
_RATE, _INFORMATION, _MARGINAL_KL = _COLOURS[:3]
_POSTERIOR = _COLOURS[5]

# The picture, in units of its view box: on a phone it is shown at about 0.7 of them, and letters of 16 stay legible.
_SIZE = (480, 398)
_MIDDLE, _REACH, _PER_UNIT = 240.0, 5.0, 46.0  # z from -5 to 5
_FLOOR, _HIGHEST, _PER_DENSITY = 226.0, 0.86, 220.0
_BARS, _PER_NAT = 108.0, 80.0


def information_sliders() -> ipywidgets.VBox:
    """Return two sliders, over the distance of the means and over the width, of five posteriors q(z|x) on a line.

    They show the posteriors, the aggregate posterior and the prior N(0, 1), and as bars the rate, the mutual
    information below its ceiling log 5, and the marginal KL: exact, by quadrature, in nats. Both work by keyboard, and
    without a kernel.
    """
    distance = _slider("distance of the means", _DISTANCES, _FIRST[0])
    width = _slider("width σ", _WIDTHS, _FIRST[1])
    # A drawing has no width of its own.
    wide = ipywidgets.Layout(width="100%", max_width="34em")
    stacks, links = [], []
    for spacing in _DISTANCES:
        frames = [ipywidgets.HTML(_frame(spacing, one), layout=wide) for one in _WIDTHS]
        stack = ipywidgets.Stack(frames, selected_index=_WIDTHS.index(_FIRST[1]), layout=wide)
        links.append(ipywidgets.jslink((width, "index"), (stack, "selected_index")))
        stacks.append(stack)
    chosen = ipywidgets.Stack(stacks, selected_index=_DISTANCES.index(_FIRST[0]), layout=wide)
    links.append(ipywidgets.jslink((distance, "index"), (chosen, "selected_index")))
    box = ipywidgets.VBox([distance, width, chosen])
    # The links live as long as the box.
    box.links = links
    return box


def _slider(description: str, values: Sequence[float], first: float) -> ipywidgets.SelectionSlider:
    return ipywidgets.SelectionSlider(
        options=[(f"{value:g}", index) for index, value in enumerate(values)],
        index=values.index(first),
        description=description,
        style={"description_width": "12.5em"},
        layout=ipywidgets.Layout(width="100%", max_width="34em"),
    )


def _parts(distance: float, width: float) -> tuple[float, float, float]:
    """Return rate (closed form), mutual information and marginal KL (the trapezoidal rule) in nats."""
    means = _means(distance)
    z = np.linspace(-20, 20, 8001)
    log_q = np.logaddexp.reduce(_log_normal(z[:, None], means, width), axis=1) - math.log(_IMAGES)
    entropy = -np.trapezoid(np.exp(log_q) * log_q, z)
    marginal_kl = np.trapezoid(np.exp(log_q) * (log_q - _log_normal(z, 0.0, 1.0)), z)
    rate = (float(np.square(means).mean()) + width**2 - 1 - 2 * math.log(width)) / 2
    information = entropy - math.log(2 * math.pi * math.e * width**2) / 2
    # Where they are 0 rounding may leave them below it.
    return rate, max(float(information), 0.0), max(float(marginal_kl), 0.0)


def _means(distance: float) -> np.ndarray:
    return distance * (np.arange(_IMAGES) - (_IMAGES - 1) / 2)


def _log_normal(z: np.ndarray, mean: np.ndarray | float, width: float) -> np.ndarray:
    return -(np.square((z - mean) / width) + math.log(2 * math.pi * width**2)) / 2


def _frame(distance: float, width: float) -> str:
    """Return one picture as SVG on a white card, which reads on light and dark pages alike."""
    rate, information, marginal_kl = _parts(distance, width)
    words = (
        f"Five Gaussian posteriors on a line, {distance:g} apart and of width {width:g}, their mixture and the prior. "
        f"Rate {rate:.2f} nats: mutual information {information:.2f}, below its ceiling log 5 = 1.61, "
        f"and marginal KL {marginal_kl:.2f}."
    )
    parts = _densities(distance, width) + _bars(rate, information, marginal_kl)
    # Single quotes, which JSON does not escape.
    return (
        f"<svg role='img' aria-label='{html.escape(words)}' viewBox='0 0 {_SIZE[0]} {_SIZE[1]}' font-size='16' "
        f"style='width:100%' xmlns='http://www.w3.org/2000/svg'>"
        f"<rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )


def _densities(distance: float, width: float) -> list[str]:
    means, own = _means(distance), np.linspace(-3.6, 3.6, 33) * width
    everywhere = np.unique(np.concatenate([(means[:, None] + own).ravel(), np.linspace(-_REACH, _REACH, 51)]))
    everywhere = everywhere[np.abs(everywhere) <= _REACH]
    mixture = np.exp(_log_normal(everywhere[:, None], means, width)).mean(1)
    prior = np.linspace(-_REACH, _REACH, 71)
    parts = []
    for mean in means:
        z = mean + own[np.abs(mean + own) <= _REACH]
        # Down to the floor at both ends, also where the picture's edge cuts the curve.
        filled = np.pad(z, 1, mode="edge"), np.pad(np.exp(_log_normal(z, mean, width)) / _IMAGES, 1)
        parts.append(_curve(*filled, f"fill='{_POSTERIOR}' fill-opacity='.35'"))
    dashed = "fill='none' stroke='#555' stroke-width='20' stroke-dasharray='60 40'"
    parts.append(_curve(prior, np.exp(_log_normal(prior, 0.0, 1.0)), dashed))
    parts.append(_curve(everywhere, mixture, "fill='none' stroke='#000' stroke-width='25'"))
    parts.append(f"<path d='M10 {_FLOOR:g}H470' stroke='#777'/>")
    parts += [
        _text(_MIDDLE + _PER_UNIT * z, _FLOOR + 19, f"{z:d}".replace("-", "−"), "middle") for z in (-4, -2, 0, 2, 4)
    ]
    parts.append(_text(_MIDDLE + _PER_UNIT * _REACH, _FLOOR + 19, "<tspan font-style='italic'>z</tspan>", "end"))
    keys = ((12, _POSTERIOR, 12, "", "q(z|xₙ)/5"), (132, "#000", 3, "", "q(z)"), (212, "#555", 2, "6 4", "p(z)"))
    for x, colour, thick, dashes, label in keys:
        line = f"<path d='M{x} 15h24' stroke='{colour}' stroke-width='{thick}' stroke-dasharray='{dashes}'/>"
        parts += [line, _text(x + 30, 20, label)]
    if mixture.max() > _HIGHEST:
        parts.append(_text(470, 20, f"q(z) goes up to {mixture.max():.1f}", "end"))
    return parts


def _bars(rate: float, information: float, marginal_kl: float) -> list[str]:
    """Draw the rate, and below it the two parts, one beginning where the other ends."""
    rows = (
        ("R", rate, 0.0, _RATE),
        ("I", information, 0.0, _INFORMATION),
        ("KL", marginal_kl, information, _MARGINAL_KL),
    )
    parts = []
    for row, (name, value, start, colour) in enumerate(rows):
        y = 264 + 32 * row
        place = f"x='{_BARS + _PER_NAT * start:.1f}' y='{y}' width='{_PER_NAT * value:.1f}' height='22'"
        parts.append(f"<rect {place} fill='{colour}'/>")
        parts.append(_text(12, y + 17, f"{name} = {value:.2f}"))
    ceiling = _BARS + _PER_NAT * math.log(_IMAGES)
    parts.append(f"<path d='M{ceiling:.1f} 258V356' stroke='#000' stroke-width='2' stroke-dasharray='5 4'/>")
    parts.append(_text(ceiling, 376, f"ceiling of I: log 5 = {math.log(_IMAGES):.2f} nats", "middle"))
    return parts


def _curve(z: np.ndarray, density: np.ndarray, style: str) -> str:
    """Draw a curve in tenths of a unit, each point by its way from the one before: so the numbers are short."""
    x = np.rint(10 * (_MIDDLE + _PER_UNIT * z)).astype(int)
    y = np.rint(10 * (_FLOOR - _PER_DENSITY * np.minimum(density, _HIGHEST))).astype(int)
    steps = zip(np.diff(x), np.diff(y), strict=True)
    ways = "l" + " ".join(f"{across},{along}" for across, along in steps)
    return f"<path transform='scale(.1)' d='M{x[0]},{y[0]}{ways}' {style}/>"


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f"<text x='{x:g}' y='{y:g}' text-anchor='{anchor}' fill='#000'>{words}</text>"
