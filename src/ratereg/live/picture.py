"""A training as a picture: its rate-distortion curve, with words for it, and its numbers as a table."""

import base64
import html
import io
import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from ratereg.plots import LINES, MARKERS, draw_rate_distortion
from ratereg.plots.style import WORDS, key

__all__ = ["curve", "curve_picture", "numbers_table"]


def curve(looks: Sequence[pd.DataFrame], steps: int) -> tuple[Figure, str]:
    """Return the rate-distortion curve at the last step looked at, and words for it.

    Thin lines are the paths of the test points from the first step looked at.

    Arguments:
        looks: for each step looked at its rows of a result's table, in nats.
        steps: number of steps of the whole training.
    """
    step = int(looks[-1]["step"].iloc[0])
    betas = sorted(set(looks[-1]["beta"]), reverse=True)
    paths = pd.concat(looks).groupby(["partition", "beta", "step"])[["rate", "distortion"]].mean()
    last = looks[-1].groupby(["partition", "beta"])[["rate", "distortion"]].mean()
    # Without pyplot, whose figures a cell that ends meanwhile would show.
    fig = Figure(figsize=(4.8, 3.9))
    fig.set_layout_engine("none")
    axes = fig.add_axes((0.146, 0.23, 0.823, 0.68))
    words = []
    for beta in betas:
        axes.plot(*paths.loc[("test", beta)].to_numpy().T, color="0.7", lw=1)
        (rate, distortion), (of_training, missed) = last.loc[("test", beta)], last.loc[("train", beta)]
        numbers = (
            f"rate {rate:.1f} and distortion {distortion:.0f} on test images, "
            f"{of_training:.1f} and {missed:.0f} on training images"
        )
        words.append(f"beta {beta:g}: {'diverged' if math.isnan(rate) else numbers}")
    draw_rate_distortion(axes, looks[-1])
    # At first all rates are nearly the same; a decade of the axis has numbers at it.
    low, high = axes.get_xlim()
    axes.set_xlim(right=max(high, 10 * low))
    axes.set(xlabel="rate (nats)", ylabel="distortion (nats)", title=f"step {step:,} of {steps:,}; numbers: β")
    sides = [key(ls=LINES[name], marker=MARKERS[name], label=side) for name, side in WORDS.items()]
    fig.legend(handles=sides, loc="lower center", ncols=2)
    return fig, f"Distortion against rate in nats at step {step:,} of {steps:,}; {'; '.join(words)}."


def curve_picture(looks: Sequence[pd.DataFrame], steps: int) -> str:
    """Return `curve` as an HTML image.

    Matplotlib's settings, which all threads of the process share, are not changed.
    """
    fig, words = curve(looks, steps)
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=150)
    source = base64.b64encode(file.getvalue()).decode()
    return f"<img alt='{html.escape(words)}' style='width:100%' src='data:image/png;base64,{source}'/>"


def numbers_table(look: pd.DataFrame) -> str:
    """Return the numbers at a step as an HTML table: a row for each beta, means over seeds, in nats."""
    values = ["rate", "mutual_information", "marginal_kl", "distortion"]
    means = look.groupby(["beta", "partition"])[values].mean().unstack()
    columns = {name.replace("_", " ").replace("kl", "KL"): means[name, "train"] for name in values}
    shown = pd.DataFrame(columns | {"distortion, test": means["distortion", "test"]}).sort_index(ascending=False)
    log_n = look.loc[look["partition"] == "train", "log_n"].iloc[0]
    caption = (
        "Training images, and test images where the head says so; means over seeds, in nats. The mutual information is "
        f"at most log N = {log_n:.2f}, N being the number of images in the aggregate posterior."
    )
    # Without a minus before what rounds to zero.
    table = (shown.round(1) + 0.0).rename_axis("β").to_html(border=0, na_rep="diverged", float_format="{:.1f}".format)
    return table.replace("<thead>", f"<caption style='caption-side:bottom;text-align:left'>{caption}</caption><thead>")
