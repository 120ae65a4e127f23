"""A result's table over seeds: its settings and their names, means, and Student's t intervals.

A setting is everything that is trained but beta and seed. Its identity is the digest in the table's column `setting`,
and a problem's, a setting without its number of steps, that in the column `problem`; labels are for people only.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

__all__ = [
    "DATA",
    "SETTING",
    "Interval",
    "data_label",
    "described",
    "groups",
    "labels",
    "mean_interval",
    "network_label",
    "over_seeds",
]

DATA = ("data", "n_test")
"""The columns that identify the images, by the digest of the training images and the number of test images."""

SETTING = ("setting", "n_test")
"""The columns within which betas and seeds are compared, by the digest and the number of test images."""

_TOLD: tuple[str, ...] = (
    *("share", "data_seed", "latent_dim", "prior", "likelihood", "steps", "batch_size", "learning_rate", "schedule"),
    *("warm_up", "precision"),
)
"""The columns that tell settings apart in words if data and network do not."""

COLUMNS: tuple[str, ...] = (
    *("setting", "problem", "dataset", "data", "split", "n_train", "n_test", "network", "layers", "width"),
    *("architecture", *_TOLD),
)
"""The columns that describe a setting."""


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, NaN for a single value."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def half_width(self) -> float:
        """Half the interval's length."""
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float] | np.ndarray | pd.Series) -> Interval:
    """Return the mean of independent values and its two-sided 95% t interval (Student 1908)."""
    array = np.asarray(values, dtype=float)
    count = len(array)
    mean = float(array.mean()) if count else math.nan
    half_width = float(stats.t.ppf(0.975, count - 1) * stats.sem(array)) if count > 1 else math.nan
    return Interval(mean, mean - half_width, mean + half_width, count)


def over_seeds(table: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per setting, beta and partition: means over seeds with the ends of 95% intervals, and `seeds`.

    Arguments:
        table: rows of a result's table, for example its `final`.
        columns: to average; X comes with X_low and X_high.
        by: more columns to keep apart, for example "step".
    """
    keys = ["beta", "partition", *by]
    rows = []
    for here in groups(table, [*SETTING, *keys]):
        row = described(here) | here.iloc[0][keys].to_dict() | {"seeds": len(here)}
        for column in columns:
            row[column], row[f"{column}_low"], row[f"{column}_high"], _ = mean_interval(here[column])
        rows.append(row)
    return pd.DataFrame(rows)


def groups(table: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """Return the table's parts with equal values in the columns, NaN being a value, in the order they appear."""
    return [part for _, part in table.groupby(list(columns), dropna=False, sort=False)]


def described(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what the rows' settings have in common, by column; NaN where they differ."""
    settings = rows.drop_duplicates(list(SETTING))
    known = [name for name in COLUMNS if name in rows]
    same = [name for name in known if len(settings) == 1 or settings[name].nunique(dropna=False) == 1]
    return dict.fromkeys(known, math.nan) | {name: settings[name].iloc[0] for name in same}


def labels(rows: pd.DataFrame, *, short: bool = False) -> pd.DataFrame:
    """Return words for each row's setting: the columns `data` and `network`, on the index of the rows.

    Where settings have the same words, those of the network add what differs: the number of latents, a
    learning rate, a seed of the data. So different settings of the rows have different words.
    """
    known = [name for name in COLUMNS if name in rows]
    number = rows.groupby(known, dropna=False, sort=False).ngroup()
    settings = rows.loc[~number.duplicated(), known].reset_index(drop=True)
    each = [settings.iloc[[place]] for place in settings.index]
    words = pd.DataFrame({"data": [data_label(one, short=short) for one in each], "network": map(network_label, each)})
    told = words.copy()
    for same in groups(words, ["data", "network"]):
        alike, network = settings.loc[same.index], same["network"].iloc[0]
        differ = [name for name in known if alike[name].nunique(dropna=False) > 1]
        names = [name for name in differ if name in _TOLD]
        # Where networks are compared, what they differ in is no part of the words.
        if network and differ and (not names or alike.duplicated(names).any()):
            names += [name for name in ("n_test", "setting") if name in differ]
        more = [[f"{name.replace('_', ' ')} {_in_words(value)}" for value in alike[name]] for name in names]
        lines = zip(same["network"], *more, strict=True)
        told.loc[same.index, "network"] = [", ".join(filter(None, parts)) for parts in lines]
    return told.loc[number].set_index(rows.index)


def _in_words(value: object) -> str:
    return f"{value:,}" if isinstance(value, Integral) else f"{value:g}" if isinstance(value, float) else str(value)


def data_label(rows: pd.DataFrame, *, short: bool = False) -> str:
    """Return words for what the first row's member learned from, such as "checkerboard, 81,920 training images".

    Nothing is said of what is NaN, as it is where several data sets are compared.
    """
    row = rows.iloc[0].fillna("")
    source, _, binarization = row["dataset"].partition(", ")
    # The book's own data set goes without saying, and so does the split that any other set brings along.
    usual = source == "tetrominoes"
    names = {"default": "random halves" if usual else "", "cv": "random subset", "cd": "central block"}
    count = row["n_train"] and f"{int(row['n_train']):,}{'' if short else ' training images'}"
    parts = ("" if usual else source, binarization, names.get(row["split"], row["split"]), count)
    return ", ".join(part for part in parts if part)


def network_label(rows: pd.DataFrame) -> str:
    """Return the name of the first row's network, such as "3 x 512"; an empty one where networks are compared."""
    name = rows["architecture"].iloc[0]
    return "" if pd.isna(name) else str(name)
