"""How long a study's members are expected to take on this machine, and how many of them are trained at once.

Both are remembered in the cache: a shard's checkpoint belongs to exactly its members, so a study that is gone on with
must be cut as before.
"""

import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ratereg.data import ImageSet
from ratereg.models.networks import Network
from ratereg.storage import cache_directory, writing
from ratereg.studies.bounds import decodings
from ratereg.studies.fresh import EVALUATED, FITTED
from ratereg.studies.provenance import environment
from ratereg.studies.shard import chosen_precision, images_of
from ratereg.studies.study import Data, Study
from ratereg.training.cost import members_that_fit, predicted_shard_seconds
from ratereg.training.machine import Machine, measure_machine

__all__ = ["Pace", "paces"]


@dataclass(frozen=True)
class Pace:
    """How members of one data set and one network are trained on this machine.

    Attributes:
        at_once: how many members together, at the most.
        training: seconds that each of them is expected to take then.
        measuring: seconds that each is expected to take besides.
    """

    at_once: int
    training: float
    measuring: float

    @property
    def seconds(self) -> float:
        """What one member is expected to take in all."""
        return self.training + self.measuring


def paces(
    study: Study,
    device: torch.device,
    *,
    devices: int = 1,
    seconds: float | None = None,
    max_members: int | None = None,
) -> dict[tuple[Data, Network], Pace]:
    """Return the pace of each data set and network of a study; remembered, so that it stays what it was.

    Arguments:
        study: what is to be trained.
        device: to train on.
        devices: how many such devices share the members.
        seconds: cut the members so that a shard takes that long at the most, if one member alone does.
        max_members: train that many at once, instead of as many as fit into memory and time.

    Raises:
        MemoryError: not even one member fits into the device's memory.
        StorageError: the cache can't be written.
        ValueError: `max_members` is below 1.
    """
    if max_members is not None and max_members < 1:
        raise ValueError(f"max_members is {max_members}; give at least 1.")
    file = cache_directory() / "plans" / f"{study.digest}.json"
    known = _read(file)
    here = environment(device)
    machine: Machine | None = None
    found: dict[tuple[Data, Network], Pace] = {}
    for i, data in enumerate(study.axis_data):
        for j, network in enumerate(study.axis_networks):
            key = f"{devices} x {here['device']}, {here['threads']} threads, data {i}, network {j}"
            if max_members is not None:
                key += f", {max_members} members"
            if key not in known:
                images = images_of(data)
                most = max_members or _fit(study, network, images, device)
                most = min(most, -(-len(study.axis_seeds) * len(study.axis_betas) // devices))
                machine = machine or measure_machine(device, chosen_precision(study, device))
                pace = _pace(study, network, images, device, machine, most, None if max_members else seconds)
                known[key] = asdict(pace)
                _write(file, known)
            found[data, network] = Pace(**known[key])
    return found


def _pace(
    study: Study,
    network: Network,
    images: ImageSet,
    device: torch.device,
    machine: Machine,
    most: int,
    seconds: float | None,
) -> Pace:
    def expected(members: int, measured: Sequence[tuple[int, int]]) -> float:
        return predicted_shard_seconds(
            network,
            images.image_shape,
            machine,
            members=members,
            steps=study.steps,
            batch_size=study.batch_size,
            precision=chosen_precision(study, device),
            measured=measured,
        )

    measured = _measured(study, images)
    at_once = most
    if seconds is not None:
        within = bisect_right(range(1, most + 1), seconds, key=lambda members: expected(members, measured))
        # Where one member alone takes longer, checkpoints carry a shard from call to call, whatever its size.
        at_once = within or most
    training, whole = expected(at_once, []), expected(at_once, measured)
    return Pace(at_once, training / at_once, (whole - training) / at_once)


def _fit(study: Study, network: Network, images: ImageSet, device: torch.device) -> int:
    return members_that_fit(
        network,
        images.image_shape,
        batch_size=study.batch_size,
        precision=chosen_precision(study, device),
        images=len(images.pixels),
        device=device,
    )


def _measured(study: Study, images: ImageSet) -> list[tuple[int, int]]:
    """The numbers of images and of queries of each measurement of a member."""
    measured = []
    for step in study.record_steps:
        last = step == study.steps
        for side in (len(images.train), len(images.test)):
            count = side if last else min(study.trajectory_images, side)
            measured.append((count, min(study.final_queries if last else study.queries, count)))
    # Measuring an image is to encode it and to decode it twice: what else there is counts by thirds of that.
    if study.bound_images:
        measured.append((decodings(study) // 3, 0))
    if study.fresh_images:
        encoded = study.fresh_images + FITTED + EVALUATED
        # About as many pairs as the aggregate posteriors of all sizes have together.
        measured.append((encoded // 3, 3 * study.final_queries))
    return measured


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        known: dict[str, dict[str, Any]] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known


def _write(file: Path, known: dict[str, dict[str, Any]]) -> None:
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(known, indent=1))
        aside.replace(file)
