"""Shards on the workers of a Dask cluster: the extra `cluster`, which brings `distributed`.

Scheduler and workers need this package too, in equal versions. A worker works on one shard at a time, on its GPU if it
has one. It keeps checkpoints in its own $RATEREG_CACHE: where all workers share that folder, another one resumes from
the checkpoint of one that died.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ratereg.measurements import Measurement
from ratereg.storage import cache_directory, written_file
from ratereg.studies.shard import Listener, Shard, work_on
from ratereg.training import Stopped
from ratereg.training.key import NUMERICS_VERSION

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected", "work_on_cluster"]

_SECONDS_TO_CONNECT = 10
_SECONDS_BETWEEN_LOOKS = 0.2
_LOST = "The scheduler was lost; what its workers have made is kept there."
_SECONDS_FOR_THE_LOCK = 60.0
"""For a worker that the scheduler has given up to notice that, and to leave its shard to the next one."""

_one_at_a_time = threading.Lock()


def work_on_cluster(
    shards: Sequence[Shard],
    measurements: Sequence[Measurement],
    scheduler: "str | Client",
    *,
    checkpoint_seconds: float,
    listener: Listener,
) -> None:
    """Work on shards on a cluster's workers; what they make is kept in this machine's store as each is finished.

    Workers may come and go: Dask gives the shard of a worker that dies to another one.

    Raises:
        ConnectionError: the scheduler does not answer, or was lost.
        ModuleNotFoundError: `distributed` is not installed.
        Stopped: the listener said so; workers save the shards that they have under way.
    """
    with connected(scheduler) as client:
        from distributed.comm.core import CommClosedError

        same: dict[str, Any] = {
            "measurements": tuple(measurements),
            "checkpoint_seconds": checkpoint_seconds,
            "versions": _versions(),
        }
        pending = dict(zip(client.map(_work, shards, pure=False, **same), shards, strict=True))
        try:
            while pending:
                for future in [future for future in pending if future.done()]:
                    if future.status == "cancelled":
                        raise ConnectionError(_LOST)
                    for name, content in future.result().items():
                        with written_file(cache_directory() / "trainings" / name) as file:
                            file.write_bytes(content)
                    shard = pending.pop(future)
                    listener.report(len(shard) * shard.steps)
                if listener.stop():
                    raise Stopped(0, shards[0].steps)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except CommClosedError:
            raise ConnectionError(_LOST) from None
        finally:
            client.cancel(list(pending))


def _work(
    shard: Shard, measurements: tuple[Measurement, ...], checkpoint_seconds: float, versions: str
) -> dict[str, bytes]:
    """Work on a shard on a worker, and return the files that are kept of its trainings."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    if _versions() != versions:
        raise RuntimeError(
            f"The worker {worker.address} has {_versions()}, and this process {versions}, so results would differ; "
            "install equal versions."
        )
    # Made again here, since the digest that came along is kept.
    if any(replace(one).digest != one.digest for one in shard.trainings):
        raise ValueError(
            f"Data: source is {shard.data.source!r}, whose content on the worker {worker.address} is not that of this "
            "process; give a path where all find the same."
        )

    class Wanted(Listener):
        """Stops when no client wants the task any more, which Dask only notes."""

        def stop(self) -> bool:
            task = worker.state.tasks.get(key)
            return task is None or task.state != "executing"

    with _one_at_a_time:
        # A thread of Dask's has a number of threads of its own.
        torch.set_num_threads(max(1, worker.state.nthreads))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        work_on(
            shard,
            measurements,
            device,
            checkpoint_seconds=checkpoint_seconds,
            listener=Wanted(),
            wait=_SECONDS_FOR_THE_LOCK,
        )
    return {
        f"{one.digest}/{file.name}": file.read_bytes()
        for one in shard.trainings
        for file in (cache_directory() / "trainings" / one.digest).iterdir()
        if file.is_file() and not file.name.endswith(".previous")
    }


def _versions() -> str:
    return f"torch {torch.__version__.split('+')[0]} and ratereg's numerics {NUMERICS_VERSION}"


@contextmanager
def connected(scheduler: "str | Client") -> Iterator["Client"]:
    """Yield a client of the scheduler at an address, or the client that is given.

    Raises:
        ConnectionError: the scheduler does not answer.
        ModuleNotFoundError: `distributed` is not installed.
        ValueError: it is no address.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"scheduler needs the package {error.name!r}; install the extra `cluster`: pip install 'ratereg[cluster]'."
        ) from None
    if isinstance(scheduler, Client):
        yield scheduler
        return
    try:
        client = Client(scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise ValueError(f"scheduler is {scheduler!r}: {error}. Give an address such as 'tcp://host:8786'.") from None
    except OSError:
        raise ConnectionError(
            f"scheduler is {scheduler!r}, which does not answer within {_SECONDS_TO_CONNECT} s; "
            "give the address that `dask scheduler` prints."
        ) from None
    with client:
        yield client
