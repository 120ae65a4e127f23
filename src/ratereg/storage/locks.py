"""Locks between processes."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ratereg.storage.atomic import StorageError, writing

__all__ = ["Busy", "locked"]


class Busy(StorageError):
    """Another process works there."""


@contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Keep all other processes and threads out of `path` while the body runs.

    The lock is the system's, so it ends with the process that holds it, however that ends. Its file, `path` with
    ".lock" added, stays: were it removed, two processes could each hold a lock of that name.

    Arguments:
        path: a file or a folder, which need not be there.
        wait: seconds to wait for another process.

    Raises:
        Busy: another process or another thread works there; the message names the process.
        StorageError: the folder can't be written to, or its file system has no locks.
    """
    file, holder = (path.with_name(f"{path.name}.{end}") for end in ("lock", "holder"))
    lock = FileLock(file)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            who = "another process"
            with suppress(OSError):
                who = holder.read_text() or who
            raise Busy(f"{path}: {who} works there. Wait until it has ended, or stop it, and start again.") from None
        except NotImplementedError as error:
            raise StorageError(
                f"{path} can't be locked: its file system has no locks. Name a folder on another one in RATEREG_CACHE."
            ) from error
    try:
        # Not in the lock's own file, which some versions of filelock empty before they know who holds it.
        with writing(holder):
            since = datetime.now().astimezone().isoformat(" ", "seconds")
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since},")
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()
