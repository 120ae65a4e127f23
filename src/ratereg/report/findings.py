"""Sentences and tables that only a report has: convergence, active latents, the numbers of each setting, and warnings.

Rates, distortions and information in nats.
"""

import math

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ratereg.claims.contrasts import ENOUGH_SEEDS
from ratereg.claims.measures import measured
from ratereg.data import ImageSet
from ratereg.evaluation import active_units
from ratereg.plots import STYLE
from ratereg.plots.style import finished, interval
from ratereg.studies import Results
from ratereg.summary import SETTING, groups, labels, mean_interval, over_seeds

__all__ = [
    "CONVERGED",
    "active_latents",
    "convergence",
    "convergence_table",
    "copies",
    "gap_along_beta",
    "named",
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

_COLUMNS = {"R": "rate", "I": "mutual_information", "KL": "marginal_kl", "D": "distortion"}


def title(results: Results) -> str:
    """Return the title of the report of some results."""
    sources = ", ".join(dict.fromkeys(str(name) for name in results.final["dataset"]))
    published = f"the published study {results.name} ({results.scale} scale)"
    return f"Rate-distortion report: {published if results.name else sources}"


def named(rows: pd.DataFrame) -> pd.Series:
    """Return the name of each row's setting: that of its network, after that of its data where there are several."""
    words = labels(rows, short=True)
    return words["network"] if words["data"].nunique() == 1 else words["data"] + ": " + words["network"]


def convergence(results: Results) -> pd.DataFrame:
    """Return how the test distortion ends, one row for each setting and beta, means over seeds.

    Returns:
        columns `where` (the setting's name), `beta`, `change` from the last but one recorded step to the last and
        `above`, by how much the last value is above the lowest one, both as shares of the last; `lowest`, the step of
        that value; and `word`: "converged", "still falling", "rising", or "not finite" after a divergence.
    """
    test = results.table[results.table["partition"] == "test"]
    rows = []
    for here in groups(test.assign(where=named(test)).sort_values(["beta", "step"], ascending=[False, True]), SETTING):
        for at_beta in groups(here, ["beta"]):
            path = at_beta.groupby("step")["distortion"].mean().dropna()
            row = at_beta.iloc[0][["where", "beta"]].to_dict()
            if path.empty or path.index[-1] != results.study.steps:
                rows.append(row | {"change": math.nan, "above": math.nan, "lowest": 0, "word": "not finite"})
                continue
            last = path.iloc[-1]
            change = (last - path.iloc[-2]) / abs(last) if len(path) > 1 else math.nan
            word = "still falling" if change < -CONVERGED else "rising" if change > CONVERGED else "converged"
            above = (last - path.min()) / abs(last)
            rows.append(row | {"change": change, "above": above, "lowest": int(path.idxmin()), "word": word})
    return pd.DataFrame(rows)


def convergence_table(results: Results) -> pd.DataFrame:
    """Return `convergence` to be read: a row for each setting, a column for each beta."""
    found = convergence(results)
    cells = [f"{change:+.1%}, {word}".replace("-", "−") for change, word in zip(found["change"], found["word"])]
    return _by_beta(found.assign(cell=cells))


def active_latents(results: Results) -> pd.DataFrame:
    """Return how many latents are active, to be read: a row for each setting, a column for each beta, means over seeds.

    Latents are active if the variance of their posterior mean over the kept training images exceeds 0.01; a network
    without any has collapsed to the prior.

    Raises:
        KeyError: the results have no `train_mean`.
    """
    counts = active_units(torch.from_numpy(results.arrays["train_mean"])).sum(-1).tolist()
    rows = results.final[results.final["partition"] == "train"]
    rows = rows.assign(where=named(rows), active=[counts[member] for member in rows["member"]])
    means = rows.groupby(["where", "beta", "latent_dim"], sort=False)["active"].mean().reset_index()
    cells = [f"{active:.3g} of {latents}" for active, latents in zip(means["active"], means["latent_dim"])]
    return _by_beta(means.assign(cell=cells))


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return for each setting's name rate, its parts and distortion by beta: means over seeds and half 95% intervals."""
    final = results.final[results.final["partition"].isin(["train", "test"])]
    found = {}
    for setting in groups(final.assign(where=named(final)), SETTING):
        rows = {}
        for at_beta in groups(setting.sort_values("beta", ascending=False), ["beta"]):
            side = {name: at_beta[at_beta["partition"] == name] for name in ("train", "test")}
            cells = {f"{letter}, training": side["train"][column] for letter, column in _COLUMNS.items()}
            cells |= {f"{letter}, test": side["test"][_COLUMNS[letter]] for letter in ("R", "D")}
            rows[f"{at_beta['beta'].iloc[0]:g}"] = {name: _in_words(values) for name, values in cells.items()}
        found[setting["where"].iloc[0]] = pd.DataFrame.from_dict(rows, orient="index").rename_axis("β")
    return found


def warnings(results: Results) -> list[str]:
    """Return what a reader should know before believing the rest of a report."""
    study, final = results.study, results.final
    told = []
    if not {LOW, HIGH} <= set(study.axis_betas):
        told.append(f"No verdict on lowering the weight: β = {HIGH:g} and β = {LOW:g} were not both measured.")
    if (seeds := len(study.axis_seeds)) < ENOUGH_SEEDS:
        told.append(f"Too few seeds: {seeds}, and a verdict takes {ENOUGH_SEEDS}. All verdicts are “not enough data”.")
    if (images := int(final["n_train"].min())) < FEW_IMAGES:
        told.append(
            f"Few images: {images:,} for training. The ceiling of the mutual information is low, and another choice of "
            "training images might lead to other verdicts."
        )
    if diverged := final.loc[final["diverged_at"].notna(), "training"].nunique():
        told.append(f"Divergence: {diverged} of {len(study)} networks are left out.")
    ended = convergence(results)
    if len(falling := ended[ended["word"] == "still falling"]):
        told.append(
            f"Not converged: the test distortion was still falling at the end in {len(falling)} of {len(ended)} cases. "
            f"{_cases(falling)} More steps may change the verdicts."
        )
    if len(over := ended[ended["above"] > CONVERGED]):
        told.append(
            f"Overfitting: the test distortion ended more than {CONVERGED:.0%} above its lowest recorded value in "
            f"{len(over)} of {len(ended)} cases. {_cases(over)} No training was stopped early."
        )
    return told


def copies(images: ImageSet) -> str:
    """Return a sentence on test images that are exact copies of training images."""
    rows = [row.tobytes() for row in images.pixels.flatten(1).numpy()]
    train = {rows[row] for row in images.train.tolist()}
    twins = sum(rows[row] in train for row in images.test.tolist())
    if not twins:
        return "No test image is a copy of a training image."
    return f"{twins:,} of {len(images.test):,} test images are copies of training images, and easier than new ones."


def gap_along_beta(results: Results) -> Figure:
    """Draw the distortion of test images less that of training images against beta: means over seeds, 95% intervals."""
    gap = measured(results.final, "distortion", "gap")
    means = over_seeds(gap, ["value"])
    with plt.style.context(STYLE):
        fig, axes = plt.subplots(figsize=(6.4, 3.8))
        for setting in groups(means.assign(where=named(means)).sort_values("beta"), SETTING):
            (line,) = axes.plot(setting["beta"], setting["value"], "o-", label=setting["where"].iloc[0])
            for _, row in setting.iterrows():
                interval(axes, [row["beta"]] * 2, [row["value_low"], row["value_high"]], color=line.get_color())
        axes.axhline(0, color="k", lw=0.8)
        axes.set(xlabel=r"$\beta$", ylabel="test less training\ndistortion (nats)", xscale="log")
        axes.xaxis.set_inverted(True)
        fig.legend(loc="outside lower center", ncols=2)
    return finished(fig)


def _by_beta(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the column `cell` with a row for each `where`, a column for each beta."""
    columns = [f"β = {beta:g}" for beta in rows["beta"]]
    found = rows.assign(column=columns).pivot_table(
        index="where", columns="column", values="cell", aggfunc="first", sort=False
    )
    return found.fillna("").rename_axis("network", axis=0).rename_axis(None, axis=1)


def _in_words(values: pd.Series) -> str:
    one = mean_interval(values.dropna())
    return f"{one.mean:.1f}" + (f" ± {one.half_width:.1f}" if one.seeds > 1 else "")


def _cases(rows: pd.DataFrame) -> str:
    """Return which settings and betas rows of `convergence` are of, the first four settings by name."""
    betas = {where: ", ".join(f"{beta:g}" for beta in here["beta"]) for where, here in rows.groupby("where", sort=False)}
    named_first = [f"{where}: β = {some}." for where, some in list(betas.items())[:4]]
    return " ".join([*named_first, *([f"And {len(betas) - 4} more of the settings."] if len(betas) > 4 else [])])
