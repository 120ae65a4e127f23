"""From a study to its results: found if they are there, else trained, measured and kept."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from tqdm.auto import tqdm

from ratereg.data import ImageSet
from ratereg.models.networks import Network
from ratereg.storage import cache_directory, check_writable, locked
from ratereg.studies.assemble import assemble
from ratereg.studies.catalog import identify
from ratereg.studies.plan import plan
from ratereg.studies.results import Results, find_published
from ratereg.studies.shard import Shard, chosen_precision, images_of, run_shard
from ratereg.studies.store import adopt_published, keep, keep_finished, kept, member_directory
from ratereg.studies.study import Data, Study
from ratereg.training.cost import members_that_fit
from ratereg.training.interruption import interruptible

__all__ = ["checked_devices", "find", "load_or_run", "run"]


class _Images(NamedTuple):
    """What is to be known of a study's images while they are not in memory."""

    name: str
    shape: tuple[int, int, int]
    images: int
    n_train: int
    n_test: int

    @classmethod
    def of(cls, images: ImageSet) -> Self:
        return cls(images.name, images.image_shape, len(images.pixels), len(images.train), len(images.test))


def load_or_run(
    study: Study,
    *,
    device: str | torch.device | Sequence[str | torch.device] | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
) -> Results:
    """Return the results of a study: committed ones, else cached ones, else it is trained and then cached.

    Arguments:
        study: what to look for or to run.
        device: to train on, or several, of which each takes one shard at a time; None for all GPUs if there are any,
            else the CPU.
        scheduler: the address of a Dask scheduler, whose workers train instead.
        progress: show a bar with speed, time left and losses.
        max_members: train at most that many members at once; None for as many of one data set and network as the
            device's memory holds, parted among several devices; on a cluster those of one seed.
        checkpoint_seconds: how often the state of training is kept, so that a stopped run goes on.

    Raises:
        LookupError: the site is being built, and the study is a published one without a result.
        MemoryError: not even one member fits into the device's memory.
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
    """Return the committed or cached results of a study, or None."""
    digest = study.digest
    published = find_published(digest)
    if published is not None:
        return Results.load(published)
    cached = cache_directory() / "studies" / digest
    return Results.load(cached) if (cached / "provenance.json").is_file() else None


def run(
    study: Study,
    directory: Path,
    *,
    device: str | torch.device | Sequence[str | torch.device] | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
    stop: Callable[[], bool] = lambda: False,
) -> Results:
    """Train and measure the members of a study that have not been, shard by shard, and save all to `directory`.

    The other arguments are those of `load_or_run`; when `stop` returns True, the state is kept and `Stopped` is raised.
    """
    devices = checked_devices(device)
    if max_members is not None and max_members < 1:
        raise ValueError(f"run: max_members is {max_members}; give at least 1.")
    images = {one: _Images.of(images_of(one)) for one in study.axis_data}
    _check_images(images)
    limit = _limit(study, images, devices, on_cluster=scheduler is not None)
    digests = study.member_digests()
    check_writable(cache_directory())
    check_writable(Path(directory).parent)
    visible = progress and not os.environ.get("RATEREG_BUILDING_SITE")
    with (
        locked(cache_directory() / "locks" / study.digest),
        interruptible() as interrupted,
        tqdm(total=len(study) * study.steps, unit=" member-steps", unit_scale=True, disable=not visible) as bar,
    ):
        keep_finished()
        adopt_published(digests.values())
        missing = [member for member, digest in digests.items() if not kept(digest)]
        shards = plan(study, missing, limit if max_members is None else lambda *_: max_members)
        bar.update((len(study) - len(missing)) * study.steps)

        def asked() -> bool:
            return interrupted() or stop()

        for shard, results in _executed(shards, devices, scheduler, checkpoint_seconds, bar, asked):
            keep(shard, results)
    parts = {member: Results.load(member_directory(digest)) for member, digest in digests.items()}
    return assemble(study, parts).save(directory)


def _executed(
    shards: Sequence[Shard],
    devices: Sequence[torch.device],
    scheduler: str | None,
    checkpoint_seconds: float,
    bar: "tqdm[Any]",
    stop: Callable[[], bool],
) -> Iterator[tuple[Shard, Results]]:
    """Yield the shards and their results as they are finished."""

    def report(made: int) -> None:
        bar.update(made)

    if scheduler is not None:
        from ratereg.studies.cluster import on_cluster

        yield from on_cluster(shards, scheduler, checkpoint_seconds=checkpoint_seconds, report=report, stop=stop)
    elif len(devices) > 1 and len(shards) > 1:
        from ratereg.studies.devices import on_devices

        yield from on_devices(shards, devices, checkpoint_seconds=checkpoint_seconds, report=report, stop=stop)
    else:
        for number, shard in enumerate(shards, 1):
            bar.set_description(f"{shard} [{number}/{len(shards)}]")
            yield (
                shard,
                run_shard(
                    shard,
                    devices[0],
                    checkpoint_seconds=checkpoint_seconds,
                    report=report,
                    stop=stop,
                    describe=None if bar.disable else bar.set_postfix_str,
                ),
            )


def _limit(
    study: Study, images: dict[Data, _Images], devices: Sequence[torch.device], *, on_cluster: bool
) -> Callable[[Data, Network], int]:
    """Return how many members of a data set and a network are trained together, unless the user says how many."""
    if on_cluster:
        return lambda *_: len(study.axis_betas)
    each = math.ceil(len(study.axis_betas) * len(study.axis_seeds) / len(devices))

    def limit(data: Data, network: Network) -> int:
        fit = min(
            members_that_fit(
                network,
                images[data].shape,
                batch_size=study.batch_size,
                precision=chosen_precision(study, device),
                images=images[data].images,
                device=device,
            )
            for device in devices
        )
        return min(fit, each)

    return limit


def checked_devices(device: str | torch.device | Sequence[str | torch.device] | None) -> list[torch.device]:
    """Return the devices that are meant; None means all GPUs if there are any, else the CPU.

    Raises:
        ValueError: a device is not here, or none is named.
    """
    if device is None:
        count = torch.cuda.device_count()
        device = [f"cuda:{index}" for index in range(count)] or "cpu"
    several = [device] if isinstance(device, str | torch.device) else list(device)
    if not several:
        raise ValueError("device is empty; give at least one, for example 'cpu'.")
    return [_checked_device(one) for one in several]


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = ["'cpu'", *(["'cuda'"] if torch.cuda.is_available() else [])]
        raise ValueError(f"device is {str(device)!r}, which is not here; give {' or '.join(there)}.") from None
    return target


def _check_images(images: dict[Data, _Images]) -> None:
    """Refuse what one table cannot hold: images of several shapes, and data that its columns do not tell apart."""
    shapes = {one.source: facts.shape for one, facts in images.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"Study: data has images of different shapes, {shapes}; give them studies of their own.")
    alike: dict[tuple[object, ...], Data] = {}
    for one, facts in images.items():
        columns = (facts.name, one.split, one.share, facts.n_train, facts.n_test)
        if columns in alike:
            raise ValueError(
                f"Study: data holds {alike[columns]} and {one}, which have the same name, split and numbers of images, "
                "so that a table would mix them up; give them studies of their own."
            )
        alike[columns] = one
