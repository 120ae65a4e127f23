"""Words and colors for data sets and models, from a table's columns: a label names the settings that differ."""

from collections import Counter
from collections.abc import Callable, Sequence
from numbers import Integral
from operator import itemgetter
from typing import Any

import pandas as pd

from ratereg.plots.style import COLORS, NETWORKS
from ratereg.summary import data_label, groups, over_seeds

__all__ = ["labelled", "model_colors", "seed_means"]

_DATA = ("share", "n_test", "data_seed")
_MODEL = ("prior", "likelihood", "steps", "batch_size", "learning_rate", "schedule", "warm_up", "precision")
"""Columns that a label names where data sets, or models of one architecture, differ in them."""


def labelled(rows: pd.DataFrame, *, short: bool = True) -> pd.DataFrame:
    """Return rows of a result's table with words for the data as column `panel`, and for the model as `series`.

    A panel has one data set, and in it each setting has a series of its own: its architecture, and the settings in
    which models of that architecture differ. Where no column tells two of them apart, the label has the beginning of
    the digest. A short label for data has the number of training images without the words.
    """

    def data(row: pd.Series) -> str:
        return data_label(row.to_frame().T, short=short)

    rows = rows.assign(panel=_labels(rows, ["data", "n_test"], data, _DATA, within=0))
    return rows.assign(series=_labels(rows, ["panel", "setting"], itemgetter("architecture"), _MODEL, within=1))


def _labels(
    rows: pd.DataFrame, key: list[str], name: Callable[[pd.Series], str], columns: Sequence[str], within: int
) -> list[str]:
    """Return a label for each row, different for keys that have the same first `within` values."""
    each = rows.drop_duplicates(key)
    labels: dict[tuple[Any, ...], str] = {}
    for label, alike in each.groupby(each.apply(name, axis="columns"), sort=False):
        differ = [column for column in columns if alike[column].nunique(dropna=False) > 1]
        for _, row in alike.iterrows():
            labels[tuple(row[key])] = ", ".join([str(label), *(_words(column, row[column]) for column in differ)])
    count = Counter((*place[:within], label) for place, label in labels.items())
    for place, label in labels.items():
        if count[*place[:within], label] > 1:
            labels[place] = f"{label}, {place[within][:6]}"
    return [labels[place] for place in rows[key].itertuples(index=False, name=None)]


def _words(column: str, value: object) -> str:
    number = f"{value:,}" if isinstance(value, Integral) else f"{value:g}" if isinstance(value, float) else value
    return f"{column.replace('n_test', 'test images').replace('_', ' ')} {number}"


def model_colors(rows: pd.DataFrame) -> dict[str, str]:
    """Return a color for each `series` of labelled rows: that of its depth, and for a second one of a depth another."""
    found: dict[str, str] = {}
    for series in groups(rows, ["series"]):
        network = series.iloc[0]
        own = NETWORKS.get(network["network"], NETWORKS.get(network["layers"], "#000000"))
        free = [color for color in (own, *COLORS) if color not in found.values()]
        found[network["series"]] = free[0] if free else COLORS[len(found) % len(COLORS)]
    return found


def seed_means(rows: pd.DataFrame, measures: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the means over seeds of labelled rows as a tidy table, a row for each curve, place and measure.

    Its columns are panel, series, partition, beta, those of `by`, measure, value, low and high (the ends of the 95% t
    interval) and seeds. A measure without a value has no row.
    """
    place = ["panel", "series", "partition", "beta", *by]
    wide = over_seeds(rows, measures, by=("panel", "series", *by))
    parts = []
    for one in measures:
        part = wide[[*place, one, f"{one}_low", f"{one}_high", "seeds"]]
        part = part.set_axis([*place, "value", "low", "high", "seeds"], axis="columns")
        parts.append(part.assign(measure=one).dropna(subset="value"))
    return pd.concat(parts, ignore_index=True)
