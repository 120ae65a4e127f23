"""Measurements of each training, cached by training and measurement, and reused by every study."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ratereg.measurements import Measured, Measurement
from ratereg.studies.results import Results, published_with
from ratereg.training import store
from ratereg.training.key import Training, digest_of

__all__ = ["TRAJECTORY", "adopt_published", "is_measured", "keep_measured", "measured"]

TRAJECTORY = "trajectory"
"""The name under which the rows that were recorded while training are kept, with where and how long it ran."""


def is_measured(training: Training, measurement: Measurement) -> bool:
    """Return whether a measurement of a training is kept on this machine."""
    return store.has(training, _name(training, measurement))


def keep_measured(training: Training, measurement: Measurement, found: Measured, environment: dict[str, Any]) -> None:
    """Keep a measurement of one training; `found` is of one member."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in found.arrays.items()}
    store.keep(training, _name(training, measurement), tensors, {"rows": found.rows, "environment": environment})


def measured(training: Training, measurement: Measurement) -> tuple[Measured, dict[str, Any]] | None:
    """Return what is kept of a training and where it was measured, or None."""
    found = store.kept(training, _name(training, measurement))
    if found is None:
        return None
    tensors, record = found
    return Measured(record["rows"], {name: value.numpy() for name, value in tensors.items()}), record["environment"]


def adopt_published(trainings: Sequence[Training], measurements: Sequence[Measurement]) -> None:
    """Keep what committed results hold of some trainings, so that it is not measured again."""
    lacking = {
        one.digest: one
        for one in trainings
        if not store.has(one, TRAJECTORY) or not all(is_measured(one, wanted) for wanted in measurements)
    }
    for directory in published_with(lacking.keys()):
        results = Results.load(directory)
        for index, training in enumerate(results.trainings):
            if training.digest in lacking:
                _adopt(results, index, lacking[training.digest], measurements)


def _adopt(results: Results, index: int, training: Training, measurements: Sequence[Measurement]) -> None:
    """Keep what a result holds of its member `index`, which is this training, perhaps of other test images."""
    rows = results.table[results.table["member"] == index]
    environment = {name: value for name, value in results.provenance.items() if name not in _OF_THE_STUDY}
    if not store.has(training, TRAJECTORY):
        before, diverged = rows[rows["step"] < training.steps], rows["diverged_at"].iloc[0]
        names = list(rows.columns[list(rows.columns).index("partition") + 1 :].drop(["diverged_at", "failure"]))
        record = {
            "rows": _plain(before[["step", "partition", *names]]),
            "environment": environment,
            "seconds": results.provenance["seconds"] / len(results.study),
            "diverged_at": None if math.isnan(diverged) else int(diverged),
        }
        store.keep(training, TRAJECTORY, {}, record)
    final = rows[rows["step"] == training.steps]
    alike = results.trainings[index].data.settings == training.data.settings
    for one in measurements:
        if alike and results.study.measurement(type(one)) == one and not is_measured(training, one):
            here = final[final["partition"].isin(one.partitions)]
            columns = ["partition", *(name for name in one.columns if name in here)]
            arrays = {name: _rows_of(results, name, index) for name in one.arrays}
            keep_measured(training, one, Measured(_plain(here[columns]), arrays), environment)


_OF_THE_STUDY = ("study", "scale", "members", "steps", "seconds", "content")


def _plain(table: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = table.astype(object).to_dict("records")
    return records


def _rows_of(results: Results, name: str, index: int) -> np.ndarray:
    at = int(results.arrays["member_dataset"][index]) if name == "test_originals" else index
    own = results.arrays[name][at : at + 1]
    latents = results.trainings[index].network.latent_dim
    return own[..., :latents] if name.endswith(("_mean", "_log_var")) else own


def _name(training: Training, measurement: Measurement) -> str:
    """Name a measurement by its settings and by the images that it is done on, the number of test images included."""
    return f"{type(measurement).__name__}-{digest_of([measurement.settings, training.data.settings])}"
