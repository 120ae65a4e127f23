"""Contrasts: one quantity in two cases that are equal otherwise, paired over seeds, and the words for what they say.

The definitions were fixed before looking at any result: contrasts are paired over seeds, and fewer than three seeds are
not enough data for a verdict.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ratereg.claims.measures import measured
from ratereg.claims.records import plural
from ratereg.studies import Results
from ratereg.summary import COLUMNS, SETTING, data_label, described, groups, labels, mean_interval, network_label

__all__ = [
    "ENOUGH_SEEDS",
    "contrast",
    "contrast_by_distance",
    "contrast_data_sets",
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
"""The sentence for each verdict, in the order in which verdicts are counted."""


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


def contrast_by_distance(results: Results, low: float = 0.1, high: float = 1.0) -> pd.DataFrame:
    """Return, for each setting and class of test images, the distortion at beta = `low` less that at `high`.

    Rows are as of `contrast`, near to far, with the class's number from 0 in the column `place`. The row with a `place`
    of -1 has the farthest class's distortion less the nearest's.

    Raises:
        ValueError: the results have no distances.
    """
    if "distance" not in results.arrays:
        raise ValueError("contrast_by_distance: results has no distances; give those of a study with `ByDistance`.")
    rows = measured(results.final, "distortion", "test")
    members = rows["member"].to_numpy(dtype=int)
    distance, distortion = (results.arrays[name][members].T for name in ("distance", "distance_distortion"))
    parts = []
    for place, (values, away) in enumerate(zip(distortion, distance, strict=True)):
        words = [f"distortion of test images at a mean distance of {one:.2f}" for one in away]
        parts.append(rows.assign(place=place, value=values, measure=words))
    excess = "excess distortion of the farthest test images over the nearest"
    parts.append(rows.assign(place=-1, value=distortion[-1] - distortion[0], measure=excess))
    return paired(pd.concat(parts), "beta", [*SETTING, "place"], (high, low))


def contrast_data_sets(
    results: Results, distances: Mapping[str, float], low: float = 0.1, high: float = 1.0
) -> pd.DataFrame:
    """Return, for each network, what a smaller beta does on the farthest data set, less what it does on the nearest.

    Both are the test distortion at beta = `low` less that at `high`; paired over seeds. The data sets differ in more
    than distance: in the number of training images, for one. Rows are as of `contrast`; there are none where there is a
    single data set. `distances` has the mean distance of test images to training by a data set's short label.
    """
    rows = measured(results.final, "distortion", "test")
    lower, higher = (rows[rows["beta"] == beta].set_index([*SETTING, "pair"]) for beta in (low, high))
    changes = lower.assign(value=lower["value"] - higher["value"].reindex(lower.index)).reset_index()
    changes["distance"] = labels(changes, short=True)["data"].map(dict(distances))
    changes["measure"] = f"effect of lowering β from {high:g} to {low:g} on the test distortion"
    return paired(changes, "distance", within("distance"))


def within(along: str) -> list[str]:
    """Return the columns of a setting that are equal where networks or data sets are compared."""
    return [name for name in COLUMNS if name not in ("setting", "problem", along, *_ENTAILED[along])]


def paired(rows: pd.DataFrame, along: str, same: Sequence[str], ends: tuple[Any, Any] | None = None) -> pd.DataFrame:
    """Return the contrasts of rows from `measured`, one for each two settings on either side of a comparison.

    The two sides differ in the column `along`, where they have the values `ends` (None for the smallest and the
    largest), and are equal in the columns `same`.
    """
    found = []
    for here in groups(rows, same):
        start, end = ends or (here[along].min(), here[along].max())
        if start == end:
            continue
        sides = [here[here[along] == place] for place in (start, end)]
        # One setting has both sides; networks or data sets of one size may be several settings.
        pairs = [sides] if set(SETTING) <= set(same) else itertools.product(*(groups(side, SETTING) for side in sides))
        for before, after in pairs:
            first, second = (side.set_index("pair")["value"] for side in (before, after))
            mean, low, high, seeds = mean_interval((second - first).dropna())
            verdict = "improves" if high < 0 else "worsens" if low > 0 else "undecided"
            row = described(here) | here.iloc[0][[*same, "measure"]].to_dict()
            row |= {"along": along, "from": start, "to": end}
            row |= {"from_name": _name(before, along), "to_name": _name(after, along)}
            row |= {"from_mean": first.mean(), "to_mean": second.mean(), "seeds": seeds}
            row |= {"difference": mean, "difference_low": low, "difference_high": high}
            found.append(row | {"verdict": verdict if seeds >= ENOUGH_SEEDS else "not enough data"})
    columns = ["measure", "along", "from", "to", "seeds", "difference", "difference_low", "difference_high", "verdict"]
    return pd.DataFrame(found, columns=None if found else [*dict.fromkeys([*COLUMNS, *same, *columns])])


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
        by = f"{signed(row)} ({plural(row['seeds'], 'seed')})"
        does = _PHRASES[row["verdict"]].format(measure=row["measure"], by=by) if row["seeds"] else "was not measured."
        items.append(f"- {', '.join(filter(None, [*words, beta]))}: {_change(row)} {does}")
    return "\n".join(items)


def count_verdicts(contrasts: pd.DataFrame, *, better: str = "improves", worse: str = "worsens") -> str:
    """Return Markdown that counts the verdicts of contrasts, such as "**improves** in 3 and **undecided** in 1 of 4".

    Where two networks are compared, other words for "improves" and "worsens" may read better: `better` and `worse`.
    """
    if contrasts.empty:
        return "nothing to compare"
    words, found = {"improves": better, "worsens": worse}, list(contrasts["verdict"])
    *others, last = [f"**{words.get(one, one)}** in {found.count(one)}" for one in _PHRASES if one in found]
    return f"{', '.join(others)}{' and ' if others else ''}{last} of {len(found)}"


def contrast_table(contrasts: pd.DataFrame, *, means: bool = False, digits: int = 1) -> pd.DataFrame:
    """Return contrasts as a table to be read: differences in nats with 95% intervals, a column for each beta or pair.

    With `means`, the means of both sides stand before the difference. All numbers have `digits` decimal places.
    """
    rows = contrasts[contrasts["seeds"] > 0].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame()
    shown = labels(rows, short=True).assign(measure=rows["measure"])
    cells = []
    for _, row in rows.iterrows():
        along_beta = row["along"] == "beta"
        beta = f"{row['to']:g} against {row['from']:g}" if along_beta else f"{row['beta']:g}"
        levels = f"{row['from_mean']:.{digits}f} → {row['to_mean']:.{digits}f}: " if means else ""
        cells.append(("" if along_beta else _change(row), beta, levels + in_numbers(row, digits)))
    shown[["compared", "beta", "change"]] = cells
    index = [name for name in ("data", "network", "compared", "measure") if (shown[name] != "").any()]
    table = shown.pivot_table(index=index, columns="beta", values="change", aggfunc="first", sort=False)
    return table.fillna("").rename_axis(columns="β")


def in_numbers(row: pd.Series, digits: int = 1) -> str:
    """Return the difference of a contrast and its interval for the cell of a table, a dash for NaN."""
    mean, low, high = (f"{row[name]:+.{digits}f}" for name in ("difference", "difference_low", "difference_high"))
    # Narrow columns may break the line before the interval alone.
    interval = f" ({low}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high})" if "nan" not in low else ""
    return f"{mean}{interval}".replace("-", "−") if "nan" not in mean else "–"


def signed(row: pd.Series) -> str:
    """Return the difference of a contrast in words, with its interval if there is one."""
    words = f"{row['difference']:+.1f} nats"
    if not math.isnan(row["difference_low"]):
        words += f", 95% interval {row['difference_low']:+.1f} to {row['difference_high']:+.1f}"
    return words.replace("-", "−")
