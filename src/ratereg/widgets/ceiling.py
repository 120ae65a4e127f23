"""The information of one encoder under its ceiling, as the aggregate posterior gets more images."""

import math

import ipywidgets
import numpy as np
import pandas as pd

from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, groups, network_label
from ratereg.widgets.drawing import (
    INFORMATION,
    SHADE,
    flowing,
    line,
    longest_bar,
    parts_of_the_rate,
    picture,
    text,
    ticks,
)
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["ceiling_slider"]

_MOST_BETAS = 5

_HEIGHT = 476
_LEFT, _RIGHT, _TOP, _FLOOR = 44.0, 462.0, 76.0, 294.0


def ceiling_slider(results: Results, *, seed: int | None = None) -> ipywidgets.VBox:
    """Return a slider over the number of fresh images in the aggregate posterior of an encoder that stays the same.

    It moves the ceiling, log m, and shows what is measured below it: the mutual information, as a point on its curve
    and as a bar in the rate, which it shares with the marginal KL, and the bounds on the population's. Menus choose the
    training size with the network, and beta. All work by keyboard, and without a kernel.

    Arguments:
        results: of a study with fresh images.
        seed: of the members; None for the first.

    Raises:
        ValueError: the results have no fresh images, or not that seed.
    """
    rows = results.final[results.final["partition"] == "fresh"]
    seeds = sorted(rows["seed"].unique())
    if seed not in (None, *seeds) or not seeds:
        have = f"seeds {', '.join(map(str, seeds))}" if seeds else "none; give those of a study with `fresh_images`"
        raise ValueError(f"ceiling_slider: seed is {seed!r}, and of fresh images results has {have}.")
    rows = rows[rows["seed"] == (seeds[0] if seed is None else seed)]
    betas = np.sort(rows["beta"].unique())[::-1]
    betas = betas[np.unique(np.linspace(0, len(betas) - 1, _MOST_BETAS).round().astype(int))]
    sizes = np.sort(rows["components"].unique())
    settings = groups(rows, [*DATA, *NETWORK])
    encoders = [[setting[setting["beta"] == beta].sort_values("components") for beta in betas] for setting in settings]
    backdrops = [[_backdrop(one) for one in encoder] for encoder in encoders]
    frames = [[[_frame(one, place) for place in range(len(one))] for one in encoder] for encoder in encoders]
    names = [f"{setting['n_train'].iloc[0]:,} training images, {network_label(setting)}" for setting in settings]
    weights = menu("weight β", [f"{beta:g}" for beta in betas], len(betas) // 2)
    images = slider("images m", [f"{size:,}" for size in sizes])
    return Framed([menu("encoder", names), weights, images], frames, backdrops)


def _backdrop(one: pd.DataFrame) -> str:
    """Return what the pictures of one encoder share: the axes, the ceiling, and the band of the population."""
    across, most = _axes(one)
    limit, ends = one["log_n"].to_numpy(), one["components"].iloc[[0, -1]]
    high, low = _height(np.array(_bounds(one)[::-1]), most)
    parts = [
        f"<rect x='{_LEFT:g}' y='{high:.1f}' width='{_RIGHT - _LEFT:g}' height='{low - high:.1f}' fill='{SHADE}' "
        "fill-opacity='.35'/>",
        f"<path d='M{_LEFT:g} {_TOP:g}V{_FLOOR:g}H{_RIGHT:g}' fill='none' stroke='#777'/>",
        line(across, _height(limit, most), "stroke='#000' stroke-width='2' stroke-dasharray='5 4'"),
    ]
    marks = ticks(0, most)
    parts += [text(_LEFT - 6, y + 5, f"{tick:g}", "end") for tick, y in zip(marks, _height(marks, most), strict=True)]
    for place, count, anchor in zip((0, -1), ends, ("start", "end"), strict=True):
        parts.append(text(float(across[place]), _FLOOR + 20, f"{count:,}", anchor))
    parts.append(text((_LEFT + _RIGHT) / 2, _FLOOR + 20, "fresh images m", "middle"))
    keys = (
        (f"<path d='M0 0h24' stroke='{INFORMATION}' stroke-width='3'/>", "information"),
        ("<path d='M0 0h24' stroke='#000' stroke-width='2' stroke-dasharray='5 4'/>", "ceiling log m"),
        (f"<path d='M0 0h24' stroke='{SHADE}' stroke-width='12'/>", "population"),
    )
    words = (
        f"The ceiling log m, in nats, against the number m of fresh images, from {ends.iloc[0]:,} to "
        f"{ends.iloc[-1]:,}, and the band between the bounds on the population's information."
    )
    return picture(words, _HEIGHT, parts + flowing(keys, 54)[0])


def _frame(one: pd.DataFrame, place: int) -> str:
    """Return what one number of images lays over it: the curve up to there, the numbers, and the rate as bars."""
    row = one.iloc[place]
    low, high = _bounds(one)
    words = (
        f"beta = {row['beta']:g}, {row['components']:,} fresh images: mutual information "
        f"{row['mutual_information']:.2f} nats below its ceiling of {row['log_n']:.2f}, and marginal KL "
        f"{row['marginal_kl']:.2f}, of a rate of {row['rate']:.2f}. Bounds on the population's information: "
        f"{low:.2f} and {high:.2f}."
    )
    across, most = _axes(one)
    along, limit = (_height(one[name].to_numpy(), most) for name in ("mutual_information", "log_n"))
    here = f"{across[place]:.1f}"
    parts = [
        text(12, 24, f"m = {row['components']:,} images: the information is at most {row['log_n']:.2f} nats"),
        line(across[: place + 1], along[: place + 1], f"stroke='{INFORMATION}' stroke-width='3'"),
        f"<path d='M{here} {_FLOOR:g}V{limit[place]:.1f}' stroke='#777' stroke-dasharray='2 3'/>",
        f"<circle cx='{here}' cy='{along[place]:.1f}' r='6' fill='{INFORMATION}'/>",
    ]
    per_nat = longest_bar(max(one["rate"].max(), one["log_n"].max()))
    label = f"ceiling of I: log {row['components']:,} = {row['log_n']:.2f} nats"
    rate, information, marginal_kl = (float(row[name]) for name in ("rate", "mutual_information", "marginal_kl"))
    parts += parts_of_the_rate(348, rate, information, marginal_kl, per_nat, math.log(row["components"]), label)
    return picture(words, _HEIGHT, parts, card=False)


def _bounds(one: pd.DataFrame) -> tuple[float, float]:
    """Return the bounds on the population's information, which are measured with the most images."""
    last = one.iloc[-1]
    return float(last["information_lower_bound"]), float(last["information_upper_bound"])


def _axes(one: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Return where the numbers of images are (log axis), and the nats at the upper edge."""
    ceilings = one["log_n"].to_numpy()
    most = 1.12 * max(ceilings[-1], one["mutual_information"].max(), _bounds(one)[1])
    return _LEFT + (_RIGHT - _LEFT) * (0.02 + 0.96 * _parted(ceilings)), most


def _parted(ceilings: np.ndarray) -> np.ndarray:
    """Return places from 0 to 1; a single one is in the middle."""
    if len(ceilings) == 1:
        return np.array([0.5])
    places: np.ndarray = (ceilings - ceilings[0]) / (ceilings[-1] - ceilings[0])
    return places


def _height(nats: np.ndarray, most: float) -> np.ndarray:
    """Return where values are in the picture; an estimate or a bound that is below 0, or NaN, lies on the floor."""
    heights: np.ndarray = _FLOOR - (_FLOOR - _TOP) * np.fmax(nats, 0) / most
    return heights
