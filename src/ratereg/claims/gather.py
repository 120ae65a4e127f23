"""The ledger's table: the last steps of several studies, each member once; and the measures that are read off it.

A setting of the ledger is one data set, split, training size, network, prior and likelihood. How many test images it
was measured on is no part of it.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from ratereg.studies import CATALOG, Results, published
from ratereg.studies.bounds import BOUNDS
from ratereg.studies.results import find_published
from ratereg.summary import SETTING, groups

__all__ = ["FOUR", "MEASURES", "SIX", "Measure", "gather", "longest", "published_results", "values_of"]

IDENTITY = tuple(name for name in SETTING if name != "n_test")
"""The columns that say which setting of the ledger a row belongs to."""


class Measure(NamedTuple):
    """What is compared, in nats, less being better: a column, of "train", "test", or "gap" for test less train."""

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
"""The measures by name."""

FOUR = ("distortion", "negative_elbo", "log_likelihood", "gap")
"""The four ways in which generalization is judged, the paper's first."""

SIX = (*FOUR, "gap_negative_elbo", "gap_log_likelihood")
"""These, and the gaps of the other two."""


def published_results(scale: str | None = None) -> list[Results]:
    """Return the committed results of the published studies that have one, in the order of the catalog.

    Arguments:
        scale: "full" or "cpu"; None for each study's largest scale that has a result.
    """
    places = (find_published(published(name, scale).digest) for name in CATALOG)
    return [Results.load(place) for place in places if place is not None]


def gather(results: Iterable[Results]) -> pd.DataFrame:
    """Return the training and test rows of all last steps, one for each member and number of steps.

    Members of several studies are kept once, from the first study that has them. Those trained with a learning rate
    that decays are left out, as they compare schedules. New columns: `study`, `source`, `steps`, and
    `negative_log_likelihood`, less a bound on the log-likelihood: by annealed importance sampling where the study has
    it, else importance-weighted, else NaN.

    Raises:
        ValueError: no result is left.
    """
    parts = [_final(one) for one in results if one.study.schedule == "constant"]
    if not parts:
        raise ValueError("gather: results has none with a constant learning rate; give at least one.")
    table = pd.concat(parts, ignore_index=True)
    return table.drop_duplicates([*SETTING, "steps", "beta", "seed", "partition"], ignore_index=True)


def _final(results: Results) -> pd.DataFrame:
    final = results.final[results.final["partition"].isin(["train", "test"])]
    weighted, annealed = (final.get(name, pd.Series(math.nan, final.index)) for name in BOUNDS)
    return final.assign(
        study=results.name,
        source=results.source,
        steps=results.study.steps,
        negative_elbo=final["rate"] + final["distortion"],
        negative_log_likelihood=-(annealed if annealed.notna().any() else weighted),
    )


def longest(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of each setting, from its longest training, and of that from the most test images."""
    settings = []
    for setting in groups(table, IDENTITY):
        rows = setting[setting["steps"] == setting["steps"].max()]
        settings.append(rows[rows["n_test"] == rows["n_test"].max()])
    return settings


def values_of(setting: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a measure of one setting's rows, with a row for each seed and a column for each beta.

    Raises:
        ValueError: there is no such measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"values_of: measure is {measure!r}; give one of {', '.join(map(repr, MEASURES))}.")
    _, column, partition = MEASURES[measure]

    def of(name: str) -> pd.DataFrame:
        return setting[setting["partition"] == name].pivot(index="seed", columns="beta", values=column)

    return of("test") - of("train") if partition == "gap" else of(partition)
