"""Contrasts along beta: whether lowering the weight of the rate helps.

The definitions were fixed before looking at any result: contrasts are within a setting and paired over seeds, and fewer
than three seeds are not enough data for a verdict.
"""

import math
from typing import Any

import pandas as pd

from ratereg.studies import Results
from ratereg.summary import SETTING, data_label, groups, mean_interval, network_label

__all__ = [
    "ENOUGH_SEEDS",
    "contrast",
    "contrast_table",
    "count_verdicts",
    "describe_contrasts",
    "in_numbers",
    "signed",
    "verdict",
]

ENOUGH_SEEDS = 3


def contrast(
    results: Results,
    measure: str = "distortion",
    partition: str = "test",
    low: float = 0.1,
    high: float = 1.0,
) -> pd.DataFrame:
    """Return, for each setting, the measure at beta = `low` less that at beta = `high`, paired over seeds.

    Arguments:
        results: of any study; a beta that it lacks gives zero seeds.
        measure: a column of the table of which less is better, or "negative_elbo", rate + distortion.
        partition: "train", "test", or "gap" for test less train.
        low: the smaller beta.
        high: the larger beta.

    Returns:
        one row per setting with `seeds`, `difference`, the ends of its 95% t interval, and `verdict`: "improves",
        "worsens", "undecided" (the interval holds zero), or "not enough data" (fewer than three seeds).

    Raises:
        ValueError: the measure or the partition is unknown.
    """
    final = results.final.assign(negative_elbo=results.final["rate"] + results.final["distortion"])
    if measure not in final or partition not in ("train", "test", "gap"):
        raise ValueError(
            f"contrast: measure is {measure!r} and partition {partition!r}; give a column of the table or "
            "'negative_elbo', and 'train', 'test' or 'gap'."
        )
    rows = []
    for setting in groups(final, SETTING):
        values = {name: part.set_index(["beta", "seed"])[measure] for name, part in setting.groupby("partition")}
        measured = values["test"] - values["train"] if partition == "gap" else values[partition]
        by_beta = measured.unstack("beta").reindex(columns=pd.Index([low, high]))
        row = setting.iloc[0][list(SETTING)].to_dict()
        row |= {"measure": measure, "partition": partition, "low": low, "high": high}
        rows.append(row | verdict(by_beta[low] - by_beta[high]))
    return pd.DataFrame(rows)


def verdict(differences: pd.Series) -> dict[str, Any]:
    """Return what differences over seeds, less than zero being better, say: interval and verdict as in `contrast`."""
    mean, low, high, seeds = mean_interval(differences.dropna())
    if seeds < ENOUGH_SEEDS:
        word = "not enough data"
    else:
        word = "improves" if high < 0 else "worsens" if low > 0 else "undecided"
    return {"seeds": seeds, "difference": mean, "difference_low": low, "difference_high": high, "verdict": word}


def describe_contrasts(contrasts: pd.DataFrame) -> str:
    """Return one Markdown list item for each row of `contrast`."""
    phrases = {
        "improves": "**improves** the {0}: {1}.",
        "worsens": "**worsens** the {0}: {1}.",
        "undecided": "changes the {0} by {1}: **undecided**, the interval holds zero.",
        "not enough data": "changes the {0} by {1}: **not enough data** for a verdict.",
    }
    items = []
    for index in range(len(contrasts)):
        one = contrasts.iloc[[index]]
        row = one.iloc[0]
        where = f"{data_label(one)}, {network_label(one)}"
        if row["seeds"] == 0:
            items.append(f"- {where}: not measured at both β = {row['low']:g} and β = {row['high']:g}.")
            continue
        what = f"{row['partition']} {row['measure'].replace('_', ' ')}"
        phrase = phrases[row["verdict"]].format(
            what, f"{signed(row)} ({row['seeds']} seed{'' if row['seeds'] == 1 else 's'})"
        )
        items.append(f"- {where}: lowering β from {row['high']:g} to {row['low']:g} {phrase}")
    return "\n".join(items)


def count_verdicts(contrasts: pd.DataFrame, *, better: str = "improves", worse: str = "worsens") -> str:
    """Return Markdown that counts the verdicts of contrasts, such as "**improves** in 3 and **undecided** in 1 of 4".

    Arguments:
        contrasts: rows with a `verdict`, as of `contrast`.
        better: the word for "improves", for example where two networks are compared.
        worse: the word for "worsens".
    """
    words = {"improves": better, "worsens": worse, "undecided": "undecided", "not enough data": "not enough data"}
    found = [] if contrasts.empty else list(contrasts["verdict"])
    parts = [f"**{word}** in {found.count(name)}" for name, word in words.items() if name in found]
    if not parts:
        return "nothing to compare"
    *most, last = parts
    return f"{', '.join(most)} and {last} of {len(found)}" if most else f"{last} of {len(found)}"


def contrast_table(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `contrast` as a table to be read: differences with intervals, a column for each smaller beta.

    In nats, with 95% intervals. Several calls' rows may be put together.
    """
    rows = contrasts[contrasts["seeds"] > 0].copy()
    rows["data"] = [data_label(rows.iloc[[index]], short=True) for index in range(len(rows))]
    rows["network"] = [network_label(rows.iloc[[index]]) for index in range(len(rows))]
    rows["of"] = rows["partition"].replace("gap", "test less train")
    if rows["measure"].nunique() > 1:
        rows["of"] += ", " + rows["measure"].str.replace("_", " ")
    rows["β"] = [f"{low:g} against {high:g}" for low, high in zip(rows["low"], rows["high"], strict=True)]
    ends = (rows["difference"], rows["difference_low"], rows["difference_high"])
    rows["change"] = [in_numbers(*numbers) for numbers in zip(*ends, strict=True)]
    return rows.pivot_table(index=["data", "network", "of"], columns="β", values="change", aggfunc="first", sort=False)


def in_numbers(mean: float, low: float, high: float) -> str:
    """Return a mean and the interval around it for the cell of a table, a dash for NaN."""
    if math.isnan(mean):
        return "–"
    # Narrow columns may break the line before the interval alone.
    interval = "" if math.isnan(low) else f" ({low:+.1f}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high:+.1f})"
    return f"{mean:+.1f}{interval}".replace("-", "−")


def signed(row: pd.Series) -> str:
    """Return the difference of a verdict in words, with its interval if there is one."""
    words = f"{row['difference']:+.1f} nats"
    if not math.isnan(row["difference_low"]):
        words += f", 95% interval {row['difference_low']:+.1f} to {row['difference_high']:+.1f}"
    return words.replace("-", "−")
