"""Training a member of a committed result again, and its numbers beside the committed ones."""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ratereg.measurements import Information, RateDistortion
from ratereg.storage import cache_directory
from ratereg.studies import Results, published
from ratereg.studies.assemble import Facts, joined_rows
from ratereg.studies.results import find_published
from ratereg.studies.run import checked_devices, complete
from ratereg.studies.shard import model_of
from ratereg.summary import mean_interval

__all__ = ["committed", "reproduce"]

_QUANTITIES = ("rate", "distortion", "mutual_information", "marginal_kl")


def committed(name: str, scale: str | None = None) -> Results:
    """Return the committed result of a published study.

    Raises:
        ValueError: there is no such study or scale, or it has no committed result.
    """
    place = find_published(published(name, scale).digest)
    if place is None:
        raise ValueError(f"reproduce: name is {name!r}, which has no committed result at that scale; give another one.")
    return Results.load(place)


def reproduce(
    results: Results,
    member: int,
    *,
    seed: int | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 300,
) -> pd.DataFrame:
    """Train a member of a result again, even if it is cached, and return its last step beside the committed one.

    With the processor, versions and number of threads of the provenance, the same seed gives the same numbers.
    Elsewhere other rounding leads training along another path, as another seed does. So the interval is a prediction
    interval for one more run: the mean over the committed seeds plus and minus t times their standard deviation times
    sqrt(1 + 1 / seeds), which holds 95 of 100 runs.

    Arguments:
        results: the committed result.
        member: number of the member in the table's column of that name.
        seed: seed to train with instead of the member's own.
        device: device to train on; None for a GPU if there is one, else the CPU.
        progress: whether to show a bar.
        checkpoint_seconds: time between checkpoints; the same call resumes a run that was stopped.

    Returns:
        one row per partition and quantity, in nats, with `committed`, `rerun`, the interval's ends `low` and `high`
        (NaN for one seed), and `within`.

    Raises:
        Stopped: the run was interrupted; its state is kept.
        ValueError: there is no such member, or the device or the data are refused.
    """
    if not 0 <= member < len(results.study):
        raise ValueError(f"reproduce: member is {member}; give a number from 0 to {len(results.study) - 1}.")
    training = results.trainings[member]
    final = results.final
    alike = final[(final["setting"] == training.setting) & (final["beta"] == training.beta)]
    if seed is not None:
        training = replace(training, seed=seed)
    target = checked_devices(device)[0]
    images = training.data.load()
    with _cache_of_its_own(training.digest):
        how: dict[str, Any] = {"progress": progress, "checkpoint_seconds": checkpoint_seconds, "with_weights": True}
        complete([training], (), {training.data: Facts.of(images)}, devices=[target], **how)
        model = model_of([training], images.image_shape).to(target)
    asked = [one for one in results.study.measurements if isinstance(one, RateDistortion | Information)]
    here = {row["partition"]: row for row in joined_rows([one(model, images).rows for one in asked])}
    rows = []
    for partition, of_seeds in alike[alike["partition"].isin(list(here))].groupby("partition", sort=False):
        own = of_seeds[of_seeds["member"] == member].iloc[0]
        for quantity in (name for name in _QUANTITIES if name in of_seeds):
            low, high = _prediction_interval(of_seeds[quantity].to_numpy())
            value = here[str(partition)][quantity]
            row = {"partition": partition, "quantity": quantity, "committed": own[quantity], "rerun": value}
            rows.append(row | {"low": low, "high": high, "within": bool(low <= value <= high)})
    return pd.DataFrame(rows)


@contextmanager
def _cache_of_its_own(name: str) -> Iterator[None]:
    """Let nothing that is cached be found; the cache of this run is removed at its end, and stays if it is stopped."""
    usual, own = os.environ.get("RATEREG_CACHE"), cache_directory() / "reproduced" / name
    os.environ["RATEREG_CACHE"] = str(own)
    try:
        yield
        shutil.rmtree(own, ignore_errors=True)
    finally:
        del os.environ["RATEREG_CACHE"]
        if usual is not None:
            os.environ["RATEREG_CACHE"] = usual


def _prediction_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95% interval for one more value of a normal sample; NaN for a single value."""
    mean = mean_interval(values)
    half_width = mean.half_width * math.sqrt(mean.seeds + 1)
    return mean.mean - half_width, mean.mean + half_width
