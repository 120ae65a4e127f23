"""The mutual information at its ceiling: along beta, and along the number of images in the aggregate posterior."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ratereg.plots.data import in_words
from ratereg.plots.grid import evenly, grid, labeled, model_colors, seed_means
from ratereg.plots.style import beta_axis, beta_colors, beta_keys, draw_means, finished, key, log_axis
from ratereg.studies import Results
from ratereg.summary import groups

__all__ = ["information_ceiling", "saturation"]

_BOUNDS = {"annealed_importance_sampling": "-", "importance_weighted_bound": ":"}
_MOST_BETAS = 6


def saturation(results: Results) -> Figure:
    """Draw along beta what saturates and what does not: one column per training set, one color per model.

    From above: the training images' mutual information with its ceiling log N, their marginal KL, the test distortion,
    and the negatives of two lower bounds on the log-likelihood, or the pseudo-evidence, of test images. Means over
    seeds with 95% t intervals, and the seeds as dots.
    """
    rows = labeled(results.final[results.final["partition"].isin(["train", "test"])])
    # Bounds are drawn as costs, lower is better, like the distortion.
    bounds = [bound for bound in _BOUNDS if bound in rows]
    rows = rows.assign(**{bound: -rows[bound] for bound in bounds})
    heads = {
        "mutual_information": "mutual information\nof training images",
        "marginal_kl": "marginal KL\nof training images",
        "distortion": "test distortion",
        **dict.fromkeys(bounds, "− log evidence bounds\nof test images"),
    }
    table = seed_means(rows, (*heads, "log_n"))
    ceilings = table[table["measure"] == "log_n"].groupby(["panel", "partition"])["value"].mean()
    of_training = table["measure"].isin(["mutual_information", "marginal_kl"])
    table = table[(table["partition"] == "train") == of_training].assign(head=table["measure"].map(heads))
    table = table.dropna(subset="head")
    colors = model_colors(rows)

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for curve in groups(here, ["series", "measure"]):
            where, measure = curve[["panel", "series", "partition"]].iloc[0], curve["measure"].iloc[0]
            style = {"color": colors[where["series"]], "ls": _BOUNDS.get(measure, "-"), "label": where["series"]}
            draw_means(panel, curve, "beta", marker="o", ms=5, mec="white", mew=0.7, zorder=3, **style)
            seeds = rows[(rows[where.index] == where).all(axis=1)]
            panel.plot(seeds["beta"], seeds[measure], ".", ms=3, color=colors[where["series"]], alpha=0.6)
            if measure == "mutual_information":
                panel.axhline(ceilings[where["panel"], "train"], color="k", ls="--", lw=1.2, label="ceiling")
        beta_axis(panel, table["beta"])

    keys = [key(color=color, marker="o", ms=4, label=name) for name, color in colors.items()]
    keys.append(key(color="k", ls="--", lw=1.2, label=r"ceiling $\log N$"))
    keys += [key(label="annealed"), key(ls=":", label="importance weighted")]
    layout: dict[str, Any] = {"rows": ["head"], "columns": ["panel"], "title": "{panel}", "height": 1.9, "ncols": 2}
    fig = grid(table, draw, keys, xlabel=r"$\beta$", ylabel="{head}\n(nats)", share=(True, "row"), **layout)
    words = in_words(table[table["measure"].isin(["mutual_information", "distortion"])], "beta")
    return finished(fig, table.drop(columns="head"), words)


def information_ceiling(results: Results) -> Figure:
    """Draw the information of fresh images against their number: one panel per training set and model.

    One color per beta, dashed the ceiling log m. Bars on the right reach from the lower to the upper bound on the
    population's information, which have no ceiling. Means over seeds. Both axes are logarithmic, and the information's
    ends at 1 nat: smaller values lie below the panel. At most six betas are drawn, evenly picked from the largest to
    the smallest.

    Raises:
        ValueError: the results have no fresh images.
    """
    rows = results.final[results.final["partition"] == "fresh"]
    if rows.empty:
        raise ValueError("information_ceiling: results has no fresh images; measure `FreshInformation` first.")
    chosen = evenly(rows["beta"], _MOST_BETAS)
    rows = labeled(rows[rows["beta"].isin(chosen)])
    measures = ["mutual_information", "information_lower_bound", "information_upper_bound"]
    table = seed_means(rows, measures, by=("components",)).sort_values("components", kind="stable")
    colors = beta_colors(chosen)
    sizes = np.sort(rows["components"].unique())
    # Bars stand to the right of the largest number of images.
    places = dict(zip(colors, sizes[-1] * 1.9 * 1.5 ** np.arange(len(colors)), strict=True))
    decades = np.arange(np.ceil(np.log10(sizes[0])), np.floor(np.log10(sizes[-1])) + 1)
    middle = float(np.sqrt(places[chosen[0]] * places[chosen[-1]]))

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for beta, color in colors.items():
            of_beta = here[here["beta"] == beta].set_index("measure")
            curve = of_beta.loc[measures[0]]
            panel.plot(curve["components"], curve["value"], "o-", ms=4, color=color, label=rf"$\beta$ = {beta:g}")
            # The lower bound of a collapsed model may be negative.
            ends = of_beta.loc[of_beta.index.isin(measures[1:]), "value"].clip(lower=0.1)
            at = [places[beta]] * len(ends)
            panel.plot(at, ends, color=color, lw=4, solid_capstyle="butt", alpha=0.8, label="_bounds")
            panel.plot(at, ends, "_", ms=8, mew=1.5, color=color, label="_bounds")
        panel.plot(sizes, np.log(sizes), "k--", lw=1.2, label="ceiling")
        panel.axvline(1.35 * sizes[-1], color="0.7", lw=0.8)
        log_axis(panel.yaxis, table["value"].clip(lower=1.0))
        panel.set(xscale="log", ylim=(max(1.0, panel.get_ylim()[0]), None))
        panel.set_xticks([*10**decades, middle], [*(f"$10^{{{power:g}}}$" for power in decades), "population"])
        panel.xaxis.set_minor_locator(NullLocator())

    keys = beta_keys(colors, marker="o", ms=4)
    keys += [key(color="k", ls="--", lw=1.2, label=r"ceiling $\log m$"), key(lw=4, label="bounds on the population's")]
    fig = grid(table, draw, keys, xlabel="fresh images $m$", ylabel="mutual information (nats)")
    return finished(fig, table, in_words(table[table["components"] == sizes[-1]], "beta"))
