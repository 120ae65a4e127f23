"""A shard on a worker of a Dask cluster, from the worker's side."""

import shutil
import sys
import threading
import time

import numpy as np
import torch

from ratereg.studies.results import Results
from ratereg.studies.shard import Shard, run_shard
from ratereg.studies.study import NUMERICS_VERSION
from ratereg.training.interruption import Stopped

__all__ = ["PREFIX", "forget", "run_on_worker", "versions"]

PREFIX = "ratereg-shard-"
"""A task's key is this and the digest of its shard; under that key it also says what it has made."""

_SECONDS_BETWEEN_REPORTS = 1.0
_SECONDS_FOR_A_PLACE = 5.0
_SECONDS_FOR_THE_LOCK = 60.0
"""For a worker that the scheduler has given up to notice that, and to leave its shard to the next one."""

_one_at_a_time = threading.Lock()


def run_on_worker(shard: Shard, checkpoint_seconds: float, expected: dict[str, str]) -> Results:
    """Train a shard on the worker that this is called on, until it ends or nobody wants it there any more."""
    from distributed import Reschedule, Status, get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    _check_equal(shard, key, expected, worker.address)
    made, told = 0, time.monotonic()

    def report(steps: int) -> None:
        nonlocal made, told
        made += steps
        if time.monotonic() - told > _SECONDS_BETWEEN_REPORTS:
            worker.log_event(key, {"made": made})
            told = time.monotonic()

    def stop() -> bool:
        # Dask does not end a task that runs: it notes that no client wants it, or that the worker is to close.
        task = worker.state.tasks.get(key)
        wanted = task is not None and task.state == "executing"
        return not wanted or worker.status not in (Status.running, Status.paused)

    if not _one_at_a_time.acquire(timeout=_SECONDS_FOR_A_PLACE):
        raise Reschedule
    try:
        # A thread of Dask's has a number of its own.
        torch.set_num_threads(worker.state.nthreads)
        return run_shard(
            shard,
            torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            checkpoint_seconds=checkpoint_seconds,
            report=report,
            stop=stop,
            wait=_SECONDS_FOR_THE_LOCK,
        )
    except Stopped:
        # To another worker, if a client still wants it.
        raise Reschedule from None
    finally:
        _one_at_a_time.release()
        worker.log_event(key, {"made": made, "left": True})


def versions() -> dict[str, str]:
    """Return what has to be equal here and on the workers, that the results be those of this process."""
    return {
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "ratereg's numerics": str(NUMERICS_VERSION),
    }


def _check_equal(shard: Shard, key: str, expected: dict[str, str], worker: str) -> None:
    here = versions()
    for name, version in expected.items():
        if here[name] != version:
            raise RuntimeError(
                f"The worker {worker} has {name} {here[name]}, and this process {version}, so that results would "
                "differ; install equal versions."
            )
    # A new one, since the digest that came along is kept.
    if key != f"{PREFIX}{Shard(shard.study, shard.members).digest}":
        raise ValueError(
            f"Data: source is {shard.data.source!r}, whose content on the worker {worker} is not that of this process; "
            "give a path where all find the same."
        )


def forget(shard: Shard) -> None:
    """Remove the checkpoints of a shard whose results are kept."""
    shutil.rmtree(shard.directory, ignore_errors=True)
