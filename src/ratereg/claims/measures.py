"""The quantities that are compared, in nats, less being better."""

from typing import NamedTuple

import pandas as pd

__all__ = ["FOUR", "MEASURES", "SIX", "Measure", "measured"]


class Measure(NamedTuple):
    """A quantity to compare: a column, of the partition "train" or "test", or the "gap" for test less train."""

    label: str
    column: str
    partition: str


MEASURES = {
    "distortion": Measure("test distortion", "distortion", "test"),
    "negative_elbo": Measure("test negative ELBO", "negative_elbo", "test"),
    "log_likelihood": Measure("test bound on −log p(x)", "negative_log_likelihood", "test"),
    "gap": Measure("train–test gap of distortion", "distortion", "gap"),
    "gap_negative_elbo": Measure("train–test gap of the negative ELBO", "negative_elbo", "gap"),
    "gap_log_likelihood": Measure("train–test gap of the bound on −log p(x)", "negative_log_likelihood", "gap"),
    "train_distortion": Measure("training distortion", "distortion", "train"),
}
"""The ledger's measures by name."""

FOUR = ("distortion", "negative_elbo", "log_likelihood", "gap")
"""The names of the four measures of generalization, the paper's first."""

SIX = (*FOUR, "gap_negative_elbo", "gap_log_likelihood")
"""The four measures, and the gaps of the other two."""

_LABELS = {(column, partition): label for label, column, partition in MEASURES.values()}
_PARTITIONS = {"train": "training", "test": "test", "gap": "train–test gap of", "fresh": "fresh images'"}
_WORDS = {
    "negative_elbo": "negative ELBO",
    "marginal_kl": "marginal KL",
    "-annealed_importance_sampling": "annealed bound on −log p(x)",
    "-importance_weighted_bound": "importance-weighted bound on −log p(x)",
    "information_lower_bound": "lower bound on the population's information",
    "information_upper_bound": "upper bound on the population's information",
}


def measured(table: pd.DataFrame, measure: str, partition: str) -> pd.DataFrame:
    """Return one row for each training of a partition, with the quantity in the column `value`, its name in `measure`.

    Rows are compared where the new column `pair` is equal. It is the seed, and for the bound on the log-likelihood also
    the estimator that gave it, since other images or another estimator give other numbers. The arguments are those of
    `contrast`.

    Raises:
        ValueError: the measure or the partition is not in the table.
    """
    column = measure.removeprefix("-")
    rows = table[table["partition"] == ("test" if partition == "gap" else partition)]
    if column not in table or (rows.empty and not table.empty):
        raise ValueError(
            f"contrast: measure is {measure!r} and partition {partition!r}; give a column of the table, and one of its "
            "partitions or 'gap'."
        )
    if partition == "fresh":
        rows = rows[rows["components"] == rows["components"].max()]
    value = rows[column]
    if partition == "gap":
        train = table[table["partition"] == "train"].set_index(["training", "n_test"])[column]
        value = value - train.reindex(pd.MultiIndex.from_frame(rows[["training", "n_test"]])).to_numpy()
    pair = rows["seed"].astype(str)
    if column == "negative_log_likelihood":
        pair = pair + " " + rows["bound"].astype(str)
    words = f"{_PARTITIONS.get(partition, partition)} {_WORDS.get(measure, measure.replace('_', ' '))}"
    label = _LABELS.get((measure, partition), words)
    return rows.assign(value=value if column == measure else -value, pair=pair, measure=label)
