"""From a study to its results: found if they are there, else what is missing is trained and measured, and kept."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from tqdm.auto import tqdm

from ratereg.data import Data
from ratereg.measurements import Measurement
from ratereg.storage import cache_directory, check_writable, locked
from ratereg.studies.assemble import Facts, assemble
from ratereg.studies.catalog import identify
from ratereg.studies.measured import TRAJECTORY, adopt_published, is_measured
from ratereg.studies.memory import members_that_fit
from ratereg.studies.plan import plan
from ratereg.studies.precision import resolved_precision
from ratereg.studies.results import Results, ResultsError, find_published
from ratereg.studies.shard import Listener, work_on
from ratereg.studies.study import Study
from ratereg.training import store
from ratereg.training.interruption import Interruption, interruptible
from ratereg.training.key import Training

__all__ = ["checked_devices", "complete", "find", "load_or_run", "run"]


def load_or_run(
    study: Study,
    *,
    device: str | torch.device | Sequence[str | torch.device] | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
) -> Results:
    """Return the results of a study: committed ones, else cached ones, else what is missing is trained and measured.

    Arguments:
        study: what to look for or to run.
        device: to train on, or several, of which each takes one shard at a time; None for all GPUs if there are any,
            else the CPU.
        scheduler: the address of a Dask scheduler, whose workers train instead.
        progress: show a bar with speed, time left and losses.
        max_members: train at most that many members at once; None for as many of one setting as the device's memory
            holds, divided among several devices; on a cluster those of one seed.
        checkpoint_seconds: how often the state of training is kept, so that a stopped run can be resumed.

    Raises:
        LookupError: the site is being built, and the study is a published one without a result.
        MemoryError: not even one member fits into the device's memory.
        ResultsError: a result is there and damaged.
        Stopped: the run was interrupted; its state is kept.
        StorageError: the cache can't be written, or another process has the study under way.
        ValueError: the data or a setting is refused.
    """
    found = find(study)
    if found is not None:
        return found
    name = identify(study)
    if name is not None and os.environ.get("RATEREG_BUILDING_SITE"):
        raise LookupError(
            f"The published study {name[0]!r} has no result at scale {name[1]!r}, and the site does not train it. "
            "Run `make results` first, or change a setting of the study."
        )
    return run(
        study,
        cache_directory() / "studies" / study.digest,
        device=device,
        scheduler=scheduler,
        progress=progress,
        max_members=max_members,
        checkpoint_seconds=checkpoint_seconds,
    )


def find(study: Study) -> Results | None:
    """Return the committed or cached results of a study, or None.

    Raises:
        ResultsError: they are damaged, or those of another study.
    """
    digest = study.digest
    cached = cache_directory() / "studies" / digest
    directory = find_published(digest) or (cached if cached.is_dir() else None)
    if directory is None:
        return None
    results = Results.load(directory)
    if results.study.digest != digest:
        raise ResultsError(
            f"Results: {directory} holds the results of another study, {results.study.digest}; remove it to measure "
            "this one again."
        )
    return results


class Options(TypedDict, total=False):
    """Options of `run` and `complete`: those of `load_or_run`, and `stop`, at whose True the state is kept."""

    scheduler: str | None
    progress: bool
    max_members: int | None
    checkpoint_seconds: float
    stop: Callable[[], bool]


def run(
    study: Study,
    directory: Path,
    *,
    device: str | torch.device | Sequence[str | torch.device] | None = None,
    trainings: Sequence[Training] | None = None,
    **options: Unpack[Options],
) -> Results:
    """Train and measure what is missing of a study, shard by shard, and save its results to `directory`.

    `trainings` are those of the members, for example of an earlier result; None for the study's own.
    """
    devices = checked_devices(device)
    facts = _facts(study)
    check_writable(Path(directory).parent)
    chosen = trainings or study.trainings(resolved_precision(study, devices[0]))
    with locked(cache_directory() / "locks" / study.digest):
        complete(chosen, study.measurements, facts, devices=devices, known=trainings is not None, **options)
        return assemble(study, chosen, facts).save(directory)


def complete(
    trainings: Sequence[Training],
    measurements: Sequence[Measurement],
    facts: dict[Data, Facts],
    *,
    devices: Sequence[torch.device],
    with_weights: bool = False,
    known: bool = False,
    **options: Unpack[Options],
) -> None:
    """Train and measure what is missing of some trainings, so that this machine's store has it.

    Arguments:
        trainings: the members, in the order of their study.
        measurements: what is measured of each.
        facts: of their images.
        devices: to train on; each takes one shard at a time.
        with_weights: whether the weights are wanted, also of what is measured already; on one device only.
        known: whether results of them exist, so that training them again is reported.
        options: see `Options`.

    Raises:
        Stopped: the run was interrupted or `stop` returned True; the state is kept.
        ValueError: an option is out of range.
    """
    max_members, scheduler = options.get("max_members"), options.get("scheduler")
    checkpoint_seconds = options.get("checkpoint_seconds", 300)
    if max_members is not None and not (isinstance(max_members, int) and max_members >= 1):
        raise ValueError(f"run: max_members is {max_members!r}; give an integer of at least 1.")
    if not (isinstance(checkpoint_seconds, int | float) and checkpoint_seconds >= 0):
        raise ValueError(
            f"run: checkpoint_seconds is {checkpoint_seconds!r}; give the seconds between saves, 0 or more."
        )
    check_writable(cache_directory())
    adopt_published(trainings, measurements)
    missing = [
        one
        for one in trainings
        if not store.has(one, TRAJECTORY)
        or not all(is_measured(one, wanted) for wanted in measurements)
        or (with_weights and not store.has(one))
    ]
    if not missing:
        return
    if again := [one for one in missing if not store.has(one) and (known or store.has(one, TRAJECTORY))]:
        print(f"Only the numbers of {len(again)} of {len(trainings)} members are here: training them again.")

    def at_once(one: Training) -> int:
        """Return how many members of a training's setting are trained together."""
        if max_members is not None:
            return max_members
        alike = [other for other in trainings if other.setting == one.setting]
        if scheduler is not None:
            return sum(other.seed == one.seed for other in alike)
        fit = min(members_that_fit(one, facts[one.data].shape, facts[one.data].images, device) for device in devices)
        return min(fit, -(-len(alike) // len(devices)))

    shards = plan(trainings, at_once, missing)
    steps = sum(one.steps for one in trainings)
    visible = options.get("progress", True) and not os.environ.get("RATEREG_BUILDING_SITE")
    with (
        interruptible() as interrupted,
        tqdm(total=steps, unit=" member-steps", unit_scale=True, disable=not visible) as bar,
    ):
        bar.update(steps - sum(one.steps for one in missing if with_weights or not store.has(one)))
        listener = _Bar(bar, interrupted, options.get("stop", lambda: False))
        how: dict[str, Any] = {"checkpoint_seconds": checkpoint_seconds, "listener": listener}
        if scheduler is not None:
            from ratereg.studies.cluster import work_on_cluster

            work_on_cluster(shards, measurements, scheduler, **how)
        elif len(devices) > 1 and len(shards) > 1:
            from ratereg.studies.devices import work_on_devices

            work_on_devices(shards, measurements, devices, **how)
        else:
            for number, shard in enumerate(shards, 1):
                bar.set_description(f"{shard} [{number}/{len(shards)}]")
                work_on(shard, measurements, devices[0], with_weights=with_weights, **how)


class _Bar(Listener):
    """Shows the progress in a bar, and stops at a signal."""

    def __init__(self, bar: "tqdm[Any]", interrupted: Interruption, stop: Callable[[], bool]) -> None:
        self.bar, self.interrupted, self.asked = bar, interrupted, stop

    def report(self, steps: int) -> None:
        self.bar.update(steps)

    def describe(self, text: str) -> None:
        self.bar.set_postfix_str(text)

    def stop(self) -> bool:
        return self.interrupted() or self.asked()

    def at_once(self, step: int, steps: int) -> AbstractContextManager[None]:
        return self.interrupted.at_once(step, steps)


def _facts(study: Study) -> dict[Data, Facts]:
    """Load the images of a study one after another, and refuse what can't be measured or put into one table."""
    facts = {}
    for one in study.axis_data:
        images = one.load()
        for measurement in study.measurements:
            measurement.check(images)
        facts[one] = Facts.of(images)
    shapes = {one.source: known.shape for one, known in facts.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"Study: data has images of different shapes, {shapes}; give them studies of their own.")
    return facts


def checked_devices(device: str | torch.device | Sequence[str | torch.device] | None) -> list[torch.device]:
    """Return the devices that are meant; None means all GPUs if there are any, else the CPU.

    Raises:
        ValueError: a device is not here, is without float64, or none is named.
    """
    if device is None:
        device = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or "cpu"
    several = [device] if isinstance(device, str | torch.device) else list(device)
    if not several:
        raise ValueError("device is empty; give at least one, for example 'cpu'.")
    there = "'cpu' or 'cuda'" if torch.cuda.is_available() else "'cpu'"
    for one in several:
        try:
            torch.empty(0, device=one)
        except (RuntimeError, AssertionError, NotImplementedError):
            raise ValueError(f"device is {str(one)!r}, which is not here; give {there}.") from None
        if torch.device(one).type not in ("cpu", "cuda"):
            raise ValueError(f"device is {str(one)!r}, which has no float64, as the estimators need it; give {there}.")
    return [torch.device(one) for one in several]
