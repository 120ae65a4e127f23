"""Saturation: where the mutual information is at its ceiling, what changes beyond, and whose ceiling it is."""

import math

import pandas as pd

from ratereg.claims.contrasts import ENOUGH_SEEDS, contrast, paired
from ratereg.studies import Results
from ratereg.summary import SETTING, described, groups, labels, mean_interval

__all__ = [
    "LOWS",
    "SATURATED",
    "after_saturation",
    "below_ceiling",
    "ceiling_table",
    "contrast_fresh",
    "describe_saturation",
    "saturated",
]

SATURATED = 0.05
"""Nats below log N within which a mutual information is saturated. Fixed before looking."""


LOWS = (0.1, 0.01, 0.001)
"""Smaller betas that are compared with a larger one, where they were measured."""


def below_ceiling(rows: pd.DataFrame) -> pd.Series:
    """Return by how many nats a setting's training images miss the ceiling of their information, mean over seeds.

    Indexed by beta, the largest first.
    """
    train = rows[rows["partition"] == "train"]
    below = (train["log_n"] - train["mutual_information"]).groupby(train["beta"]).mean()
    return below.sort_index(ascending=False)


def saturated(rows: pd.DataFrame) -> list[float]:
    """Return the betas at which a setting's training images saturate their information, the largest first."""
    below = below_ceiling(rows)
    return list(below.index[below <= SATURATED])


def describe_saturation(results: Results) -> str:
    """Return one Markdown list item for each setting: its ceiling, and the betas at which it is reached."""
    rows = results.final[results.final["partition"] == "train"]
    names = labels(rows)
    items = []
    for setting in groups(rows, SETTING):
        place = ", ".join(filter(None, names.loc[setting.index[0]]))
        betas, below = saturated(setting), below_ceiling(setting)
        where = f"at β = {', '.join(f'{beta:g}' for beta in betas)}" if betas else "at no β"
        short = "; ".join(f"{below[beta]:.2f} nats below it at β = {beta:g}" for beta in below.index.drop(betas))
        ceiling = f"the ceiling is {setting['log_n'].iloc[0]:.2f} nats, and it is reached {where}"
        items.append(f"- {place}: {ceiling}" + (f" ({short})." if short else "."))
    return "\n".join(items)


def after_saturation(results: Results) -> pd.DataFrame:
    """Return contrasts of what is saturated: smaller betas against the largest at which the information is.

    Rows as of `contrast`, for each setting, of the training images' marginal KL and distortion, the test distortion,
    its gap, and the negative of annealed importance sampling's bound for test images if it was measured. No rows for a
    setting that is saturated nowhere, or at none that is larger than one of the smaller betas, 0.1, 0.01 and 0.001.
    """
    measures = [("marginal_kl", "train"), ("distortion", "train"), ("distortion", "test"), ("distortion", "gap")]
    if "annealed_importance_sampling" in results.final:
        measures.append(("-annealed_importance_sampling", "test"))
    parts = []
    for rows in groups(results.final, SETTING):
        high = max(saturated(rows), default=-math.inf)
        smaller = [low for low in LOWS if low < high and low in set(rows["beta"])]
        parts += [contrast(rows, *measure, low=low, high=high) for measure in measures for low in smaller]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def contrast_fresh(results: Results) -> pd.DataFrame:
    """Return the mutual information of fresh images less that of as many training images, as rows of `contrast`.

    Both have the same encoder and the same ceiling. No rows where no training size is a number of fresh images.
    """
    final = results.final
    counts = final[final["partition"] == "train"].set_index("training")["components"]
    rows = final[final["partition"].isin(["train", "fresh"]) & (final["components"] == final["training"].map(counts))]
    rows = rows.assign(value=rows["mutual_information"], pair=rows["seed"], measure="mutual information")
    both = paired(rows, "partition", [*SETTING, "beta"], ("train", "fresh"))
    return both[both["seeds"] > 0].reset_index(drop=True)


def ceiling_table(results: Results) -> pd.DataFrame:
    """Return one row per setting and beta: the information of training and of fresh images, with their ceilings.

    Means over seeds, in nats. `m` is the largest number of fresh images in the aggregate posterior; `fresh_reaches` the
    largest number of them at which the information is saturated, or 0; `last_gain` and `last_rise` what the information
    and its ceiling gain in the last step of m (NaN where there is one number). `below` and `above` are the best bounds
    on the population's information, the first being the better of the regression's and of `fresh_information` itself,
    with the outer ends `below_low` and `above_high` of 95% t intervals over seeds. `place` says where the population's
    information is by these: "beyond log N", "short of log N", "undecided", or "not enough data" (fewer than three
    seeds).

    Raises:
        ValueError: the results have no fresh images.
    """
    final = results.final
    if "information_lower_bound" not in final:
        raise ValueError("ceiling_table: results has no fresh images; give those of a study that measured some.")
    rows = []
    for setting in groups(final, [*SETTING, "beta"]):
        train, fresh = (setting[setting["partition"] == name] for name in ("train", "fresh"))
        if fresh.empty:
            continue
        by_size = fresh.groupby("components")[["mutual_information", "log_n"]].mean()
        reached = by_size.index[by_size["log_n"] - by_size["mutual_information"] <= SATURATED]
        last, steps = by_size.iloc[-1], by_size.diff().iloc[-1]
        most = fresh[fresh["components"] == by_size.index[-1]]
        # Both are bounds in expectation; the better one in the mean over seeds stands for all seeds.
        candidates = [most["mutual_information"], most["information_lower_bound"]]
        below = mean_interval(max(candidates, key=lambda one: one.mean()))
        above = mean_interval(most["information_upper_bound"])
        log_n = train["log_n"].iloc[0]
        place = "beyond log N" if below.low > log_n else "short of log N" if above.high < log_n else "undecided"
        row = described(train) | {"beta": train["beta"].iloc[0], "log_n": log_n, "seeds": below.seeds}
        row |= {"train_information": train["mutual_information"].mean()}
        row |= {"fresh_information": last["mutual_information"], "log_m": last["log_n"]}
        row |= {"m": by_size.index[-1], "fresh_reaches": max(reached, default=0)}
        row |= {"last_gain": steps["mutual_information"], "last_rise": steps["log_n"]}
        row |= {"below": below.mean, "below_low": below.low, "above": above.mean, "above_high": above.high}
        rows.append(row | {"place": place if below.seeds >= ENOUGH_SEEDS else "not enough data"})
    return pd.DataFrame(rows)
