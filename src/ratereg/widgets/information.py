"""Five images on a line: what the distance and the width of their posteriors do to the parts of the rate, in nats."""

import math

import ipywidgets
import numpy as np

from ratereg.widgets.drawing import SHADE, flowing, parts_of_the_rate, picture, text
from ratereg.widgets.frames import Framed, slider

__all__ = ["information_sliders"]

_IMAGES = 5
_DISTANCES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
_WIDTHS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4)
_FIRST = (0.6, 0.3)
"""What is shown first: neighbors overlap a little, and both sliders have room on either side."""

_HEIGHT = 422
_MIDDLE, _REACH, _PER_UNIT = 240.0, 5.0, 46.0  # z from -5 to 5
_FLOOR, _HIGHEST, _PER_DENSITY = 256.0, 0.86, 220.0
_PER_NAT = 80.0


def information_sliders() -> ipywidgets.VBox:
    """Return two sliders, over the distance of the means and over the width, of five posteriors q(z|x) on a line.

    They show the posteriors, the aggregate posterior and the prior N(0, 1), and as bars the rate, the mutual
    information below its ceiling log 5, and the marginal KL: exact, by quadrature, in nats. Both work by keyboard, and
    without a kernel.
    """
    distance = slider("distance of means", [f"{value:g}" for value in _DISTANCES], _DISTANCES.index(_FIRST[0]))
    width = slider("width σ", [f"{value:g}" for value in _WIDTHS], _WIDTHS.index(_FIRST[1]))
    return Framed([distance, width], [[_frame(spacing, one) for one in _WIDTHS] for spacing in _DISTANCES])


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
    headline = f"Means {distance:g} apart, each of width σ = {width:g}; the prior's is 1"
    ceiling = math.log(_IMAGES)
    label = f"ceiling of I: log 5 = {ceiling:.2f} nats"
    bars = parts_of_the_rate(294, rate, information, marginal_kl, _PER_NAT, ceiling, label)
    return picture(words, _HEIGHT, [text(12, 24, headline), *_densities(distance, width), *bars])


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
        parts.append(_curve(*filled, f"fill='{SHADE}' fill-opacity='.35'"))
    dashed = "fill='none' stroke='#555' stroke-width='20' stroke-dasharray='60 40'"
    parts.append(_curve(prior, np.exp(_log_normal(prior, 0.0, 1.0)), dashed))
    parts.append(_curve(everywhere, mixture, "fill='none' stroke='#000' stroke-width='25'"))
    parts.append(f"<path d='M10 {_FLOOR:g}H470' stroke='#777'/>")
    parts += [
        text(_MIDDLE + _PER_UNIT * z, _FLOOR + 19, f"{z:d}".replace("-", "−"), "middle") for z in (-4, -2, 0, 2, 4)
    ]
    parts.append(text(_MIDDLE + _PER_UNIT * _REACH, _FLOOR + 19, "z", "end", " font-style='italic'"))
    keys = (
        (f"<path d='M0 0h24' stroke='{SHADE}' stroke-width='12'/>", "q(z|xₙ)/5"),
        ("<path d='M0 0h24' stroke='#000' stroke-width='3'/>", "q(z)"),
        ("<path d='M0 0h24' stroke='#555' stroke-width='2' stroke-dasharray='6 4'/>", "p(z)"),
    )
    parts += flowing(keys, 54)[0]
    if mixture.max() > _HIGHEST:
        parts.append(text(470, 54, f"q(z) goes up to {mixture.max():.1f}", "end"))
    return parts


def _curve(z: np.ndarray, density: np.ndarray, style: str) -> str:
    """Draw a curve in tenths of a unit, each point by its way from the one before: so the numbers are short."""
    x = np.rint(10 * (_MIDDLE + _PER_UNIT * z)).astype(int)
    y = np.rint(10 * (_FLOOR - _PER_DENSITY * np.minimum(density, _HIGHEST))).astype(int)
    steps = zip(np.diff(x), np.diff(y), strict=True)
    ways = "l" + " ".join(f"{across},{along}" for across, along in steps)
    return f"<path transform='scale(.1)' d='M{x[0]},{y[0]}{ways}' {style}/>"
