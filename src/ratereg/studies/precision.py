"""The precision that "auto" stands for, which is settled before anything has a key."""

import warnings

import torch

from ratereg.studies.measured import TRAJECTORY
from ratereg.studies.results import published_with
from ratereg.studies.study import Study
from ratereg.training import best_precision, store
from ratereg.training.precision import PRECISIONS, Precision

__all__ = ["resolved_precision"]


def resolved_precision(study: Study, device: torch.device) -> Precision:
    """Return the precision of a study's trainings: the one asked for, or for "auto" one for all members.

    That is the precision in which all members are there already, in the cache or in committed results, else the
    fastest native one of the device. Members that are there in another precision are not mixed with those; a warning
    says so.
    """
    if study.precision != "auto":
        return study.precision  # type: ignore[return-value]
    there = {precision: _there(study, precision) for precision in PRECISIONS}
    best = best_precision(device)
    for precision in (best, *PRECISIONS):
        if there[precision] == len(study):
            return precision  # type: ignore[return-value]
    (other,) = (precision for precision in PRECISIONS if precision != best)
    if there[other] > there[best]:
        warnings.warn(
            f"{there[other]} of the study's {len(study)} members are there, trained in {other}, and this machine "
            f"trains in {best}. The two are not mixed: all are trained in {best}. Give precision={other!r} to use "
            "those that are there.",
            stacklevel=4,
        )
    return best


def _there(study: Study, precision: str) -> int:
    digests = {one.digest: one for one in study.trainings(precision)}  # type: ignore[arg-type]
    found = {digest for digest, one in digests.items() if store.has(one) or store.has(one, TRAJECTORY)}
    return len(found.union(*published_with(digests.keys() - found).values()))
