"""The mutual information at its ceiling: along beta, and along the number of images in the aggregate posterior."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ratereg.plots.curves import small_panels
from ratereg.plots.data import carry
from ratereg.plots.style import STYLE, beta_colors, finished, interval, key, network_colors
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, groups, network_label, over_seeds

__all__ = ["information_ceiling", "saturation"]


def saturation(results: Results) -> Figure:
    """Draw along beta what saturates and what does not: a column per training size, a color per network.

    From above: the training images' mutual information with its ceiling log N, their marginal KL, the test distortion,
    and the negatives of two lower bounds on the log-likelihood, or the pseudo-evidence, of test images. Means over
    seeds with 95% t intervals, and the seeds as dots.
    """
    final = results.final
    columns = groups(final, DATA)
    networks = network_colors(final)
    with plt.style.context(STYLE):
        fig, axes = plt.subplots(
            4, len(columns), figsize=(6.4, 8.6), sharex=True, sharey="row", squeeze=False, height_ratios=[1, 1, 1, 1]
        )
        for panels, data in zip(axes.T, columns, strict=True):
            panels[0].set_title(f"N = {data['n_train'].iloc[0]:,}")
            for network in groups(data, NETWORK):
                color = networks[network_label(network)]
                train, test = (network[network["partition"] == name] for name in ("train", "test"))
                name = network_label(network)
                _draw(panels[0], train, "mutual_information", color, name)
                _draw(panels[1], train, "marginal_kl", color, name)
                _draw(panels[2], test, "distortion", color, name)
                for bound, line in (("annealed_importance_sampling", "-"), ("importance_weighted_bound", ":")):
                    label = f"{name}, {bound.split('_')[0]}"
                    _draw(panels[3], test.assign(**{bound: -test[bound]}), bound, color, label, line)
            ceiling = data.loc[data["partition"] == "train", "log_n"].mean()
            panels[0].axhline(ceiling, color="k", ls="--", lw=1.2, label=r"ceiling $\log N$")
            panels[-1].set_xlabel(r"$\beta$")
        axes[0, 0].set_xscale("log")
        axes[0, 0].xaxis.set_inverted(True)
        names = ("mutual information\nof training images", "marginal KL\nof training images", "test distortion")
        for row, name in zip(axes, (*names, "− log evidence bounds\nof test images"), strict=True):
            row[0].set_ylabel(f"{name}\n(nats)", fontsize=9)
            for panel, data in zip(row, columns, strict=True):
                # The panels are named at the edges of their grid.
                panel.set_label(f"N = {data['n_train'].iloc[0]:,}: {name}")
        keys = [key(color=color, marker="o", ms=4, label=name) for name, color in networks.items()]
        keys.append(key(color="k", ls="--", lw=1.2, label=r"ceiling $\log N$"))
        keys += [key(label="annealed"), key(ls=":", label="importance weighted")]
        fig.legend(handles=keys, loc="outside lower center", ncols=2)
    return finished(fig)


def _draw(panel: Axes, rows: pd.DataFrame, column: str, color: str, label: str, line: str = "-") -> None:
    measured = rows.dropna(subset=column)
    if measured.empty:
        return
    means = over_seeds(measured, (column,)).sort_values("beta")
    style: dict[str, Any] = {
        "ls": line,
        "ms": 5,
        "color": color,
        "mec": "white",
        "mew": 0.7,
        "zorder": 3,
        "label": label,
    }
    (curve,) = panel.plot(means["beta"], means[column], "o", **style)
    low, high = (means[f"{column}_{end}"].to_numpy() for end in ("low", "high"))
    carry(curve, low=low, high=high)
    seeds = panel.plot(measured["beta"], measured[column], ".", ms=3, color=color, alpha=0.6, label=f"{label}, seeds")
    carry(*seeds, seed=measured["seed"].to_numpy())
    for beta, *ends in zip(means["beta"], low, high, strict=True):
        interval(panel, [beta] * 2, ends, color=color, lw=1.2)


def information_ceiling(results: Results, *, betas: Sequence[float] | None = None) -> Figure:
    """Draw the information of fresh images against their number: a panel per training size and network.

    A color per beta, dashed the ceiling log m. Bars on the right reach from the lower to the upper bound on the
    population's information that have no ceiling. Means over seeds. Both axes are logarithmic, and the information's
    ends at 1 nat: what is less lies below the panel.

    Arguments:
        results: of a study with fresh images.
        betas: which; None for at most six, evenly picked from the largest to the smallest.

    Raises:
        ValueError: the results have no fresh images, or not those betas.
    """
    rows = results.final[results.final["partition"] == "fresh"]
    if rows.empty:
        raise ValueError("information_ceiling: results has no fresh images; give those of a study with `fresh_images`.")
    known = sorted(rows["beta"].unique(), reverse=True)
    if betas is None:
        chosen = [known[k] for k in np.unique(np.linspace(0, len(known) - 1, 6).round().astype(int))]
    else:
        chosen = sorted(betas, reverse=True)
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(f"information_ceiling: betas is {betas!r}; give some of {', '.join(f'{b:g}' for b in known)}.")
    rows = rows[rows["beta"].isin(chosen)]
    colors = beta_colors(chosen)
    most = rows["components"].max()
    sizes = np.sort(rows["components"].unique())
    places = dict(zip(colors, most * 1.9 * 1.5 ** np.arange(len(colors)), strict=True))
    decades = 10.0 ** np.arange(np.ceil(np.log10(sizes[0])), np.floor(np.log10(most)) + 1)
    ticks = [*decades, float(np.sqrt(places[chosen[0]] * places[chosen[-1]]))]
    names = [*(rf"$10^{{{k:g}}}$" for k in np.log10(decades)), "population"]

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for beta, color in colors.items():
            one = here[here["beta"] == beta]
            means = over_seeds(one, ("mutual_information",), by=("components",)).sort_values("components")
            label = rf"$\beta$ = {beta:g}"
            panel.plot(means["components"], means["mutual_information"], "o-", ms=4, color=color, label=label)
            largest = one[one["components"] == most]
            ends = [largest[f"information_{side}_bound"].mean() for side in ("lower", "upper")]
            # Of a collapsed model the lower bound may be negative.
            at = [places[beta]] * 2, np.maximum(ends, 0.1)
            (bar,) = panel.plot(*at, color=color, lw=4, solid_capstyle="butt", alpha=0.8)
            label += ", bounds on the population's"
            (caps,) = panel.plot(*at, "_", ms=8, mew=1.5, color=color, label=label)
            # They stand where there is room for them, at no number of images.
            carry(caps, bar, x=np.nan, y=ends)
        panel.plot(sizes, np.log(sizes), "k--", lw=1.2, label=r"ceiling $\log m$")
        panel.axvline(1.35 * most, color="0.7", lw=0.8)
        panel.set(xscale="log", yscale="log")
        panel.set_xticks(ticks, names)
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(NullLocator())
        panel.set_ylim(bottom=max(1.0, panel.get_ylim()[0]))

    keys = [key(color=color, marker="o", ms=4, label=rf"$\beta$ = {beta:g}") for beta, color in colors.items()]
    keys += [key(color="k", ls="--", lw=1.2, label=r"ceiling $\log m$"), key(lw=4, label="bounds on the population's")]
    return small_panels(rows, draw, keys, xlabel="fresh images $m$", ylabel="mutual information (nats)")
