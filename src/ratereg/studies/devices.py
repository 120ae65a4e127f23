"""Several devices of one machine used whole: a process for each, which works on one shard after another.

The processes are spawned, so a script that comes here must start its own work under `if __name__ == "__main__":`.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import torch

from ratereg.measurements import Measurement
from ratereg.studies.shard import Listener, Shard, work_on
from ratereg.training import Stopped

__all__ = ["work_on_devices"]

_SECONDS = 0.2
"""Between looks at what the processes report and at the wish to stop."""

_process: dict[str, Any] = {}
"""What a worker process was started with."""

_working = threading.Lock()
"""Held while a shard is under way."""


def work_on_devices(
    shards: Sequence[Shard],
    measurements: Sequence[Measurement],
    devices: Sequence[torch.device],
    *,
    checkpoint_seconds: float,
    listener: Listener,
    with_weights: bool = False,
) -> None:
    """Work on shards, one at a time on each device; all is kept in this machine's store.

    torch's threads are divided among the processes. A process that loses its parent saves and ends.

    Raises:
        RuntimeError: a process was killed; the checkpoint of its shard is kept.
        Stopped: the listener said so, and every shard under way is saved.
        ValueError: `devices` is empty.
        Exception: what a shard raised; the others under way are saved.
    """
    if not devices:
        raise ValueError("work_on_devices: devices is empty; give at least one.")
    context = multiprocessing.get_context("spawn")
    places, reports, stop = context.Queue(), context.Queue(), context.Event()
    used = devices[: len(shards)]
    for device in used:
        places.put(str(device))
    threads = max(1, torch.get_num_threads() // max(1, len(used)))
    start = (places, reports, stop, threads)
    how = {"checkpoint_seconds": checkpoint_seconds, "with_weights": with_weights}
    with ProcessPoolExecutor(len(used), mp_context=context, initializer=_begin, initargs=start) as pool:
        pending = {pool.submit(_work, shard, tuple(measurements), how) for shard in shards}
        try:
            while pending:
                done, pending = wait(pending, timeout=_SECONDS, return_when=FIRST_COMPLETED)
                _pass_on(reports, listener)
                for future in done:
                    future.result()
                if listener.stop():
                    stop.set()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A process that trained was killed; perhaps memory ran out, and fewer max_members need less of it. "
                "Start the same again, and it is resumed from the last checkpoint."
            ) from error
        finally:
            stop.set()
            _cancel(pending)
    _pass_on(reports, listener)


def _cancel(pending: set["Future[None]"]) -> None:
    for future in pending:
        future.cancel()


def _pass_on(reports: Any, listener: Listener) -> None:
    with suppress(queue.Empty):
        while True:
            listener.report(reports.get_nowait())


def _begin(places: Any, reports: Any, stop: Any, threads: int) -> None:
    """Prepare a worker process: Ctrl-C and SIGTERM of the terminal or scheduler are wishes to stop."""
    torch.set_num_threads(threads)
    _process.update(device=torch.device(places.get()), reports=reports, stop=stop, parent=os.getppid())
    if _process["device"].type == "cuda":
        torch.cuda.set_device(_process["device"])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End the process when its parent has, after what is under way is saved: an idle one would wait for ever."""
    while os.getppid() == _process["parent"]:
        time.sleep(_SECONDS)
    _process["stop"].set()
    with _working:
        os._exit(1)


def _work(shard: Shard, measurements: tuple[Measurement, ...], how: dict[str, Any]) -> None:
    listener = _Reporter()
    if listener.stop():
        raise Stopped(0, shard.steps)
    with _working:
        try:
            work_on(shard, measurements, _process["device"], listener=listener, **how)
        finally:
            listener.tell()


class _Reporter(Listener):
    """Tells the parent about progress now and then."""

    def __init__(self) -> None:
        self.made, self.told = 0, time.monotonic()

    def report(self, steps: int) -> None:
        self.made += steps
        if time.monotonic() - self.told > _SECONDS:
            self.tell()

    def tell(self) -> None:
        _process["reports"].put(self.made)
        self.made, self.told = 0, time.monotonic()

    def stop(self) -> bool:
        return bool(_process["stop"].is_set())
