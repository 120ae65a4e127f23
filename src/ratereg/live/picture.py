"""What is seen of a training: the curve as SVG, with the way it came, and its numbers as a table."""

import html
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ratereg.plots.style import PARTITIONS

__all__ = ["curve_picture", "numbers_table"]

_TRAIN, _TEST = PARTITIONS.values()
_LOW_RATE = 0.01
"""Nats; lower rates, of which a logarithmic axis has no end, are drawn at its edge."""

_TO_THE_RIGHT = "style='text-align:right;padding:0 .6em'"

# The picture, in units of its view box: on a phone it is shown at about 0.7 of them, and letters of 16 stay legible.
_SIZE = (520, 400)
_LEFT, _RIGHT, _TOP, _BOTTOM = 76.0, 500.0, 40.0, 340.0


def curve_picture(looks: Sequence[pd.DataFrame], steps: int) -> str:
    """Draw distortion against rate, both logarithmic, along beta at the last step looked at, as SVG on a white card.

    Thin lines are the ways of the test points from the first step looked at.

    Arguments:
        looks: for each step looked at its rows of a result's table, in nats.
        steps: of the whole training.
    """
    means = [_means(look) for look in looks]
    everything = pd.concat(means)
    step = int(looks[-1]["step"].iloc[0]) if looks else 0
    across = _Axis(everything["rate"].clip(lower=_LOW_RATE), _LEFT, _RIGHT)
    along = _Axis(everything["distortion"], _BOTTOM, _TOP)
    parts = [*_grid(across, along), *_legend(step, steps)]
    test = everything[everything["partition"] == "test"]
    for _, way in test.groupby("beta", sort=False):
        parts.append(_line(way, across, along, "stroke='#999' stroke-width='1'"))
    for partition, color, dashes in (("train", _TRAIN, "6 4"), ("test", _TEST, "")):
        now = means[-1][means[-1]["partition"] == partition].dropna().sort_values("beta")
        parts.append(_line(now, across, along, f"stroke='{color}' stroke-width='2' stroke-dasharray='{dashes}'"))
        written = [(math.inf, math.inf)]
        for beta, rate, distortion in zip(now["beta"], now["rate"], now["distortion"], strict=True):
            x, y = across.at(max(rate, _LOW_RATE)), along.at(distortion)
            parts.append(_mark(partition, x, y, color))
            # Neighbors would be written over each other.
            if partition == "test" and all(abs(x - left) > 36 or abs(y - above) > 18 for left, above in written):
                parts.append(_text(x, y - 10, f"{beta:g}"))
                written.append((x, y))
    words = html.escape(_in_words(means[-1], step, steps))
    # Single quotes, which JSON does not escape.
    return (
        f"<svg role='img' aria-label='{words}' viewBox='0 0 {_SIZE[0]} {_SIZE[1]}' font-size='16' "
        f"style='width:100%' xmlns='http://www.w3.org/2000/svg'>"
        f"<rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )


def numbers_table(look: pd.DataFrame) -> str:
    """Return the numbers at a step as an HTML table: a row for each beta, with the two parts of the training rate."""
    columns = ["rate", "distortion", "mutual_information", "marginal_kl"]
    means = look.groupby(["beta", "partition"], sort=False)[columns].mean()
    log_n = look[look["partition"] == "train"]["log_n"].iloc[0]
    heads = ["β", "rate", "mutual information", "marginal KL", "distortion", "distortion, test"]
    rows = []
    for beta in sorted(look["beta"].unique(), reverse=True):
        train, test = means.loc[(beta, "train")], means.loc[(beta, "test")]
        values = [train["rate"], train["mutual_information"], train["marginal_kl"]]
        values += [train["distortion"], test["distortion"]]
        # Without a minus before what rounds to zero.
        shown = ("diverged" if math.isnan(value) else f"{round(value, 1) + 0.0:.1f}" for value in values)
        cells = "".join(f"<td {_TO_THE_RIGHT}>{one}</td>" for one in shown)
        rows.append(f"<tr><th scope='row' {_TO_THE_RIGHT}>{beta:g}</th>{cells}</tr>")
    head = "".join(f"<th scope='col' {_TO_THE_RIGHT}>{one}</th>" for one in heads)
    caption = (
        f"Training images, and test images where it says so; means over seeds, in nats. The mutual information is at "
        f"most log N = {log_n:.2f}, N being the number of images in the aggregate posterior."
    )
    return (
        f"<table><caption style='caption-side:bottom;text-align:left'>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


class _Axis:
    """A logarithmic axis from one place of the picture to another, over some values and a little more."""

    def __init__(self, values: pd.Series, start: float, end: float) -> None:
        finite = values[np.isfinite(values) & (values > 0)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 10.0)
        self.low, self.high = math.log10(low) - 0.06, math.log10(high) + 0.12
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return 1, 2, 5, 10, ... within the axis; the powers of ten alone where there would be many."""
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        firsts = (1, 2, 5) if self.high - self.low < 2 else (1,)
        values = [first * 10.0**decade for decade in decades for first in firsts]
        return [value for value in values if self.low <= math.log10(value) <= self.high]


def _means(look: pd.DataFrame) -> pd.DataFrame:
    return look.groupby(["beta", "partition"], sort=False)[["rate", "distortion"]].mean().reset_index()


def _grid(across: _Axis, along: _Axis) -> list[str]:
    parts = []
    for value in across.ticks():
        x = across.at(value)
        parts += [f"<path d='M{x:.1f} {_TOP:g}V{_BOTTOM:g}' stroke='#ddd'/>", _text(x, _BOTTOM + 20, f"{value:g}")]
    for value in along.ticks():
        y = along.at(value)
        parts.append(f"<path d='M{_LEFT:g} {y:.1f}H{_RIGHT:g}' stroke='#ddd'/>")
        parts.append(_text(_LEFT - 6, y + 5, f"{value:g}", "end"))
    parts.append(f"<path d='M{_LEFT:g} {_TOP:g}V{_BOTTOM:g}H{_RIGHT:g}' fill='none' stroke='#777'/>")
    parts.append(_text((_LEFT + _RIGHT) / 2, _BOTTOM + 46, "rate (nats)"))
    middle = (_TOP + _BOTTOM) / 2
    turned = f"<text transform='translate(16 {middle:g}) rotate(-90)' text-anchor='middle' fill='#000'>"
    return [*parts, f"{turned}distortion (nats)</text>"]


def _legend(step: int, steps: int) -> list[str]:
    parts = []
    for x, partition, color, dashes in ((76, "train", _TRAIN, "6 4"), (168, "test", _TEST, "")):
        parts.append(f"<path d='M{x} 20h30' stroke='{color}' stroke-width='2' stroke-dasharray='{dashes}'/>")
        parts += [_mark(partition, x + 15, 20, color), _text(x + 38, 25, partition, "start")]
    parts.append(_text(262, 25, "numbers: β", "start"))
    return [*parts, _text(_LEFT + 10, _BOTTOM - 12, f"step {step:,} of {steps:,}", "start")]


def _line(points: pd.DataFrame, across: _Axis, along: _Axis, style: str) -> str:
    points = points.dropna()
    places = [
        f"{across.at(max(float(rate), _LOW_RATE)):.1f},{along.at(float(distortion)):.1f}"
        for rate, distortion in zip(points["rate"], points["distortion"], strict=True)
    ]
    return f"<polyline points='{' '.join(places)}' fill='none' {style}/>" if len(places) > 1 else ""


def _mark(partition: str, x: float, y: float, color: str) -> str:
    if partition == "test":
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='5' fill='{color}' stroke='#fff'/>"
    return f"<path d='M{x:.1f} {y - 6:.1f}l6 11h-12z' fill='{color}' stroke='#fff'/>"


def _in_words(means: pd.DataFrame, step: int, steps: int) -> str:
    """Return what is seen, for those who hear it."""
    table = means.set_index(["beta", "partition"])
    parts = []
    for beta in sorted(means["beta"].unique(), reverse=True):
        train, test = table.loc[(beta, "train")], table.loc[(beta, "test")]
        if math.isnan(test["rate"]):
            parts.append(f"beta {beta:g}: diverged")
            continue
        parts.append(
            f"beta {beta:g}: rate {test['rate']:.1f} and distortion {test['distortion']:.0f} on test images, "
            f"{train['rate']:.1f} and {train['distortion']:.0f} on training images"
        )
    return f"Distortion against rate in nats at step {step:,} of {steps:,}; {'; '.join(parts)}."


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='#000'>{html.escape(words)}</text>"
