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
    frames = [
        [
            [_frame(one, place) for place in range(len(one))]
            for one in (setting[setting["beta"] == beta].sort_values("components") for beta in betas)
        ]
        for setting in settings
    ]
    names = [f"{setting['n_train'].iloc[0]:,} training images, {network_label(setting)}" for setting in settings]
    encoder = menu("encoder", names)
    weight = menu("weight β", [f"{beta:g}" for beta in betas], len(betas) // 2)
    return Framed([encoder, weight, slider("images m", [f"{size:,}" for size in sizes])], frames)


def _frame(one: pd.DataFrame, place: int) -> str:
    """Return one picture as SVG on a white card, which reads on light and dark pages alike."""
    row, last = one.iloc[place], one.iloc[-1]
    bounds = float(last["information_lower_bound"]), float(last["information_upper_bound"])
    words = (
        f"beta = {row['beta']:g}, {row['components']:,} fresh images: mutual information "
        f"{row['mutual_information']:.2f} nats below its ceiling of {row['log_n']:.2f}, and marginal KL "
        f"{row['marginal_kl']:.2f}, of a rate of {row['rate']:.2f}. Bounds on the population's information: "
        f"{bounds[0]:.2f} and {bounds[1]:.2f}."
    )
    headline = f"m = {row['components']:,} images: the information is at most {row['log_n']:.2f} nats"
    return picture(words, _HEIGHT, [text(12, 24, headline), *_curves(one, place, bounds), *_bars(one, place)])


def _curves(one: pd.DataFrame, place: int, bounds: tuple[float, float]) -> list[str]:
    """Draw the information and its ceiling against the number of images (log axis) up to this one, and the bounds."""
    ceilings = one["log_n"].to_numpy()
    most = 1.12 * max(ceilings[-1], one["mutual_information"].max(), bounds[1])
    across = _LEFT + (_RIGHT - _LEFT) * (0.02 + 0.96 * _parted(ceilings))
    along, limit = (_height(one[name].to_numpy(), most) for name in ("mutual_information", "log_n"))
    high, low = _height(np.array([bounds[1], bounds[0]]), most)
    parts = [
        f"<rect x='{_LEFT:g}' y='{high:.1f}' width='{_RIGHT - _LEFT:g}' height='{low - high:.1f}' fill='{SHADE}' "
        "fill-opacity='.35'/>",
        f"<path d='M{_LEFT:g} {_TOP:g}V{_FLOOR:g}H{_RIGHT:g}' fill='none' stroke='#777'/>",
        line(across, limit, "stroke='#000' stroke-width='2' stroke-dasharray='5 4'"),
        line(across[: place + 1], along[: place + 1], f"stroke='{INFORMATION}' stroke-width='3'"),
        f"<path d='M{across[place]:.1f} {_FLOOR:g}V{limit[place]:.1f}' stroke='#777' stroke-dasharray='2 3'/>",
        f"<circle cx='{across[place]:.1f}' cy='{along[place]:.1f}' r='6' fill='{INFORMATION}'/>",
    ]
    marks = ticks(0, most)
    parts += [text(_LEFT - 6, y + 5, f"{tick:g}", "end") for tick, y in zip(marks, _height(marks, most), strict=True)]
    ends = ((0, "start"), (len(one) - 1, "end"))
    parts += [text(across[k], _FLOOR + 20, f"{one['components'].iloc[k]:,}", anchor) for k, anchor in ends]
    parts.append(text((_LEFT + _RIGHT) / 2, _FLOOR + 20, "fresh images m", "middle"))
    keys = (
        (f"<path d='M0 0h24' stroke='{INFORMATION}' stroke-width='3'/>", "information"),
        ("<path d='M0 0h24' stroke='#000' stroke-width='2' stroke-dasharray='5 4'/>", "ceiling log m"),
        (f"<path d='M0 0h24' stroke='{SHADE}' stroke-width='12'/>", "population"),
    )
    return parts + flowing(keys, 54)[0]


def _parted(ceilings: np.ndarray) -> np.ndarray:
    """Return places from 0 to 1; a single one is in the middle."""
    if len(ceilings) == 1:
        return np.array([0.5])
    places: np.ndarray = (ceilings - ceilings[0]) / (ceilings[-1] - ceilings[0])
    return places


def _height(nats: np.ndarray, most: float) -> np.ndarray:
    """Return where values are in the picture; an estimate or a bound below 0 lies on the floor."""
    heights: np.ndarray = _FLOOR - (_FLOOR - _TOP) * np.maximum(nats, 0) / most
    return heights


def _bars(one: pd.DataFrame, place: int) -> list[str]:
    row = one.iloc[place]
    per_nat = longest_bar(max(one["rate"].max(), one["log_n"].max()))
    label = f"ceiling of I: log {row['components']:,} = {row['log_n']:.2f} nats"
    parts = (float(row[name]) for name in ("rate", "mutual_information", "marginal_kl"))
    return parts_of_the_rate(348, *parts, per_nat, math.log(row["components"]), label)
