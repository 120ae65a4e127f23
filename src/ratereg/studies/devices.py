"""Several devices of one machine used whole: a process for each, which works on one shard after another.

The processes are spawned, so a script that comes here must start its own work under `if __name__ == "__main__":`.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
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
    places, made, stop = context.Queue(), context.Value("q"), context.Event()
    count = min(len(devices), len(shards))
    for device in devices[:count]:
        places.put(str(device))
    start = (places, made, stop, max(1, torch.get_num_threads() // count))
    reported = 0
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=start) as pool:
        pending = {pool.submit(_work, shard, tuple(measurements), checkpoint_seconds) for shard in shards}
        try:
            while pending:
                done, pending = wait(pending, timeout=_SECONDS, return_when=FIRST_COMPLETED)
                total = made.value
                listener.report(total - reported)
                reported = total
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
            for future in pending:
                future.cancel()


def _begin(places: Any, made: Any, stop: Any, threads: int) -> None:
    """Prepare a worker process: signals of the terminal or scheduler are wishes to stop."""
    torch.set_num_threads(threads)
    _process.update(device=torch.device(places.get()), listener=_Worker(made, stop))
    if _process["device"].type == "cuda":
        torch.cuda.set_device(_process["device"])
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_follow, args=(os.getppid(), stop), daemon=True).start()


def _follow(parent: int, stop: Any) -> None:
    """End the process when its parent has, after what is under way is saved: an idle one would wait for ever."""
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    stop.set()
    with _working:
        os._exit(1)


def _work(shard: Shard, measurements: tuple[Measurement, ...], checkpoint_seconds: float) -> None:
    listener = _process["listener"]
    if listener.stop():
        raise Stopped(0, shard.steps)
    with _working:
        work_on(shard, measurements, _process["device"], checkpoint_seconds=checkpoint_seconds, listener=listener)


class _Worker(Listener):
    """Counts the steps of all processes where the parent reads them, and stops when it asks for that."""

    def __init__(self, made: Any, asked: Any) -> None:
        self.made, self.asked = made, asked

    def report(self, steps: int) -> None:
        with self.made.get_lock():
            self.made.value += steps

    def stop(self) -> bool:
        return bool(self.asked.is_set())
