"""Contrasts: one quantity in two cases that are equal otherwise, paired over seeds, and the words for what they say.

The definitions were fixed before looking at any result: contrasts are paired over seeds, and fewer than three seeds are
not enough data for a verdict.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ratereg.claims.measures import measured
from ratereg.studies import Results
from ratereg.summary import COLUMNS, SETTING, data_label, described, groups, labels, mean_interval, network_label

__all__ = [
    "ENOUGH_SEEDS",
    "contrast",
    "contrast_table",
    "count_verdicts",
    "describe_contrasts",
    "in_numbers",
    "paired",
    "signed",
    "within",
]

ENOUGH_SEEDS = 3

_DATA = ("data", "dataset", "split", "share", "n_train", "n_test", "data_seed")
_ENTAILED = {"layers": ("architecture",), "width": ("architecture",), "n_train": ("data",), "distance": _DATA}
"""What may differ in a comparison, and the columns that differ along with it."""

_PHRASES = {
    "improves": "**improves** the {measure}: {by}.",
    "worsens": "**worsens** the {measure}: {by}.",
    "undecided": "changes the {measure} by {by}: **undecided**, the interval holds zero.",
    "not enough data": "changes the {measure} by {by}: **not enough data** for a verdict.",
}


def contrast(
    results: Results | pd.DataFrame,
    measure: str = "distortion",
    partition: str = "test",
    low: float = 0.1,
    high: float = 1.0,
    *,
    along: str = "beta",
) -> pd.DataFrame:
    """Return what a change of beta, or of the size of the network or the data, does to a quantity, all else equal.

    Along beta: for each setting, the quantity at beta = `low` less that at `high`. Otherwise: for each beta, the
    quantity at the largest value less that at the smallest. Differences are paired over seeds.

    Arguments:
        results: results, of which the last step counts, or rows of a table of one step.
        measure: a column of which less is better, or "-" and a column of which more is.
        partition: "train", "test", "fresh" (its largest number of images), or "gap" for test less train.
        low: smaller beta.
        high: larger beta.
        along: "beta", "layers", "width" or "n_train".

    Returns:
        rows with the columns that both sides share; `measure` in words; `along`, `from` and `to`, with the names and
        the means of the two sides; `seeds`; `difference` in nats and the ends of its 95% t interval; and `verdict`:
        "improves", "worsens", "undecided" (the interval holds zero) or "not enough data" (fewer than three seeds). A
        setting that lacks one of the betas has zero seeds. Where there is a single size, there is no row.

    Raises:
        ValueError: the measure, the partition or `along` is unknown, or `low` is not below `high`.
    """
    if along not in ("beta", "layers", "width", "n_train"):
        raise ValueError(f"contrast: along is {along!r}; give 'beta', 'layers', 'width' or 'n_train'.")
    if not low < high:
        raise ValueError(f"contrast: low is {low} and high {high}; give a low that is below high.")
    rows = measured(results.final if isinstance(results, Results) else results, measure, partition)
    if along == "beta":
        return paired(rows, along, SETTING, (high, low))
    return paired(rows, along, [*within(along), "beta"])


def within(along: str) -> list[str]:
    """Return the columns of a setting that are equal where networks or data sets are compared."""
    return [name for name in COLUMNS if name not in ("setting", "problem", along, *_ENTAILED[along])]


def paired(rows: pd.DataFrame, along: str, same: Sequence[str], ends: tuple[Any, Any] | None = None) -> pd.DataFrame:
    """Return the contrasts of rows from `measured`, one for each two settings on either side of a comparison.

    Arguments:
        rows: rows with a `value`, its name `measure`, and `pair`, which is equal in rows that belong together.
        along: column in which the two sides differ.
        same: columns in which they are equal.
        ends: value of the column on each side; None for the smallest and the largest.
    """
    found = []
    for here in groups(rows, same):
        start, end = ends or (here[along].min(), here[along].max())
        if start == end:
            continue
        sides = [here[here[along] == place] for place in (start, end)]
        # One setting has both sides; networks or data sets of one size may be several settings.
        alone = set(SETTING) <= set(same)
        pairs = [sides] if alone else itertools.product(*(groups(side, SETTING) for side in sides))
        for before, after in pairs:
            values = [side.set_index("pair")["value"] for side in (before, after)]
            row = described(here) | here.iloc[0][[*same, "measure"]].to_dict()
            row |= {"along": along, "from": start, "to": end}
            row |= {"from_name": _name(before, along), "to_name": _name(after, along)}
            row |= {"from_mean": values[0].mean(), "to_mean": values[1].mean()}
            found.append(row | _judge(values[1] - values[0]))
    columns = ["measure", "along", "from", "to", "seeds", "difference", "difference_low", "difference_high", "verdict"]
    return pd.DataFrame(found) if found else pd.DataFrame(columns=[*dict.fromkeys([*COLUMNS, *same, *columns])])


def _judge(differences: pd.Series) -> dict[str, Any]:
    mean, low, high, seeds = mean_interval(differences.dropna())
    if seeds < ENOUGH_SEEDS:
        word = "not enough data"
    else:
        word = "improves" if high < 0 else "worsens" if low > 0 else "undecided"
    return {"seeds": seeds, "difference": mean, "difference_low": low, "difference_high": high, "verdict": word}


def _name(side: pd.DataFrame, along: str) -> str:
    """Return the name of one side of a comparison; empty along beta, which needs none."""
    if side.empty or along == "beta":
        return ""
    if along in ("layers", "width"):
        return network_label(side)
    if along == "partition":
        return {"train": "training images", "fresh": "fresh images"}[side["partition"].iloc[0]]
    return data_label(side, short=True) if along == "distance" else f"{side['n_train'].iloc[0]:,} training images"


def _change(row: pd.Series) -> str:
    if row["along"] == "beta":
        return f"lowering β from {row['from']:g} to {row['to']:g}"
    return f"{row['to_name']} instead of {row['from_name']}"


def describe_contrasts(contrasts: pd.DataFrame) -> str:
    """Return one Markdown list item for each contrast: where, what is changed, and what that does."""
    if contrasts.empty:
        return "There is nothing to compare."
    items = []
    for (_, row), words in zip(contrasts.iterrows(), labels(contrasts).to_numpy(), strict=True):
        beta = f"β = {row['beta']:g}" if "beta" in row and not math.isnan(row["beta"]) else ""
        place = ", ".join(part for part in (*words, beta) if part)
        by = f"{signed(row)} ({row['seeds']} seed{'' if row['seeds'] == 1 else 's'})"
        said = f"{_change(row)} {_PHRASES[row['verdict']].format(measure=row['measure'], by=by)}"
        items.append(f"- {place}: {said if row['seeds'] else f'{_change(row)} was not measured.'}")
    return "\n".join(items)


def count_verdicts(contrasts: pd.DataFrame, *, better: str = "improves", worse: str = "worsens") -> str:
    """Return Markdown that counts the verdicts of contrasts, such as "**improves** in 3 and **undecided** in 1 of 4".

    Arguments:
        contrasts: rows with a `verdict`, as of `contrast`.
        better: word for "improves", for example where two networks are compared.
        worse: word for "worsens".
    """
    names = {"improves": better, "worsens": worse, "undecided": "undecided", "not enough data": "not enough data"}
    found = [] if contrasts.empty else list(contrasts["verdict"])
    parts = [f"**{word}** in {found.count(name)}" for name, word in names.items() if name in found]
    if not parts:
        return "nothing to compare"
    return f"{' and '.join(filter(None, [', '.join(parts[:-1]), parts[-1]]))} of {len(found)}"


def contrast_table(contrasts: pd.DataFrame, *, means: bool = False, digits: int = 1) -> pd.DataFrame:
    """Return contrasts as a table to be read: differences in nats with 95% intervals, a column for each beta or pair.

    Arguments:
        contrasts: rows of one or several calls of `contrast`.
        means: whether the means of both sides stand before the difference.
        digits: decimal places.
    """
    rows = contrasts[contrasts["seeds"] > 0].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame()
    shown = labels(rows, short=True).assign(measure=rows["measure"])
    cells = []
    for _, row in rows.iterrows():
        along_beta = row["along"] == "beta"
        beta = f"{row['to']:g} against {row['from']:g}" if along_beta else f"{row['beta']:g}"
        change = in_numbers(row["difference"], row["difference_low"], row["difference_high"], digits)
        levels = f"{row['from_mean']:.{digits}f} → {row['to_mean']:.{digits}f}: " if means else ""
        cells.append(("" if along_beta else _change(row), beta, levels + change))
    shown[["compared", "beta", "change"]] = cells
    index = [name for name in ("data", "network", "compared", "measure") if (shown[name] != "").any()]
    table = shown.pivot_table(index=index, columns="beta", values="change", aggfunc="first", sort=False)
    return table.fillna("").rename_axis(columns="β")


def in_numbers(mean: float, low: float, high: float, digits: int = 1) -> str:
    """Return a mean and the interval around it for the cell of a table, a dash for NaN."""
    if math.isnan(mean):
        return "–"
    # Narrow columns may break the line before the interval alone.
    interval = (
        "" if math.isnan(low) else f" ({low:+.{digits}f}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high:+.{digits}f})"
    )
    return f"{mean:+.{digits}f}{interval}".replace("-", "−")


def signed(row: pd.Series) -> str:
    """Return the difference of a contrast in words, with its interval if there is one."""
    words = f"{row['difference']:+.1f} nats"
    if not math.isnan(row["difference_low"]):
        words += f", 95% interval {row['difference_low']:+.1f} to {row['difference_high']:+.1f}"
    return words.replace("-", "−")
