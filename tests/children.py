"""What the tests let other processes do, to kill them meanwhile."""

import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from ratereg.storage import locked, save_checkpoint
from ratereg.studies import Study
from ratereg.studies.run import run

# The server imports all of it once, so that a child begins in a tenth of a second and not in three.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["ratereg.studies.run", "torch._dynamo", "torch._refs", "pytest"])


@contextmanager
def child(work: Callable[..., None], *arguments: object) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """Yield a process that does `work(connection, *arguments)`, and this end of its connection; kill it at the end."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_alone, args=(work, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def _alone(work: Callable[..., None], connection: Connection, *arguments: object) -> None:
    torch.set_num_threads(1)
    # A process that is killed damages nothing, so the next one has nothing to warn of.
    warnings.simplefilter("error")
    work(connection, *arguments)


def save_again_and_again(connection: Connection, path: Path) -> None:
    for number in range(10**6):
        save_checkpoint(path, {"number": torch.full((20_000,), float(number))}, {"number": number})
        connection.send(number)


def hold(connection: Connection, path: Path, seconds: float) -> None:
    with locked(path):
        connection.send(os.getpid())
        time.sleep(seconds)


def train(
    connection: Connection, study: Study, cache: Path, checkpoint_seconds: float = 0.05, dies_at: int | None = None
) -> None:
    """Run a study, saying so before its first step; and be killed instead of renaming number `dies_at`."""
    os.environ["RATEREG_CACHE"] = str(cache)
    begun, moved, replace = False, 0, os.replace

    def stop() -> bool:
        nonlocal begun
        if not begun:
            connection.send("begins")
            begun = True
        return False

    def mortal(source: Path, target: Path) -> None:
        nonlocal moved
        if moved == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        moved += 1
        replace(source, target)

    os.replace = mortal
    run(
        study,
        cache / "result",
        device="cpu",
        progress=False,
        max_members=2,
        checkpoint_seconds=checkpoint_seconds,
        stop=stop,
    )
    connection.send("has ended")
