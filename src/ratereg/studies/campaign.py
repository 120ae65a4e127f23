"""What `ratereg results` does: the published studies that have no result, as many as the time allows.

A call goes on where the last one stopped: finished members and the checkpoint of the shard under way are in the cache.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ratereg.storage import cache_directory, check_writable
from ratereg.studies.archive import pack, unpack
from ratereg.studies.catalog import CATALOG, published
from ratereg.studies.outlook import Left, Outlook, Progress, spoken, times_longer
from ratereg.studies.pace import paces
from ratereg.studies.provenance import environment
from ratereg.studies.results import Results, find_published, published_directory
from ratereg.studies.run import checked_devices, find, run
from ratereg.studies.shard import Shard, run_shard
from ratereg.studies.store import adopt_published, keep, keep_finished
from ratereg.studies.study import Study
from ratereg.training.interruption import Stopped, interruptible

__all__ = ["make_results"]

_RESERVE = 0.05
"""Of a call's time; the end of a step, the measuring of a member and a checkpoint fit in."""

_SHARE_OF_A_SHARD = 0.8
"""Of a call's time; the rest is for what is expected wrongly."""

_WORTH_BEGINNING = 60.0
"""Seconds; with fewer left, a shard that can't be finished in them is left to the next call."""


def make_results(
    names: Sequence[str] = (),
    scale: str | None = None,
    *,
    seconds: float | None = None,
    archive: Path | None = None,
    device: str | Sequence[str] | None = None,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> list[Left]:
    """Run the published studies that have no result, in the catalog's order, and return what is left.

    A finished study's result is put where committed results lie.

    Arguments:
        names: of studies; none for all.
        scale: "full" or "cpu"; None for "full" where there is a GPU, else "cpu".
        seconds: for this call; at their end the shard under way is saved. None for as long as it takes.
        archive: a .tar.gz file that is read first, if it is there, and gets what is finished.
        device: as `load_or_run` takes it.
        max_members: train that many members at once, instead of as many as fit into memory and time.
        checkpoint_seconds: how often the state of training is kept.
        say: takes the lines of the report.
        clock: the time in seconds.

    Raises:
        MemoryError: not even one member fits into the device's memory.
        Stopped: the run was interrupted; its state is kept.
        StorageError: the cache, the results or the archive can't be written, or another process runs a study.
        ValueError: a name, the scale, the device, a number or the archive is refused.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds is {seconds}; give a positive number.")
    deadline = None if seconds is None else clock() + seconds * (1 - _RESERVE)
    devices = checked_devices(device)
    chosen = scale or ("full" if devices[0].type == "cuda" else "cpu")
    studies = {name: published(name, chosen) for name in names or CATALOG}
    for folder in (cache_directory(), published_directory(), *([archive.absolute().parent] if archive else [])):
        check_writable(folder)
    keep_finished()
    lacking = _lacking(studies, chosen, archive, say)
    adopt_published(digest for study in lacking.values() for digest in study.member_digests().values())
    limit = None if seconds is None else seconds * _SHARE_OF_A_SHARD
    name_of_each = str(environment(devices[0])["device"])
    outlooks = []
    for name, study in lacking.items():
        pace = paces(study, devices[0], devices=len(devices), seconds=limit, max_members=max_members)
        outlooks.append(Outlook(name, chosen, study, pace, len(devices), name_of_each))
    with interruptible() as interrupted:
        call = _Call(devices, checkpoint_seconds, deadline, clock, interrupted, say)
        for outlook in outlooks:
            for shard, results in call.finished(outlook):
                keep(shard, results)
                if archive is not None:
                    pack(archive, lacking)
            if outlook.shards():
                break
            place = run(outlook.study, _place(outlook.name, outlook.study), progress=False).directory
            say(f"{outlook.name} at scale {chosen}: done, in {place}")
            if archive is not None:
                pack(archive, lacking)
    longer = times_longer(outlooks)
    return [left for left in (outlook.left(longer) for outlook in outlooks) if left.members]


def _lacking(
    studies: Mapping[str, Study], scale: str, archive: Path | None, say: Callable[[str], None]
) -> dict[str, Study]:
    """Return the studies that have no result, after what was carried here or done before has been put in its place."""
    if archive is not None and archive.is_file():
        for line in unpack(archive):
            say(f"from {archive}: {line}")
    lacking = {}
    for name, study in studies.items():
        if place := find_published(study.digest):
            say(f"{name} at scale {scale}: there already, in {place}")
        elif cached := find(study):
            say(f"{name} at scale {scale}: done before, now in {cached.save(_place(name, study)).directory}")
        else:
            lacking[name] = study
    return lacking


def _place(name: str, study: Study) -> Path:
    return published_directory() / name / study.digest


@dataclass(frozen=True)
class _Call:
    """What one call trains on, and until when."""

    devices: Sequence[torch.device]
    checkpoint_seconds: float
    deadline: float | None
    clock: Callable[[], float]
    interrupted: Callable[[], bool]
    say: Callable[[str], None]

    def over(self) -> bool:
        return self.interrupted() or (self.deadline is not None and self.clock() >= self.deadline)

    def worth_beginning(self, expected: float) -> bool:
        return self.deadline is None or self.deadline - self.clock() >= min(expected, _WORTH_BEGINNING)

    def finished(self, outlook: Outlook) -> Iterator[tuple[Shard, Results]]:
        """Yield a study's shards and their results as they finish, until the call is over.

        Raises:
            Stopped: the call was interrupted; all is saved.
        """
        shards = outlook.shards()
        try:
            if len(self.devices) > 1 and len(shards) > 1:
                yield from self._side_by_side(shards)
            else:
                yield from self._in_turn(outlook, shards)
        except Stopped:
            if self.interrupted():
                raise

    def _side_by_side(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Results]]:
        from ratereg.studies.devices import on_devices

        yield from on_devices(
            shards,
            self.devices,
            checkpoint_seconds=self.checkpoint_seconds,
            report=lambda _: None,
            stop=self.over,
        )

    def _in_turn(self, outlook: Outlook, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Results]]:
        for number, shard in enumerate(shards, 1):
            expected = outlook.expected(shard) * times_longer([outlook])
            if not self.worth_beginning(expected):
                return
            under_way = (shard.directory / "checkpoint").is_file()
            self.say(
                f"{outlook.name} at scale {outlook.scale}, shard {number} of {len(shards)}: {shard}, "
                f"{len(shard)} members, {'going on' if under_way else f'about {spoken(expected)}'}"
            )
            progress = Progress(shard)
            try:
                results = run_shard(
                    shard,
                    self.devices[0],
                    checkpoint_seconds=self.checkpoint_seconds,
                    report=progress.report,
                    stop=self.over,
                )
            except Stopped:
                progress.stopped()
                outlook.stopped.append(progress)
                raise
            yield shard, results
