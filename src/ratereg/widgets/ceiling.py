"""The information of one encoder under its ceiling, as the aggregate posterior gets more images."""

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ratereg.plots.grid import evenly, labeled
from ratereg.plots.style import MEASURES
from ratereg.studies import Results
from ratereg.summary import groups
from ratereg.widgets.drawing import SHADE, card, draw_parts, in_style, over, svg
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["ceiling_slider"]

_MOST_BETAS = 5

_WORDS = (
    "The ceiling log m, in nats, against the number m of fresh images, from {:,} to {:,}, and the band between the "
    "bounds on the population's information."
)


@in_style
def ceiling_slider(results: Results) -> ipywidgets.VBox:
    """Return a slider over the number of fresh images in the aggregate posterior of a fixed encoder.

    It moves the ceiling, log m, and shows what is measured below it: the mutual information, as a point on its curve
    and as a bar in the rate, which it shares with the marginal KL, and the bounds on the population's. Menus choose the
    encoder, one of the first seed, and beta. All work by keyboard, and without a kernel.

    Raises:
        ValueError: the results have no fresh images.
    """
    rows = results.final[results.final["partition"] == "fresh"]
    if rows.empty:
        raise ValueError("ceiling_slider: results has no fresh images; measure `FreshInformation` first.")
    rows = labeled(rows[rows["seed"] == rows["seed"].min()], short=False)
    betas = evenly(rows["beta"], _MOST_BETAS)
    encoders = groups(rows, ["panel", "series"])
    sizes = np.sort(rows["components"].unique())
    frames, backdrops = [], []
    for encoder in encoders:
        curves = [encoder[encoder["beta"] == beta].sort_values("components") for beta in betas]
        pairs = [(_backdrop(curve), curve) for curve in curves]
        backdrops.append([svg(lower, _WORDS.format(*curve["components"].iloc[[0, -1]])) for lower, curve in pairs])
        frames.append([[_frame(lower, curve, place) for place in range(len(curve))] for lower, curve in pairs])
    names = [f"{one['panel'].iloc[0]}, {one['series'].iloc[0]}" for one in encoders]
    weights = menu("weight β", [f"{beta:g}" for beta in betas], len(betas) // 2)
    images = slider("images m", [f"{size:,}" for size in sizes])
    return Framed([menu("encoder", names), weights, images], frames, backdrops)


def _backdrop(curve: pd.DataFrame) -> Figure:
    """Return what the frames of one encoder share: the axes, the ceiling, and the population's band."""
    fig = card(4.6, (0.45, 1.85, 4.2, 2.2), (1.05, 0.05, 3.6, 1.15))
    panel, bars = fig.axes
    sizes = curve["components"]
    # The bounds are measured with the most images.
    bounds = curve.iloc[-1][["information_lower_bound", "information_upper_bound"]].clip(lower=0)
    panel.fill_between(sizes, *bounds, color=SHADE, alpha=0.35, lw=0, label="population")
    panel.plot(sizes, curve["log_n"], "k--", label="ceiling log m")
    panel.plot([], [], color=MEASURES["mutual_information"], lw=2.2, label="information")
    panel.set(xscale="log", ylim=(0, None), xlabel="fresh images m")
    panel.set_xticks(sizes.iloc[[0, -1]], [f"{size:,}" for size in sizes.iloc[[0, -1]]])
    panel.minorticks_off()
    panel.legend(loc="lower left", bbox_to_anchor=(-0.1, 0.98), ncols=3, handlelength=1.5)
    bars.set_xlim(0, 1.02 * np.nanmax([*curve["rate"], *curve["log_n"]]))
    bars.axis("off")
    return fig


def _frame(lower: Figure, curve: pd.DataFrame, place: int) -> str:
    """Return what one number of images lays over the backdrop: the curve up to there, and the rate as bars."""
    fig = over(lower)
    panel, bars = fig.axes
    row, until = curve.iloc[place], curve.iloc[: place + 1]
    # An estimate below 0 lies on the axis.
    information = until["mutual_information"].clip(lower=0.0)
    color = MEASURES["mutual_information"]
    panel.plot(until["components"], information, color=color, lw=2.2)
    panel.plot(row["components"], information.iloc[-1], "o", color=color, ms=8)
    panel.plot([row["components"]] * 2, [0, row["log_n"]], ":", color="0.4", lw=1)
    draw_parts(bars, row)
    low, high = (curve.iloc[-1][f"information_{side}_bound"] for side in ("lower", "upper"))
    return svg(
        fig,
        f"beta = {row['beta']:g}, {row['components']:,} fresh images: mutual information "
        f"{row['mutual_information']:.2f} nats below its ceiling of {row['log_n']:.2f}, and marginal KL "
        f"{row['marginal_kl']:.2f}, of a rate of {row['rate']:.2f}. Bounds on the population's information: "
        f"{low:.2f} and {high:.2f}.",
    )
