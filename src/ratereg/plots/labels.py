"""Rows of a result's table with words for their data and model, their means over seeds, and colors for models."""

from collections.abc import Sequence

import pandas as pd

from ratereg.plots.style import COLORS, NETWORKS
from ratereg.summary import groups, labels, over_seeds

__all__ = ["labeled", "model_colors", "seed_means"]


def labeled(rows: pd.DataFrame, *, short: bool = True) -> pd.DataFrame:
    """Return rows with words for the data as column `panel`, and for the model as column `series`.

    Different settings have different words: where data and architecture are alike, the model's name the settings that
    differ, whatever they are. A short label for data has the number of training images without the words.
    """
    words = labels(rows, short=short)
    return rows.assign(panel=words["data"].to_numpy(), series=words["network"].to_numpy())


def model_colors(rows: pd.DataFrame) -> dict[str, str]:
    """Return a color for each `series` of labeled rows: that of its depth, and for a second one of a depth another."""
    found: dict[str, str] = {}
    for series in groups(rows, ["series"]):
        network = series.iloc[0]
        own = NETWORKS.get(network["network"], NETWORKS.get(network["layers"], "#000000"))
        free = [color for color in (own, *COLORS) if color not in found.values()]
        found[network["series"]] = free[0] if free else COLORS[len(found) % len(COLORS)]
    return found


def seed_means(rows: pd.DataFrame, measures: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the means over seeds of labeled rows as a tidy table, a row for each curve, place and measure.

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
