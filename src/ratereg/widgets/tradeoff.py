"""Rate-distortion curves of all networks on one data set as a backdrop, and the marks of one beta to lay over it."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ratereg.summary import NETWORK, data_label, groups, network_label
from ratereg.widgets.drawing import flowing, line, logarithmic_ticks, text, ticks

__all__ = ["Axes", "axes_of", "curves", "marks"]

_LEFT, _RIGHT, _PLOT = 58.0, 466.0, 216.0
_DASHES = {"train": " stroke-dasharray='7 4'", "test": ""}


class Axes(NamedTuple):
    """Where values lie in the picture: the rate on a logarithmic axis, the distortion on a linear one, in nats."""

    top: float
    rates: tuple[float, float]
    distortions: tuple[float, float]

    @property
    def floor(self) -> float:
        """The lower edge."""
        return self.top + _PLOT

    def across(self, rate: np.ndarray | float) -> np.ndarray:
        """Return where rates are; below the axis, as after a collapse, they are at its left end."""
        low, high = map(math.log, self.rates)
        inside = np.log(np.maximum(rate, self.rates[0]))
        return np.asarray(_LEFT + (_RIGHT - _LEFT) * (inside - low) / (high - low))

    def along(self, distortion: np.ndarray | float) -> np.ndarray:
        """Return where distortions are."""
        low, high = self.distortions
        return np.asarray(self.floor - _PLOT * (np.asarray(distortion) - low) / (high - low))


def axes_of(rows: pd.DataFrame, top: float) -> Axes:
    """Return axes that hold the rates and distortions of all rows that are finite and, for the rate, at least 0.1."""
    rates = rows["rate"][np.isfinite(rows["rate"]) & (rows["rate"] >= 0.1)]
    distortions = rows["distortion"][np.isfinite(rows["distortion"])]
    low, high = (rates.min(), rates.max()) if len(rates) else (0.1, 1.0)
    bottom, peak = (distortions.min(), distortions.max()) if len(distortions) else (0.0, 1.0)
    room = 0.06 * (peak - bottom) or 1.0
    return Axes(top, (low / 1.15, high * 1.15), (bottom - room, peak + room))


def curves(rows: pd.DataFrame, colors: Mapping[str, str], y: float) -> tuple[list[str], Axes]:
    """Draw legend, axes, and for each network a curve of test (solid) and of training images (dashed), from y down."""
    entries = [(f"<path d='M0 0h24' stroke='{color}' stroke-width='4'/>", label) for label, color in colors.items()]
    entries += [
        (f"<path d='M0 0h24' stroke='#000' stroke-width='2'{_DASHES[name]}/>{_mark(name, 12, 0, 5, '#000')}", words)
        for name, words in (("test", "test"), ("train", "training"))
    ]
    parts, y = flowing(entries, y)
    axes = axes_of(rows, y + 18)
    parts.append(f"<path d='M{_LEFT:g} {axes.top:g}V{axes.floor:g}H{_RIGHT:g}' fill='none' stroke='#777'/>")
    for tick in logarithmic_ticks(*axes.rates):
        parts.append(f"<path d='M{axes.across(tick):.1f} {axes.floor:g}v5' stroke='#777'/>")
        parts.append(text(float(axes.across(tick)), axes.floor + 21, f"{tick:g}", "middle"))
    heights = ticks(*axes.distortions, 6)
    parts += [text(_LEFT - 6, float(axes.along(tick)) + 5, f"{tick:g}", "end") for tick in heights]
    parts.append(text(4, y + 6, "distortion (nats)"))
    parts.append(text(_RIGHT, axes.floor + 42, "rate (nats)", "end"))
    parts.append(text(4, axes.floor + 42, data_label(rows)))
    for network in groups(rows, NETWORK):
        color = colors[network_label(network)]
        for name in ("train", "test"):
            curve = network[network["partition"] == name].sort_values("beta")
            style = f"stroke='{color}' stroke-width='2'{_DASHES[name]}"
            parts += _dotted(axes.across(curve["rate"].to_numpy()), axes.along(curve["distortion"].to_numpy()), style)
    return parts, axes


def marks(axes: Axes, points: Sequence[tuple[str, float, float]], color: str) -> list[str]:
    """Mark (partition, rate, distortion) on its curve, with lines to both axes from that of test images."""
    parts = []
    for name, rate, distortion in points:
        if math.isfinite(rate) and math.isfinite(distortion):
            x, y = float(axes.across(rate)), float(axes.along(distortion))
            if name == "test":
                parts.append(f"<path d='M{_LEFT:g} {y:.1f}H{x:.1f}V{axes.floor:g}' fill='none' stroke='#777'/>")
            parts.append(_mark(name, x, y, 8, color))
    return parts


def _dotted(x: np.ndarray, y: np.ndarray, style: str) -> list[str]:
    """Draw a line, and a dot at each of its points: the round ends of lines without length."""
    there = np.isfinite(x) & np.isfinite(y)
    dots = "".join(f"M{across:.1f} {along:.1f}h0" for across, along in zip(x[there], y[there], strict=True))
    return [line(x, y, style), f"<path d='{dots}' {style.split(' ')[0]} stroke-width='7' stroke-linecap='round'/>"]


def _mark(partition: str, x: float, y: float, size: float, color: str) -> str:
    """Return a disc for test images and a triangle for training images, with a white rim."""
    if partition == "test":
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{size:g}' fill='{color}' stroke='#fff'/>"
    corners = f"M{x:.1f} {y - 1.1 * size:.1f}l{size:g} {1.8 * size:g}h-{2 * size:g}z"
    return f"<path d='{corners}' fill='{color}' stroke='#fff'/>"
