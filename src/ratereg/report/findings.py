"""Findings that only a report has: convergence, active latents, the gap along beta, and warnings. Values in nats."""

import math

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ratereg.claims.contrasts import ENOUGH_SEEDS
from ratereg.claims.measures import measured
from ratereg.data import ImageSet
from ratereg.evaluation import active_units
from ratereg.plots.data import in_words
from ratereg.plots.grid import grid
from ratereg.plots.labels import labelled, model_colors, seed_means
from ratereg.plots.style import draw_means, finished, key, log_axis
from ratereg.studies import Results
from ratereg.summary import SETTING, groups, labels, mean_interval

__all__ = [
    "CONVERGED",
    "HIGH",
    "LOW",
    "active_latents",
    "convergence",
    "convergence_table",
    "copies",
    "gap_along_beta",
    "numbers",
    "title",
    "warnings",
]

LOW, HIGH = 0.1, 1.0
"""The weights that are compared, as in the book."""

CONVERGED = 0.01
"""The largest share of the distortion by which a converged network's changes between the last two recorded steps, and
the smallest share by which an overfitted network's ends above its lowest value."""

FEW_IMAGES = 1_000
"""Training images below which a report warns."""

_NAMED = 4
"""Settings that a warning names."""

_COLUMNS = {"R": "rate", "I": "mutual_information", "KL": "marginal_kl", "D": "distortion"}


def title(results: Results) -> str:
    """Return the title of a report."""
    sources = ", ".join(dict.fromkeys(str(name) for name in results.final["dataset"]))
    published = f"the published study {results.name} ({results.scale} scale)"
    return f"Rate-distortion report: {published if results.name else sources}"


def convergence(results: Results) -> pd.DataFrame:
    """Return how the test distortion ends, one row for each setting and beta, means over seeds.

    Returns:
        columns `where` (the setting's name), `beta`, `change` from the last but one recorded step to the last and
        `above`, by how much the last value is above the lowest one, both as shares of the last; `lowest`, the step of
        that value; and `word`: "converged", "still falling", "rising", or "not finite" after a divergence.
    """
    test = results.table[results.table["partition"] == "test"]
    rows = []
    for here in groups(test.assign(where=_named(test)), [*SETTING, "beta"]):
        path = here.groupby("step")["distortion"].mean().dropna()
        row = here.iloc[0][["where", "beta"]].to_dict()
        if results.study.steps in path.index:
            last = path.iloc[-1]
            change = (last - path.iloc[-2]) / abs(last) if len(path) > 1 else math.nan
            word = "still falling" if change < -CONVERGED else "rising" if change > CONVERGED else "converged"
            row |= {"change": change, "above": (last - path.min()) / abs(last), "lowest": path.idxmin(), "word": word}
        rows.append({"change": math.nan, "above": math.nan, "lowest": 0, "word": "not finite"} | row)
    return pd.DataFrame(rows)


def convergence_table(results: Results) -> pd.DataFrame:
    """Return `convergence` to be read: a row for each setting, a column for each beta."""
    found = convergence(results)
    found["cell"] = [f"{row['change']:+.1%}, {row['word']}".replace("-", "−") for _, row in found.iterrows()]
    return _by_beta(found)


def active_latents(results: Results) -> pd.DataFrame:
    """Return how many latents are active, means over seeds: a row for each setting, a column for each beta.

    A latent is active if the variance of its posterior mean over the kept training images exceeds 0.01.

    Raises:
        KeyError: the results keep no posteriors.

    Source: Burda et al. (2016), section 5.2.
    """
    active = active_units(torch.from_numpy(results.arrays["train_mean"])).sum(-1).numpy()
    rows = results.final[results.final["partition"] == "train"]
    rows = rows.assign(where=_named(rows), active=active[rows["member"]])
    found = [
        here.iloc[0][["where", "beta"]].to_dict()
        | {"cell": f"{here['active'].mean():.3g} of {here['latent_dim'].iloc[0]}"}
        for here in groups(rows, [*SETTING, "beta"])
    ]
    return _by_beta(pd.DataFrame(found))


def numbers(results: Results) -> pd.DataFrame:
    """Return rate, its parts and distortion at the last step: means over seeds ± half a 95% interval, in nats."""
    final = results.final[results.final["partition"].isin(["train", "test"])]
    rows = []
    for here in groups(final.assign(where=_named(final)).sort_values("beta", ascending=False), [*SETTING, "beta"]):
        sides = dict(list(here.groupby("partition")))
        cells = {f"{name}, training": _interval(sides["train"][column]) for name, column in _COLUMNS.items()}
        cells |= {f"{name}, test": _interval(sides["test"][_COLUMNS[name]]) for name in "RD"}
        rows.append({"network": here["where"].iloc[0], "β": f"{here['beta'].iloc[0]:g}"} | cells)
    return pd.DataFrame(rows).sort_values("network", kind="stable").set_index("network")


def warnings(results: Results) -> list[str]:
    """Return what a reader should know before believing the rest of a report."""
    study, final, ended = results.study, results.final, convergence(results)
    falling, over = ended[ended["word"] == "still falling"], ended[ended["above"] > CONVERGED]
    seeds, images = len(study.axis_seeds), int(final["n_train"].min())
    diverged = final.loc[final["diverged_at"].notna(), "training"].nunique()
    told = {
        f"No verdict on lowering the weight: β = {HIGH:g} and β = {LOW:g} were not both measured.": not (
            {LOW, HIGH} <= set(study.axis_betas)
        ),
        f"Too few seeds: {seeds}, and a verdict takes {ENOUGH_SEEDS}. All verdicts are “not enough data”.": (
            seeds < ENOUGH_SEEDS
        ),
        f"Few images: {images:,} for training. The ceiling of the mutual information is low, and another choice of "
        "training images might lead to other verdicts.": images < FEW_IMAGES,
        f"Divergence: {diverged} of {len(study)} networks are left out.": diverged > 0,
        f"Not converged: the test distortion was still falling at the end in {len(falling)} of {len(ended)} cases. "
        f"{_cases(falling)} More steps may change the verdicts.": len(falling) > 0,
        f"Overfitting: the test distortion ended more than {CONVERGED:.0%} above its lowest recorded value in "
        f"{len(over)} of {len(ended)} cases. {_cases(over)} No training was stopped early.": len(over) > 0,
    }
    return [words for words, holds in told.items() if holds]


def copies(images: ImageSet) -> str:
    """Return a sentence on test images that are exact copies of training images."""
    rows = [row.tobytes() for row in images.pixels.flatten(1).numpy()]
    train = {rows[row] for row in images.train.tolist()}
    twins = sum(rows[row] in train for row in images.test.tolist())
    if not twins:
        return "No test image is a copy of a training image."
    return f"{twins:,} of {len(images.test):,} test images are copies of training images, and easier than new ones."


def gap_along_beta(results: Results) -> Figure:
    """Draw the distortion of test images less that of training images against beta: one panel per data set.

    Means over seeds with 95% t intervals, in nats, one color per model.
    """
    rows = labelled(measured(results.final, "distortion", "gap"))
    table, colors = seed_means(rows, ["value"]), model_colors(rows)

    def draw(panel: Axes, here: pd.DataFrame) -> None:
        for series in groups(here, ["series"]):
            name = series["series"].iloc[0]
            draw_means(panel, series, "beta", marker="o", color=colors[name], label=name)
        panel.axhline(0, color="k", lw=0.8)
        log_axis(panel.xaxis, table["beta"])
        panel.xaxis.set_inverted(True)

    keys = [key(color=color, marker="o", label=name) for name, color in colors.items()]
    words = {"xlabel": r"$\beta$", "ylabel": "test less training\ndistortion (nats)", "title": "{panel}"}
    fig = grid(table, draw, keys, columns=["partition"], height=2.9, ncols=2, **words)
    return finished(fig, table, in_words(table.assign(measure="gap"), "beta"))


def _named(rows: pd.DataFrame) -> pd.Series:
    """Return the name of each row's setting: that of its network, after that of its data where there are several."""
    words = labels(rows, short=True)
    return words["network"] if words["data"].nunique() == 1 else words["data"] + ": " + words["network"]


def _by_beta(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the column `cell` with a row for each `where` and a column for each beta, the largest first."""
    rows = rows.sort_values("beta", ascending=False)
    table = rows.assign(column=[f"β = {beta:g}" for beta in rows["beta"]]).pivot_table(
        index="where", columns="column", values="cell", aggfunc="first", sort=False
    )
    return table.fillna("").rename_axis("network").rename_axis(columns=None)


def _interval(values: pd.Series) -> str:
    mean = mean_interval(values.dropna())
    return f"{mean.mean:.1f}" + (f" ± {mean.half_width:.1f}" if mean.seeds > 1 else "")


def _cases(rows: pd.DataFrame) -> str:
    """Return the settings and betas of rows of `convergence`."""
    cases = []
    for where, here in rows.groupby("where", sort=False):
        lowest = [
            f" (lowest at step {step:,})" if over else ""
            for step, over in zip(here["lowest"], here["above"] > CONVERGED, strict=True)
        ]
        cases.append(
            f"{where}: β = {', '.join(f'{beta:g}{words}' for beta, words in zip(here['beta'], lowest, strict=True))}."
        )
    rest = [f"And {len(cases) - _NAMED} more of the settings."] if len(cases) > _NAMED else []
    return " ".join([*cases[:_NAMED], *rest])
