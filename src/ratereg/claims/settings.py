"""What each setting says: contrasts along beta and between networks, underfitting, and what follows saturation.

Every function returns one row per setting, or per pair of networks: the columns of the setting, `where` in words, the
difference that is judged with its 95% t interval over seeds and its `verdict`, less being better, as in
`ratereg.claims.contrast`, and `effect`, the nats to be averaged. A row without a difference has a `reason`.
"""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ratereg.claims.contrasts import verdict
from ratereg.claims.gather import IDENTITY, longest, values_of
from ratereg.summary import SETTING, data_label, groups, network_label

__all__ = [
    "capacity_of",
    "difficulty_of",
    "growing",
    "lowering",
    "lowering_when_saturated",
    "saturated_betas",
    "underfitting",
]

SATURATED = 0.05
"""Nats below log N within which the mutual information of the training images is saturated."""

UNDERFITS = 0.05
"""The share of the training distortion at the smallest beta by which it is higher where a model underfits."""

FEW_IMAGES, MANY_IMAGES = 16_384, 81_920
"""Training images all over the volume of Tetrominoes' factors: up to the first a hard problem, from the second an easy
one."""

LEAST_FACTOR = 3
"""Between the two weights that are compared when both saturate the mutual information."""

_COLUMNS = [*SETTING, "steps", "where", "from", "to", "seeds", "difference", "difference_low", "difference_high"]
_COLUMNS += ["verdict", "effect", "reason"]


def difficulty_of(rows: pd.DataFrame) -> str:
    """Return "easy" or "hard" for problems on Tetrominoes, by how far test images are from training images, else "".

    Easy: the split "cd", in which images are as dense as in the default split, or at least 81,920 random training
    images over the whole volume. Hard: the checkerboard, or at most 16,384 random ones.
    """
    row = rows.iloc[0]
    if row["dataset"] != "tetrominoes":
        return ""
    if row["split"] in ("cv", "default"):
        return "hard" if row["n_train"] <= FEW_IMAGES else "easy" if row["n_train"] >= MANY_IMAGES else ""
    return {"cd": "easy", "checkerboard": "hard"}.get(str(row["split"]), "")


def capacity_of(rows: pd.DataFrame) -> str:
    """Return "low" (at most one hidden layer, or 64 units) or "high" (three layers, 512 units) for an MLP, else ""."""
    row = rows.iloc[0]
    if row["network"] != "mlp":
        return ""
    low, high = row["layers"] <= 1 or row["width"] <= 64, row["layers"] >= 3 and row["width"] >= 512
    return "low" if low else "high" if high else ""


def saturated_betas(setting: pd.DataFrame) -> list[float]:
    """Return the betas, rising, at which the training images' mutual information, mean over seeds, is saturated."""
    train = setting[setting["partition"] == "train"]
    below = (train["log_n"] - train["mutual_information"]).groupby(train["beta"]).mean()
    return sorted(below.index[below <= SATURATED])


def lowering(table: pd.DataFrame, measure: str, low: float, high: float) -> pd.DataFrame:
    """Return for each setting measured at both betas the measure at `low` less that at `high`."""
    rows = []
    for setting in longest(table):
        differences = _difference(values_of(setting, measure), low, high)
        if len(differences):
            rows.append(_row(setting, high, low) | _judged(differences))
    return _frame(rows)


def growing(table: pd.DataFrame, measure: str, beta: float) -> pd.DataFrame:
    """Return, at one beta, the measure of larger networks less that of smaller ones of the same study's kind.

    Pairs are three layers against one of the same width, and the widest against the narrowest of the same depth, with
    data, latent dimensions and training steps alike; the longest training counts.
    """
    alike = [name for name in IDENTITY if name not in ("layers", "width")]
    mlps = table[table["network"] == "mlp"]
    rows: list[dict[str, Any]] = []
    for same_data in groups(mlps, alike):
        longest_pairs: dict[str, dict[str, Any]] = {}
        # From the shortest training to the longest, which overwrites it.
        for _, same in same_data.groupby(["steps", "n_test"]):
            for name, smaller, larger in _pairs(same):
                differences = _difference_of(values_of(larger, measure), values_of(smaller, measure), beta)
                if len(differences):
                    where = {"where": f"{data_label(larger, short=True)}: {name}"}
                    longest_pairs[name] = _row(larger, beta, beta) | where | _judged(differences)
        rows += longest_pairs.values()
    return _frame(rows)


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    for rows in groups(table.sort_values("width"), ["width"]):
        width = rows["width"].iloc[0]
        if {1, 3} <= set(rows["layers"]):
            yield f"3 against 1 layers of {width} units", rows[rows["layers"] == 1], rows[rows["layers"] == 3]
    for rows in groups(table.sort_values("layers"), ["layers"]):
        layers, narrow, wide = rows["layers"].iloc[0], rows["width"].min(), rows["width"].max()
        if narrow < wide and layers > 0:
            name = f"{wide} against {narrow} units, {layers} layer{'s' if layers > 1 else ''}"
            yield name, rows[rows["width"] == narrow], rows[rows["width"] == wide]


def underfitting(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each setting how far reducing the mutual information raises the training distortion beyond 5%.

    A weight reduces the mutual information if it leaves it more than 0.05 nats below log N and below its value at the
    smallest beta. The largest such weight is judged: the difference is D(beta) - 1.05 D(smallest beta), above zero for
    underfitting, and the effect D(beta) - D(smallest beta). New column: `while_saturated`, the verdict in the same
    words at the largest beta with saturated mutual information, or "" if that is the smallest or there is none.
    """
    rows = []
    for setting in longest(table):
        distortion, information = values_of(setting, "train_distortion"), _information(setting)
        smallest, saturated = min(information), saturated_betas(setting)
        reduced = [
            beta
            for beta, value in information.items()
            if value < information[smallest] - SATURATED and beta not in saturated
        ]
        largest = max(reduced, default=math.nan)
        row = _row(setting, smallest, largest) | {"while_saturated": ""}
        if saturated and saturated[-1] > smallest:
            row["while_saturated"] = verdict(_beyond(distortion, saturated[-1], smallest))["verdict"]
        if reduced:
            rise = _difference(distortion, largest, smallest).mean()
            row |= _judged(_beyond(distortion, largest, smallest)) | {"effect": rise}
        else:
            row["reason"] = "no measured β reduces the mutual information"
        rows.append(row)
    return _frame(rows, "while_saturated")


def lowering_when_saturated(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return for each setting the measure at beta' less that at beta, both saturating the mutual information.

    beta is the largest that does, and beta' the largest that does among those of at most a third of it.
    """
    rows = []
    for setting in longest(table):
        saturated = saturated_betas(setting)
        # A tolerance, as 0.3 / 3 is less than 0.1 in floating point.
        smaller = [beta for beta in saturated if beta <= saturated[-1] / LEAST_FACTOR * (1 + 1e-9)]
        if not smaller:
            reason = f"no two measured β that saturate the mutual information lie a factor of {LEAST_FACTOR} apart"
            rows.append(_row(setting, math.nan, math.nan) | {"reason": reason})
            continue
        differences = _difference(values_of(setting, measure), smaller[-1], saturated[-1])
        if len(differences):
            rows.append(_row(setting, saturated[-1], smaller[-1]) | _judged(differences))
    return _frame(rows)


def _information(setting: pd.DataFrame) -> dict[float, float]:
    """Return the mutual information of the training images at each beta, mean over seeds."""
    train = setting[setting["partition"] == "train"]
    return {rows["beta"].iloc[0]: rows["mutual_information"].mean() for rows in groups(train, ["beta"])}


def _beyond(distortion: pd.DataFrame, beta: float, smallest: float) -> pd.Series:
    return (distortion[beta] - (1 + UNDERFITS) * distortion[smallest]).dropna()


def _difference(values: pd.DataFrame, beta: float, reference: float) -> pd.Series:
    return _difference_of(values, values.reindex(columns=[reference]).set_axis([beta], axis=1), beta)


def _difference_of(values: pd.DataFrame, reference: pd.DataFrame, beta: float) -> pd.Series:
    """Return differences at a beta over the seeds that both have."""
    return (values.reindex(columns=[beta])[beta] - reference.reindex(columns=[beta])[beta]).dropna()


def _row(setting: pd.DataFrame, start: float, end: float) -> dict[str, Any]:
    row = setting.iloc[0]
    where = f"{data_label(setting, short=True)}: {network_label(setting)}"
    told = {"where": where, "from": start, "to": end, "verdict": "", "reason": ""}
    return {name: row[name] for name in (*SETTING, "steps")} | told


def _judged(differences: pd.Series) -> dict[str, Any]:
    judged = verdict(differences)
    return judged | {"effect": judged["difference"]}


def _frame(rows: list[dict[str, Any]], *more: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*_COLUMNS, *more])
