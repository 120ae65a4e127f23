"""Five images on a line: what the distance and the width of their posteriors do to the parts of the rate, in nats."""

import math

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from scipy.special import xlogy
from scipy.stats import norm

from ratereg.widgets.drawing import SHADE, card, draw_parts, in_style, over, svg
from ratereg.widgets.frames import Framed, slider

__all__ = ["information_sliders"]

_IMAGES = 5
_DISTANCES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
_WIDTHS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4)
_FIRST = (0.6, 0.3)
"""The first frame: neighbors overlap a little, and both sliders have room on either side."""

_REACH, _HIGHEST, _MOST_NATS = 5.0, 0.86, 4.4


@in_style
def information_sliders() -> ipywidgets.VBox:
    """Return two sliders, over the distance of the means and over the width, of five posteriors q(z|x) on a line.

    They show the posteriors, the aggregate posterior and the prior N(0, 1), and as bars the rate, the mutual
    information below its ceiling log 5, and the marginal KL: exact, by quadrature, in nats. Both work by keyboard, and
    without a kernel.
    """
    distance = slider("distance of means", [f"{value:g}" for value in _DISTANCES], _DISTANCES.index(_FIRST[0]))
    width = slider("width σ", [f"{value:g}" for value in _WIDTHS], _WIDTHS.index(_FIRST[1]))
    lower = _backdrop()
    frames = [[_frame(lower, spacing, one) for one in _WIDTHS] for spacing in _DISTANCES]
    return Framed([distance, width], frames, svg(lower, "The prior p(z), a Gaussian of width 1, on a line."))


def _parts(means: np.ndarray, width: float) -> dict[str, float]:
    """Return the rate (closed form) and its two parts (trapezoidal rule) in nats, of Gaussian posteriors on a line.

    With the ceiling, as in a row of a result's table.
    """
    z = np.linspace(-20, 20, 8001)
    q = norm.pdf(z[:, None], means, width).mean(axis=1)
    return {
        "components": len(means),
        "log_n": math.log(len(means)),
        "rate": float(np.square(means).mean() + width**2 - 1) / 2 - math.log(width),
        # Where the parts are 0, rounding may leave them below it.
        "mutual_information": max(0.0, float(-np.trapezoid(xlogy(q, q), z) - norm.entropy(0, width))),
        "marginal_kl": max(0.0, float(np.trapezoid(xlogy(q, q) - q * norm.logpdf(z), z))),
    }


def _backdrop() -> Figure:
    """Return a card with the axis, the prior and the legend."""
    fig = card(4.4, (0.1, 1.55, 4.6, 2.15), (1.05, 0.05, 3.6, 1.15))
    densities, bars = fig.axes
    z = np.linspace(-_REACH, _REACH, 71)
    densities.plot(z, norm.pdf(z), "--", color="0.3", lw=1.4, label="p(z)")
    densities.plot([], [], "k", lw=2, label="q(z)")
    densities.fill_between([], [], [], color=SHADE, alpha=0.35, label="q(z|xₙ)/5")
    densities.set(xlim=(-_REACH, _REACH), ylim=(0, _HIGHEST), yticks=[], xticks=range(-4, 5, 2))
    densities.grid(visible=False)
    densities.spines["left"].set_visible(False)
    densities.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=3)
    bars.set_xlim(0, _MOST_NATS)
    bars.axis("off")
    return fig


def _frame(lower: Figure, distance: float, width: float) -> str:
    """Return what a distance and a width lay over the backdrop: the densities, and the rate as bars."""
    fig = over(lower)
    densities, bars = fig.axes
    means = distance * (np.arange(_IMAGES) - (_IMAGES - 1) / 2)
    around = np.linspace(-3.6, 3.6, 33) * width + means[:, None]
    for mean, z in zip(means, np.clip(around, -_REACH, _REACH), strict=True):
        # Down to the axis at both ends, also where the edge cuts the curve.
        posterior = np.pad(np.minimum(norm.pdf(z, mean, width) / _IMAGES, _HIGHEST), 1)
        densities.fill(np.pad(z, 1, mode="edge"), posterior, color=SHADE, alpha=0.35, lw=0)
    z = np.unique([*around[np.abs(around) <= _REACH], *np.linspace(-_REACH, _REACH, 51)])
    mixture = norm.pdf(z[:, None], means, width).mean(axis=1)
    densities.plot(z, np.minimum(mixture, _HIGHEST), "k", lw=2)
    if mixture.max() > _HIGHEST:
        densities.text(_REACH, 1.03 * _HIGHEST, f"q(z) goes up to {mixture.max():.1f}", ha="right")
    fig.text(0.02, 0.95, f"Means {distance:g} apart, each of width σ = {width:g}; the prior's is 1")
    parts = _parts(means, width)
    draw_parts(bars, parts)
    return svg(
        fig,
        f"Five Gaussian posteriors on a line, {distance:g} apart and of width {width:g}, their mixture and the prior. "
        f"Rate {parts['rate']:.2f} nats: mutual information {parts['mutual_information']:.2f}, below its ceiling "
        f"log {_IMAGES} = {parts['log_n']:.2f}, and marginal KL {parts['marginal_kl']:.2f}.",
    )
