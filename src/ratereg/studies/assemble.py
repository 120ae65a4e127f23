"""From what is kept of each training to the result of a study."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from ratereg.data import Data, ImageSet
from ratereg.measurements.measured import Measured, with_errors
from ratereg.models import Gaussian
from ratereg.studies.catalog import identify
from ratereg.studies.measured import TRAJECTORY, measured
from ratereg.studies.provenance import joined
from ratereg.studies.results import Results
from ratereg.studies.study import Study
from ratereg.training import store
from ratereg.training.key import Training, digest_of

__all__ = ["Facts", "assemble", "identified", "identity_of", "joined_rows", "member_rows"]


class Facts(NamedTuple):
    """Facts about images that are not in memory."""

    name: str
    shape: tuple[int, int, int]
    images: int
    n_train: int
    n_test: int

    @classmethod
    def of(cls, images: ImageSet) -> Self:
        """Return the facts of some images."""
        return cls(images.name, images.image_shape, len(images.pixels), len(images.train), len(images.test))


def assemble(study: Study, trainings: Sequence[Training], facts: dict[Data, Facts]) -> Results:
    """Put together what is kept of the trainings of a study, in the order of its members."""
    rows: list[dict[str, Any]] = []
    arrays: dict[str, list[np.ndarray]] = {}
    originals: dict[Data, np.ndarray] = {}
    environments: list[dict[str, Any]] = []
    seconds = 0.0
    for member, training in enumerate(trainings):
        trained = store.kept(training, TRAJECTORY)
        parts = [measured(training, measurement) for measurement in study.measurements]
        assert trained is not None, f"{training.digest} is not trained"
        found = [part for part in parts if part is not None]
        assert len(found) == len(parts), f"{training.digest} is not measured"
        record = trained[1]
        environments += [*(environment for _, environment in found), record["environment"]]
        seconds += record["seconds"]
        at = record["diverged_at"]
        # Measured by itself, it was member 0.
        last = joined_rows([part.rows for part, _ in found])
        if at is not None:
            last = [_lost(row) for row in last]
        own = [*record["rows"], *({"step": training.steps, **row} for row in last)]
        rows += identified(own, training, member, facts[training.data], at)
        for part, _ in found:
            for name, values in part.arrays.items():
                if name == "test_originals":
                    originals.setdefault(training.data, values)
                else:
                    lost_too = at is not None and values.dtype.kind == "f"
                    arrays.setdefault(name, []).append(np.full_like(values, math.nan) if lost_too else values)
    stacked = {name: _concatenate(values) for name, values in arrays.items()}
    if originals:
        stacked["test_originals"] = _concatenate([originals[one] for one in study.axis_data])
    stacked["member_dataset"] = np.array([study.axis_data.index(training.data) for training in trainings])
    provenance = joined(environments) | {"seconds": round(seconds), "steps": study.steps, "members": len(study)}
    published = identify(study)
    if published is not None:
        provenance |= {"study": published[0], "scale": published[1]}
    return Results(study, _table(rows), stacked, provenance)


def identified(
    rows: Sequence[dict[str, Any]], training: Training, member: int, facts: Facts, diverged_at: int | None
) -> list[dict[str, Any]]:
    """Return a member's rows with the columns that identify its training, and its failure if there is one."""
    identity, at = identity_of(training, member, facts), math.nan if diverged_at is None else diverged_at
    return [
        identity | row | {"member": member, "diverged_at": at, "failure": _failure(row, diverged_at)} for row in rows
    ]


def member_rows(found: Sequence[Measured], diverged_at: Sequence[int | None]) -> list[list[dict[str, Any]]]:
    """Return the joined rows of each member of an ensemble, without the values of those that have diverged."""
    members = []
    for member, at in enumerate(diverged_at):
        own = joined_rows([[row for row in one.rows if row["member"] == member] for one in found])
        members.append(own if at is None else [_lost(row) for row in own])
    return members


def identity_of(training: Training, member: int, facts: Facts) -> dict[str, Any]:
    """Return the columns that identify a training: its digests, and every setting that can differ."""
    data, network = training.data, training.network
    likelihood = type(training.likelihood).__name__.lower()
    if isinstance(training.likelihood, Gaussian):
        likelihood += f" {training.likelihood.scale:g}"
    return {
        "training": training.digest,
        "setting": training.setting,
        "problem": training.problem,
        "member": member,
        "dataset": facts.name,
        "data": digest_of(data.training_settings),
        "split": data.split,
        "share": math.nan if data.share is None else data.share,
        "n_train": facts.n_train,
        "n_test": facts.n_test,
        "data_seed": data.seed,
        "network": network.name,
        **{name: getattr(network, name) for name in ("layers", "width", "latent_dim")},
        "architecture": network.label,
        "prior": training.prior.label,
        "likelihood": likelihood,
        **{name: getattr(training, name) for name in _OF_TRAINING},
    }


_OF_TRAINING = ("steps", "batch_size", "learning_rate", "schedule", "warm_up", "precision", "beta", "seed")


def joined_rows(parts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Join the rows of several measurements of one member: one row for each partition, and number of components there.

    The components count where a measurement has several rows of a partition.
    """
    together: dict[tuple[str, Any], dict[str, Any]] = {}
    for rows in parts:
        partitions = [row["partition"] for row in rows]
        for row in rows:
            several = partitions.count(row["partition"]) > 1
            key = (row["partition"], row["components"] if several else None)
            together.setdefault(key, {}).update(row)
    return list(together.values())


def _lost(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without the values of a member that has diverged, whose weights are those before that."""
    counts = ("step", "partition", "images", "queries", "components", "log_n", "member")
    return {name: value if name in counts else float("nan") for name, value in row.items()}


_ORDER = (
    *("step", "partition", "images", "queries", "components", "log_n"),
    *with_errors("rate", "distortion", "negative_elbo", "mutual_information", "marginal_kl"),
)
"""The columns after the identity, before those of further measurements."""


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    last = ["diverged_at", "failure"]
    identity = list(table.columns[: list(table.columns).index("seed") + 1])
    first = [*identity, *(name for name in _ORDER if name in table)]
    table = table[[*first, *table.columns.drop([*first, *last]), *last]]
    order, ascending = ["member", "step", "partition"], [True, True, False]
    return table.sort_values(order, ascending=ascending, kind="stable", ignore_index=True)


def _failure(row: dict[str, Any], diverged_at: int | None) -> str | float:
    if diverged_at is not None and diverged_at <= row["step"]:
        return f"diverged at step {diverged_at}"
    lost = [name for name in ("rate", "distortion", "mutual_information") if math.isnan(row.get(name, 0.0))]
    return f"{lost[0]} is not finite" if lost and row["partition"] != "fresh" else math.nan


def _concatenate(stacks: list[np.ndarray]) -> np.ndarray:
    """Join stacks of (member, image, ...), cut to the fewest images, latents filled up with NaN to the most."""
    images, last = min(stack.shape[1] for stack in stacks), max(stack.shape[-1] for stack in stacks)
    fills = [[(0, 0)] * (stack.ndim - 1) + [(0, last - stack.shape[-1])] for stack in stacks]
    filled = [
        np.pad(stack, fill, constant_values=np.nan) if fill[-1][1] else stack
        for stack, fill in zip(stacks, fills, strict=True)
    ]
    return np.concatenate([stack[:, :images] for stack in filled])
