"""The information of one encoder under its ceiling, as the aggregate posterior gets more images."""

import html
import math

import ipywidgets
import matplotlib
import numpy as np
import pandas as pd

from ratereg.plots import STYLE
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, groups, network_label

__all__ = ["ceiling_slider"]

_COLOURS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
_RATE, _INFORMATION, _MARGINAL_KL = _COLOURS[:3]
_BOUNDS = _COLOURS[5]
_MOST_BETAS = 5

# The picture, in units of its view box: on a phone it is shown at about 0.7 of them, and letters of 16 stay legible.
_WIDTH, _HEIGHT = 480, 470
_LEFT, _RIGHT, _TOP, _FLOOR = 44.0, 462.0, 44.0, 262.0
_BARS = 108.0


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
    wide = ipywidgets.Layout(width="100%", max_width="34em")
    # The number of images is what a reader moves; it starts with the fewest.
    slider = ipywidgets.SelectionSlider(
        options=[(f"{size:,}", index) for index, size in enumerate(sizes)],
        index=0,
        description="images m",
        layout=wide,
    )
    weights = ipywidgets.Dropdown(options=[f"{beta:g}" for beta in betas], index=0, description="β", layout=wide)
    models, links = {}, []
    for setting in groups(rows, [*DATA, *NETWORK]):
        of_setting = []
        for beta in betas:
            one = setting[setting["beta"] == beta].sort_values("components")
            frames = [ipywidgets.HTML(_frame(one, place), layout=wide) for place in range(len(one))]
            stack = ipywidgets.Stack(frames, selected_index=0, layout=wide)
            links.append(ipywidgets.jslink((slider, "index"), (stack, "selected_index")))
            of_setting.append(stack)
        chosen = ipywidgets.Stack(of_setting, selected_index=0, layout=wide)
        links.append(ipywidgets.jslink((weights, "index"), (chosen, "selected_index")))
        models[f"{setting['n_train'].iloc[0]:,} training images, {network_label(setting)}"] = chosen
    menu = ipywidgets.Dropdown(options=list(models), index=0, description="encoder", layout=wide)
    shown = ipywidgets.Stack(list(models.values()), selected_index=0, layout=wide)
    links.append(ipywidgets.jslink((menu, "index"), (shown, "selected_index")))
    box = ipywidgets.VBox([menu, weights, slider, shown])
    # The links live as long as the box.
    box.links = links
    return box


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
    parts = _curves(one, place, bounds) + _bars(one, place)
    # Single quotes, which JSON does not escape.
    return (
        f"<svg role='img' aria-label='{html.escape(words)}' viewBox='0 0 {_WIDTH} {_HEIGHT}' font-size='16' "
        f"style='width:100%' xmlns='http://www.w3.org/2000/svg'>"
        f"<rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )


def _curves(one: pd.DataFrame, place: int, bounds: tuple[float, float]) -> list[str]:
    """Draw the information and its ceiling against the number of images (log axis) up to this one, and the bounds."""
    ceilings = one["log_n"].to_numpy()
    most = 1.12 * max(ceilings[-1], one["mutual_information"].max(), bounds[1])
    across = _LEFT + (_RIGHT - _LEFT) * (0.02 + 0.96 * _parted(ceilings))
    along, limit = (_height(one[name].to_numpy(), most) for name in ("mutual_information", "log_n"))
    high, low = _height(np.array([bounds[1], bounds[0]]), most)
    parts = [
        f"<rect x='{_LEFT:g}' y='{high:.1f}' width='{_RIGHT - _LEFT:g}' height='{low - high:.1f}' fill='{_BOUNDS}' "
        "fill-opacity='.35'/>",
        f"<path d='M{_LEFT:g} {_TOP:g}V{_FLOOR:g}H{_RIGHT:g}' fill='none' stroke='#777'/>",
        _line(across, limit, "stroke='#000' stroke-width='2' stroke-dasharray='5 4'"),
        _line(across[: place + 1], along[: place + 1], f"stroke='{_INFORMATION}' stroke-width='3'"),
        f"<path d='M{across[place]:.1f} {_FLOOR:g}V{limit[place]:.1f}' stroke='#777' stroke-dasharray='2 3'/>",
        f"<circle cx='{across[place]:.1f}' cy='{along[place]:.1f}' r='6' fill='{_INFORMATION}'/>",
    ]
    step = next(width for width in (1, 2, 5, 10, 20, 50, 100) if most / width <= 7)
    ticks = np.arange(0, most, step)
    parts += [_text(_LEFT - 6, y + 5, f"{tick:g}", "end") for tick, y in zip(ticks, _height(ticks, most), strict=True)]
    ends = ((0, "start"), (len(one) - 1, "end"))
    parts += [_text(across[k], _FLOOR + 20, f"{one['components'].iloc[k]:,}", anchor) for k, anchor in ends]
    parts.append(_text((_LEFT + _RIGHT) / 2, _FLOOR + 20, "fresh images m", "middle"))
    keys = (
        (12, _INFORMATION, 3, "", "information"),
        (146, "#000", 2, "5 4", "ceiling log m"),
        (300, _BOUNDS, 12, "", "population"),
    )
    for x, colour, thick, dashes, label in keys:
        line = f"<path d='M{x} 17h24' stroke='{colour}' stroke-width='{thick}' stroke-dasharray='{dashes}'/>"
        parts += [line, _text(x + 30, 22, label)]
    return parts


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
    """Draw the rate, and below it the two parts, one beginning where the other ends."""
    row = one.iloc[place]
    longest = max(one["rate"].max(), one["log_n"].max())
    scale = (_RIGHT - _BARS) / longest
    rate, information, marginal_kl = (
        max(float(row[name]), 0.0) for name in ("rate", "mutual_information", "marginal_kl")
    )
    bars = (
        ("R", float(row["rate"]), rate, 0.0, _RATE),
        ("I", float(row["mutual_information"]), information, 0.0, _INFORMATION),
        ("KL", float(row["marginal_kl"]), marginal_kl, information, _MARGINAL_KL),
    )
    parts = []
    for index, (name, value, length, start, colour) in enumerate(bars):
        y = 316 + 32 * index
        at = f"x='{_BARS + scale * start:.1f}' y='{y}' width='{scale * length:.1f}' height='22'"
        parts.append(f"<rect {at} fill='{colour}'/>")
        parts.append(_text(12, y + 17, f"{name} = {value:.2f}".replace("-", "−")))
    ceiling = _BARS + scale * math.log(row["components"])
    parts.append(f"<path d='M{ceiling:.1f} 310V408' stroke='#000' stroke-width='2' stroke-dasharray='5 4'/>")
    label = f"ceiling of I: log {row['components']:,} = {row['log_n']:.2f} nats"
    # Letters of 16 are about 8 wide: the words stay inside the picture.
    room = 4.2 * len(label)
    parts.append(_text(min(max(ceiling, room), _WIDTH - room), 430, label, "middle"))
    return parts


def _line(x: np.ndarray, y: np.ndarray, style: str) -> str:
    points = " ".join(f"{across:.1f},{along:.1f}" for across, along in zip(x, y, strict=True))
    return f"<polyline points='{points}' fill='none' {style}/>"


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f"<text x='{x:g}' y='{y:g}' text-anchor='{anchor}' fill='#000'>{html.escape(words)}</text>"
