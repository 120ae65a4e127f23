"""Several devices of one machine used whole: a process for each, which works on one shard after another.

The processes are spawned, so a script that comes here must start its own work under `if __name__ == "__main__":`.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import torch

from ratereg.measurements import Measurement
from ratereg.studies.shard import Listener, Shard, work_on
from ratereg.training import Stopped
from ratereg.training.interruption import SIGNALS

__all__ = ["work_on_devices"]

_SECONDS = 0.2
"""Between looks at the progress and at the wish to stop."""

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
) -> None:
    """Work on shards, one at a time on each device; all is kept in this machine's store.

    torch's threads are divided among the processes. A process that loses its parent saves and ends.

    Raises:
        RuntimeError: a process was killed; the checkpoint of its shard is kept.
        Stopped: the listener said so, and every shard under way is saved.
        Exception: what a shard raised; the others under way are saved.
    """
    context = multiprocessing.get_context("spawn")
    count = min(len(devices), len(shards))
    # No locks: a killed process would never release its own.
    places, made, stop = context.Queue(), context.RawArray("q", count), context.RawValue("b", 0)
    for place in enumerate(devices[:count]):
        places.put(place)
    start = (places, made, stop, max(1, torch.get_num_threads() // count))
    reported = 0
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=start) as pool:
        pending = {pool.submit(_work, shard, tuple(measurements), checkpoint_seconds) for shard in shards}
        try:
            while pending:
                done, pending = wait(pending, timeout=_SECONDS, return_when=FIRST_COMPLETED)
                total = sum(made)
                listener.report(total - reported)
                reported = total
                for future in done:
                    future.result()
                if listener.stop():
                    stop.value = 1
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A process that trained was killed; perhaps memory ran out, and fewer max_members need less of it. "
                "Start the same again, and it is resumed from the last checkpoint."
            ) from error
        finally:
            stop.value = 1
            for future in pending:
                future.cancel()


class _Worker(Listener):
    """Counts a process's steps in shared memory, and stops at a signal or at the parent's request."""

    def __init__(self, made: Any, index: int, asked: Any) -> None:
        self.made, self.index, self.asked = made, index, asked
        self.signaled = False
        self.measuring: Stopped | None = None

    def report(self, steps: int) -> None:
        self.made[self.index] += steps

    def stop(self) -> bool:
        return self.signaled or bool(self.asked.value)

    @contextmanager
    def at_once(self, step: int, steps: int) -> Iterator[None]:
        self.measuring = Stopped(step, steps)
        try:
            if self.stop():
                raise self.measuring
            yield
        finally:
            self.measuring = None

    def handle(self, *_: Any) -> None:
        """Take a signal: of the terminal, of a scheduler, or of this process's own `follow`."""
        self.signaled = True
        if self.measuring is not None:
            raise self.measuring

    def follow(self, parent: int) -> None:
        """Cut a measurement short at a wish to stop; end with the parent, after saving, for an idle process waits."""
        while os.getppid() == parent and not self.stop():
            time.sleep(_SECONDS)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        while os.getppid() == parent:
            time.sleep(_SECONDS)
        with _working:
            os._exit(1)


def _begin(places: Any, made: Any, stop: Any, threads: int) -> None:
    """Prepare a worker process."""
    torch.set_num_threads(threads)
    index, device = places.get()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    worker = _Worker(made, index, stop)
    _process.update(device=device, worker=worker)
    for number in SIGNALS:
        signal.signal(number, worker.handle)
    threading.Thread(target=worker.follow, args=(os.getppid(),), daemon=True).start()


def _work(shard: Shard, measurements: tuple[Measurement, ...], checkpoint_seconds: float) -> None:
    device, worker = _process["device"], _process["worker"]
    if worker.stop():
        raise Stopped(0, shard.steps)
    with _working:
        work_on(shard, measurements, device, checkpoint_seconds=checkpoint_seconds, listener=worker)
