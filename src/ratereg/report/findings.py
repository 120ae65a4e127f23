"""Findings that only a report has: its table of numbers, convergence, active latents, and warnings. Values in nats."""

import numpy as np
import pandas as pd
import torch

from ratereg.claims.contrasts import ENOUGH_SEEDS
from ratereg.data import ImageSet
from ratereg.evaluation import active_units
from ratereg.studies import Results
from ratereg.summary import SETTING, groups, labels, mean_interval

__all__ = ["HIGH", "LOW", "convergence", "copies", "named", "numbers", "title", "warnings"]

LOW, HIGH = 0.1, 1.0
"""The weights that are compared, as in the book."""

CONVERGED = 0.01
"""The largest share of the distortion by which a converged network's changes between the last two recorded steps, and
the smallest share by which an overfitted network's ends above its lowest value."""

FEW_IMAGES = 1_000
"""Training images below which a report warns."""

_COLUMNS = {"R": "rate", "I": "mutual_information", "KL": "marginal_kl", "D": "distortion"}


def title(results: Results) -> str:
    """Return the title of a report."""
    sources = ", ".join(dict.fromkeys(str(name) for name in results.final["dataset"]))
    published = f"the published study {results.name} ({results.scale} scale)"
    return f"Rate-distortion report: {published if results.name else sources}"


def convergence(results: Results) -> pd.DataFrame:
    """Return how the test distortion ends, one row for each setting and beta, means over seeds.

    Returns:
        columns `network` (the setting's name), `beta`, `change` from the last but one recorded step to the last and
        `above`, by how much the last value is above the lowest one, both as shares of the last; `lowest`, the step of
        that value; and `word`: "converged", "still falling", "rising", or "not finite" after a divergence.
    """
    test = results.table[results.table["partition"] == "test"]
    means = test.assign(network=named(test)).groupby(["network", "beta", "step"], sort=False)["distortion"].mean()
    path = means.unstack("step").sort_index(axis=1)
    last = path[results.study.steps]
    change = (last - path.shift(1, axis=1)[results.study.steps]) / last.abs()
    words = np.select(
        [last.isna(), change < -CONVERGED, change > CONVERGED], ["not finite", "still falling", "rising"], "converged"
    )
    above, lowest = (last - path.min(axis=1)) / last.abs(), path.fillna(np.inf).idxmin(axis=1)
    return pd.DataFrame({"change": change, "above": above, "lowest": lowest, "word": words}).reset_index()


def numbers(results: Results) -> pd.DataFrame:
    """Return the numbers of the last step: means over seeds ± half a 95% interval, a row for each setting and beta.

    The columns are rate R, its parts I and KL, distortion D and the gap of distortion, test less training, in nats; and
    the active latents, where the results keep posteriors: those whose posterior mean has a variance over the kept
    training images of more than 0.01.
    """
    means = results.arrays.get("train_mean")
    active = None if means is None else pd.Series(active_units(torch.from_numpy(means)).sum(-1).numpy())
    final = results.final[results.final["partition"].isin(["train", "test"])]
    rows = []
    for here in groups(
        final.assign(network_name=named(final)).sort_values("beta", ascending=False), [*SETTING, "beta"]
    ):
        train, test = (here[here["partition"] == side].set_index("seed") for side in ("train", "test"))
        cells = {f"{name}, training": train[column] for name, column in _COLUMNS.items()}
        cells |= {f"{name}, test": test[_COLUMNS[name]] for name in "RD"}
        cells["gap"] = test["distortion"] - train["distortion"]
        if active is not None:
            cells["active latents"] = train["member"].map(active)
        row = {"network": here["network_name"].iloc[0], "β": f"{here['beta'].iloc[0]:g}"}
        rows.append(row | {name: _interval(values) for name, values in cells.items()})
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
        f"{len(over)} of {len(ended)} cases. {_cases(over, lowest=True)} No training was stopped early.": len(over) > 0,
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


def named(rows: pd.DataFrame) -> pd.Series:
    """Return the name of each row's setting: that of its network, after that of its data where there are several."""
    words = labels(rows, short=True)
    return words["network"] if words["data"].nunique() == 1 else words["data"] + ": " + words["network"]


def _interval(values: pd.Series) -> str:
    mean = mean_interval(values.dropna())
    # Without a minus before what rounds to zero.
    words = f"{round(mean.mean, 1) + 0.0:.1f}".replace("-", "−")
    return words + (f" ± {mean.half_width:.1f}" if mean.seeds > 1 else "")


def _cases(rows: pd.DataFrame, lowest: bool = False) -> str:
    """Return the networks and betas of rows of `convergence`, with the step of the lowest value if asked for."""
    cases = []
    for name, here in rows.groupby("network", sort=False):
        ends = [f" (lowest at step {step:,})" if lowest else "" for step in here["lowest"]]
        betas = ", ".join(f"{beta:g}{end}" for beta, end in zip(here["beta"], ends, strict=True))
        cases.append(f"{name}: β = {betas}.")
    more = [f"And {len(cases) - 4} more of the settings."] if len(cases) > 4 else []
    return " ".join([*cases[:4], *more])
