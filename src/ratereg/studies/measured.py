"""What was measured of each training: kept by training and measurement, and found again by every study."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from ratereg.measurements import Measured, Measurement
from ratereg.studies.results import Results, published_directory
from ratereg.training import store
from ratereg.training.key import Training, digest_of

__all__ = ["TRAJECTORY", "adopt_published", "is_measured", "keep_measured", "keep_trajectory", "measured", "trajectory"]

TRAJECTORY = "trajectory"
"""The name under which what was recorded while training is kept."""


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


def keep_trajectory(training: Training, rows: list[dict[str, Any]], record: dict[str, Any]) -> None:
    """Keep what was recorded while training, and where and how long it was trained."""
    store.keep(training, TRAJECTORY, {}, {"rows": rows, **record})


def trajectory(training: Training) -> dict[str, Any] | None:
    """Return the rows and the record that `keep_trajectory` kept, or None."""
    found = store.kept(training, TRAJECTORY)
    return None if found is None else found[1]


def adopt_published(trainings: Sequence[Training], measurements: Iterable[Measurement]) -> None:
    """Keep what committed results hold of some trainings, so that it is not measured again."""
    wanted = list(measurements)
    lacking = {
        training.digest: training
        for training in trainings
        if not store.has(training, TRAJECTORY) or not all(is_measured(training, one) for one in wanted)
    }
    for directory in sorted(published_directory().glob("*/*/table.csv")) if lacking else []:
        with directory.open() as stream:
            stream.readline()
            text = stream.read()
        if any(f"\n{digest}," in f"\n{text}" for digest in lacking):
            _adopt(Results.load(directory.parent), lacking, wanted)


def _adopt(results: Results, lacking: dict[str, Training], wanted: Sequence[Measurement]) -> None:
    for index, training in enumerate(results.trainings):
        asking = lacking.get(training.digest)
        if asking is None:
            continue
        rows = results.table[results.table["member"] == index]
        environment = {name: results.provenance[name] for name in results.provenance if name not in _OF_THE_STUDY}
        if not store.has(asking, TRAJECTORY):
            before = rows[rows["step"] < training.steps]
            diverged = rows["diverged_at"].iloc[0]
            record = {
                "environment": environment,
                "seconds": results.provenance["seconds"] / len(results.study),
                "diverged_at": None if math.isnan(diverged) else int(diverged),
            }
            keep_trajectory(asking, _plain(before[["step", "partition", *_recorded(before)]]), record)
        final = rows[rows["step"] == training.steps]
        for one in wanted:
            alike = results.study.measurement(type(one)) == one
            if not alike or training.data.settings != asking.data.settings or is_measured(asking, one):
                continue
            here = final[final["partition"].isin(one.partitions)]
            columns = ["partition", *(name for name in one.columns if name in here)]
            arrays = {name: _rows_of(results, name, index, training) for name in one.arrays}
            keep_measured(asking, one, Measured(_plain(here[columns]), arrays), environment)


_OF_THE_STUDY = ("study", "scale", "members", "steps", "seconds", "content")


def _recorded(table: Any) -> list[str]:
    start = list(table.columns).index("partition") + 1
    return [name for name in table.columns[start:] if name not in ("diverged_at", "failure")]


def _plain(table: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = table.astype(object).to_dict("records")
    return records


def _rows_of(results: Results, name: str, index: int, training: Training) -> np.ndarray:
    values = results.arrays[name]
    if name == "test_originals":
        dataset = int(results.arrays["member_dataset"][index])
        return values[dataset : dataset + 1]
    own = values[index : index + 1]
    return own[..., : training.network.latent_dim] if name.endswith(("_mean", "_log_var")) else own


def _name(training: Training, measurement: Measurement) -> str:
    """Name a measurement by its settings and by the images that it is done on, the number of test images included."""
    return f"{type(measurement).__name__}-{digest_of([measurement.settings, training.data.settings])}"
