"""A result's table over seeds: its settings and their names, means, and Student's t intervals.

A setting is one data set, split, training size, network, prior and likelihood. Its members differ in beta and seed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ratereg.models import MLP, Convolutional

__all__ = [
    "DATA",
    "NETWORK",
    "SETTING",
    "Interval",
    "data_label",
    "groups",
    "mean_interval",
    "network_label",
    "over_seeds",
]

DATA = ("dataset", "split", "share", "n_train", "n_test")
"""The columns that say what was learned from."""

NETWORK = ("network", "layers", "width", "latent_dim", "prior", "likelihood")
"""The columns that say what learned."""

SETTING = (*DATA, *NETWORK)
"""The columns within which betas and seeds are compared."""


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval; NaN ends where there is one value alone."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float] | np.ndarray | pd.Series, level: float = 0.95) -> Interval:
    """Return the mean of independent values and its two-sided t interval of the given level.

    Source: Student (1908).
    """
    array = np.asarray(values, dtype=float)
    count = len(array)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(array.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half_width = float(stats.t.ppf((1 + level) / 2, count - 1) * stats.sem(array))
    return Interval(mean, mean - half_width, mean + half_width, count)


def over_seeds(table: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per setting, beta and partition: means over seeds with the ends of 95% intervals, and `seeds`.

    Arguments:
        table: rows of a result's table, for example its `final`.
        columns: to average; X comes with X_low and X_high.
        by: more columns to keep apart, for example "step".
    """
    keys = [*SETTING, "beta", "partition", *by]
    rows = []
    for key, group in table.groupby(keys, dropna=False, sort=False):
        row: dict[str, object] = dict(zip(keys, key, strict=True)) | {"seeds": len(group)}
        for column in columns:
            row[column], row[f"{column}_low"], row[f"{column}_high"], _ = mean_interval(group[column])
        rows.append(row)
    return pd.DataFrame(rows)


def groups(table: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """Return the table's parts with equal values in the columns, NaN being a value, in the order they appear."""
    return [part for _, part in table.groupby(list(columns), dropna=False, sort=False)]


def data_label(rows: pd.DataFrame, *, short: bool = False) -> str:
    """Return words for what the first row's member learned from, such as "checkerboard, 81,920 training images"."""
    row = rows.iloc[0]
    source, _, binarization = str(row["dataset"]).partition(", ")
    # Other sources may bring a split of their own, which is their default and goes without saying.
    halves = "random halves" if source == "tetrominoes" else ""
    names = {"default": halves, "cv": "random subset", "cd": "central block"}
    split = names.get(str(row["split"]), str(row["split"]))
    named = "".join(f"{part}, " for part in (source, binarization, split) if part not in ("", "tetrominoes"))
    return f"{named}{int(row['n_train']):,}{'' if short else ' training images'}"


def network_label(rows: pd.DataFrame) -> str:
    """Return words for the first row's network, such as "3 hidden layers"; width and latents unless these are usual."""
    row = rows.iloc[0]
    if row["network"] == "convolutional":
        label = f"convolutional, {row['width']} channels"
        return label if row["latent_dim"] == Convolutional().latent_dim else f"{label}, {row['latent_dim']} latents"
    if row["layers"] == 0:
        return f"linear, {row['latent_dim']} latents"
    label = f"{row['layers']} hidden layer{'s' if row['layers'] > 1 else ''}"
    usual = (row["width"], row["latent_dim"]) == (MLP().width, MLP().latent_dim)
    return label if usual else f"{label} of {row['width']}, {row['latent_dim']} latents"
