"""What the ledger's claims ask of each setting, or of each pair of networks.

The functions take the table from `gather` and return rows as `ratereg.claims.contrast` does, with two more columns:
`effect`, the nats that are averaged over settings, and `reason`, why a row has no verdict.
"""

import math

import numpy as np
import pandas as pd

from ratereg.claims.contrasts import paired, within
from ratereg.claims.measures import MEASURES, measured
from ratereg.claims.saturation import SATURATED, saturated
from ratereg.summary import SETTING, described, groups

__all__ = ["capacity_of", "difficulty_of", "growing", "lowering", "lowering_when_saturated", "underfitting"]

UNDERFITS = 0.05
"""The share of the training distortion at the smallest beta by which it is higher where a model underfits."""

LEAST_FACTOR = 3
"""Least ratio of the two weights that are compared when both saturate the mutual information."""

_DIFFICULTY: dict[object, tuple[float, float]] = {
    ("tetrominoes", "default"): (16_384, 81_920),
    ("tetrominoes", "cv"): (16_384, 81_920),
    ("tetrominoes", "cd"): (0, 0),
    ("tetrominoes", "checkerboard"): (math.inf, math.inf),
}
"""By data set and split: training images up to which a problem is hard, and from which it is easy."""


def difficulty_of(rows: pd.DataFrame) -> str:
    """Return "easy" or "hard" by how far the first row's test images are from training images, "" if it is not known.

    Easy: Tetrominoes' split "cd", in which images are as dense as in the default split, or at least 81,920 random
    training images over the whole volume. Hard: the checkerboard, or at most 16,384 random ones.
    """
    row = rows.iloc[0]
    hard, easy = _DIFFICULTY.get((row["dataset"], row["split"]), (-math.inf, math.inf))
    return "hard" if row["n_train"] <= hard else "easy" if row["n_train"] >= easy else ""


def capacity_of(rows: pd.DataFrame) -> str:
    """Return "low" (at most one hidden layer, or 64 units) or "high" (three layers, 512 units) for an MLP, else ""."""
    row = rows.iloc[0]
    if row["network"] != "mlp":
        return ""
    low, high = row["layers"] <= 1 or row["width"] <= 64, row["layers"] >= 3 and row["width"] >= 512
    return "low" if low else "high" if high else ""


def lowering(table: pd.DataFrame, measure: str, low: float, high: float) -> pd.DataFrame:
    """Return for each setting measured at both betas the measure at `low` less that at `high`."""
    return _told(paired(_measured(_longest(table), measure), "beta", SETTING, (high, low)))


def growing(table: pd.DataFrame, measure: str, beta: float) -> pd.DataFrame:
    """Return, at one beta, the measure of larger MLPs less that of smaller ones with everything else equal.

    Pairs are three layers against one of the same width, and the widest against the narrowest of the same depth; the
    longest training that both have counts.
    """
    rows = _measured(table[(table["network"] == "mlp") & (table["beta"] == beta)], measure)
    found = []
    for alike in groups(rows, [name for name in within("layers") if name not in ("width", "steps", "n_test")]):
        deep, wide = alike[alike["layers"].isin((1, 3))].sort_values("width"), alike[alike["layers"] > 0]
        by_depth = paired(deep, "layers", ["width", "steps", "n_test"], (1, 3))
        by_width = paired(wide.sort_values("layers"), "width", ["layers", "steps", "n_test"])
        both = _told(by_depth, by_width).sort_values(["steps", "n_test"], kind="stable")
        pair = ["along", "layers", "width", "from", "to", "from_name", "to_name"]
        found.append(both.drop_duplicates([name for name in both if name in pair], keep="last").sort_index())
    return _told(*found)


def underfitting(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each setting how far reducing the mutual information raises the training distortion beyond 5%.

    A weight reduces the mutual information if it leaves it more than 0.05 nats below log N and below its value at the
    smallest beta. The largest such weight is judged: the difference is D(beta) - 1.05 D(smallest beta), above zero for
    underfitting, and the effect D(beta) - D(smallest beta). New column: `while_saturated`, the verdict in the same
    words at the largest beta with saturated mutual information, or "" if that is the smallest or there is none.
    """
    found = []
    for setting in groups(_longest(table), SETTING):
        rows, at_ceiling = _measured(setting, "train_distortion"), saturated(setting)
        information = rows.groupby("beta")["mutual_information"].mean()
        smallest = information.index.min()
        below = information < information[smallest] - SATURATED
        reduced = max((beta for beta in information.index[below] if beta not in at_ceiling), default=None)
        beyond = rows.assign(value=rows["value"] * np.where(rows["beta"] == smallest, 1 + UNDERFITS, 1))
        if reduced is None:
            row = _silent(setting, "no measured β reduces the mutual information")
        else:
            rise = paired(rows, "beta", SETTING, (smallest, reduced))["difference"]
            row = paired(beyond, "beta", SETTING, (smallest, reduced)).assign(effect=rise)
        at_largest = paired(beyond, "beta", SETTING, (smallest, at_ceiling[0])) if at_ceiling else pd.DataFrame()
        found.append(row.assign(while_saturated="".join(at_largest.get("verdict", []))))
    return _told(*found)


def lowering_when_saturated(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return for each setting the measure at beta' less that at beta, both saturating the mutual information.

    beta is the largest that does, and beta' the largest that does among those of at most a third of it.
    """
    found = []
    for setting in groups(_longest(table), SETTING):
        betas = saturated(setting)
        # A tolerance, as 0.3 / 3 is less than 0.1 in floating point.
        smaller = [beta for beta in betas if beta <= betas[0] / LEAST_FACTOR * (1 + 1e-9)]
        if smaller:
            found.append(paired(_measured(setting, measure), "beta", SETTING, (betas[0], smaller[0])))
        else:
            reason = f"no two measured β that saturate the mutual information lie a factor of {LEAST_FACTOR} apart"
            found.append(_silent(setting, reason))
    return _told(*found)


def _longest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each problem's longest training, and of that with the most test images."""
    for column in ("steps", "n_test"):
        table = table[table[column] == table.groupby("problem")[column].transform("max")]
    return table


def _measured(table: pd.DataFrame, name: str) -> pd.DataFrame:
    _, column, partition = MEASURES[name]
    return measured(table, column, partition)


def _silent(setting: pd.DataFrame, reason: str) -> pd.DataFrame:
    return pd.DataFrame([described(setting) | {"along": "beta", "seeds": 0, "verdict": "", "reason": reason}])


def _told(*found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a difference, or a reason for none."""
    parts = [part for part in found if len(part)] or [*found, pd.DataFrame(columns=["verdict", "seeds"])]
    rows = pd.concat(parts, ignore_index=True)
    for name, usual in (("effect", rows.get("difference", math.nan)), ("reason", "")):
        rows[name] = rows[name].fillna(usual) if name in rows else usual
    return rows[(rows["seeds"] > 0) | (rows["reason"] != "")].reset_index(drop=True)
