"""The ledger's table: the last steps of several studies, each training once."""

import math
from collections.abc import Iterable

import pandas as pd

from ratereg.measurements import Annealed, ImportanceWeighted
from ratereg.studies import CATALOG, Results, published
from ratereg.studies.results import find_published

__all__ = ["gather", "published_results"]

_BOUNDS = {"annealed_importance_sampling": Annealed, "importance_weighted_bound": ImportanceWeighted}
"""The bounds on the log-likelihood and their measurements, the preferred one first."""


def published_results(scale: str | None = None) -> list[Results]:
    """Return the committed results of the published studies that have one, in the order of the catalog.

    The scale is "full" or "cpu"; None for each study's largest scale that has a result.
    """
    places = (find_published(published(name, scale).digest) for name in CATALOG)
    return [Results.load(place) for place in places if place is not None]


def gather(results: Iterable[Results]) -> pd.DataFrame:
    """Return the training and test rows of all last steps, one for each training and number of test images.

    A training that several studies share is there once, with the columns that any of them measured, from the first that
    did. New columns: `study`, `source`, and `negative_log_likelihood`, the negative of a bound: that of annealed
    importance sampling where the study has it, else the importance-weighted one; `bound` is the measurement.

    Raises:
        ValueError: there are no results.
    """
    parts = []
    for one in results:
        final = one.final[one.final["partition"].isin(["train", "test"])]
        final = final.assign(study=one.name, source=one.source, negative_log_likelihood=math.nan, bound=None)
        known = [column for column in _BOUNDS if column in final and final[column].notna().any()]
        if known:
            bound = repr(one.study.measurement(_BOUNDS[known[0]]))
            final = final.assign(negative_log_likelihood=-final[known[0]], bound=bound)
        parts.append(final)
    if not parts:
        raise ValueError("gather: results is empty; give at least one.")
    table = pd.concat(parts, ignore_index=True)
    return table.groupby(["training", "partition", "n_test"], as_index=False, sort=False).first()
