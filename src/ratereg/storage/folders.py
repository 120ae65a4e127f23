"""Folders that are written to: where the cache is, and what is said where writing fails."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["StorageError", "cache_directory", "check_writable", "to_disk", "writing", "written_aside"]

_PROBE = bytes(65_536)
"""Written to see whether a folder takes files; a full disk may still have room for a few bytes."""

_REFUSALS = {
    errno.ENOSPC: ("the disk is full", "Free space there"),
    errno.EDQUOT: ("the quota is used up", "Free space there"),
    errno.EROFS: ("the file system is read-only", "Mount it for writing"),
    errno.EACCES: ("writing there is not allowed", "Change its permissions"),
    errno.EPERM: ("writing there is not allowed", "Change its permissions"),
    errno.ENOTDIR: ("a part of that path is a file, and not a folder", "Move the file away"),
    errno.EEXIST: ("there is a file where a folder is to be", "Move the file away"),
    errno.EISDIR: ("there is a folder where a file is to be", "Move the folder away"),
}


class StorageError(OSError):
    """A file can't be written or read where it should be; the message says what would do."""


def cache_directory() -> Path:
    """Return where all that can be made again is kept: $RATEREG_CACHE, else ratereg/ in the user's cache."""
    if chosen := os.environ.get("RATEREG_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ratereg"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise what the system says against writing `path` as a StorageError, which says what would do."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, SafetensorError) as error:
        code = _system_code(error)
        if code is None:
            raise
        reason, remedy = _REFUSALS.get(code, (os.strerror(code).lower(), "See to that"))
        own = path.absolute().is_relative_to(cache_directory().absolute())
        elsewhere = "name another folder in RATEREG_CACHE" if own else "name another folder"
        raise StorageError(f"{path} can't be written: {reason}. {remedy}, or {elsewhere}.") from error


def check_writable(folder: Path) -> None:
    """Make `folder` and write to it, so that a run which can't keep anything fails before it begins.

    Raises:
        StorageError: the folder can't be made or written to, or its disk is full.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(_PROBE)
            probe.flush()
            os.fsync(probe.fileno())


@contextmanager
def written_aside(directory: Path) -> Iterator[Path]:
    """Yield a new folder beside `directory`, which takes its place if the body ends well and is removed if not.

    Raises:
        StorageError: the disk is full, or the folder can't be written to; what was there is as it was.
    """
    aside, replaced = (directory.with_name(f".{directory.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    with writing(directory):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            yield aside
            for file in aside.rglob("*"):
                if file.is_file():
                    to_disk(file)
            while not _moved(aside, directory):
                # Another process may be doing the same, so this is not the last word.
                shutil.rmtree(replaced, ignore_errors=True)
                with suppress(FileNotFoundError):
                    os.replace(directory, replaced)
        finally:
            if replaced.exists() and not directory.exists():
                os.replace(replaced, directory)
            for folder in (aside, replaced):
                shutil.rmtree(folder, ignore_errors=True)


def _moved(folder: Path, place: Path) -> bool:
    """Move a folder to a place, unless there is one that holds something."""
    try:
        os.replace(folder, place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def to_disk(file: Path) -> None:
    """Return when what was written to `file` is on the disk, and would outlast a power failure."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _system_code(error: OSError | SafetensorError) -> int | None:
    """Return the error number, which safetensors gives in its text only."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)|code: (\d+)", str(error))
    return int(found[1] or found[2]) if found else None
