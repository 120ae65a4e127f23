"""Atomic writes of files and folders, the place of the cache, and the errors where writing fails."""

import errno
import glob
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["StorageError", "cache_directory", "check_writable", "folder_beside", "to_disk", "writing", "written_file"]
__all__ += ["written_folder"]

_DAY = 86_400
"""Age in seconds of a temporary folder whose process is taken to have been killed."""

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
    """A file can't be written or read at its place; the message names a remedy."""


def cache_directory() -> Path:
    """Return the folder of all files that can be made again: $RATEREG_CACHE, else ratereg/ in the user's cache."""
    if chosen := os.environ.get("RATEREG_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ratereg"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors in writing `path` into a StorageError that names a remedy."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, SafetensorError) as error:
        # safetensors gives the system's number in its text only.
        found = re.search(r"(?:os error |code: )(\d+)", str(error)) if isinstance(error, SafetensorError) else None
        code = int(found[1]) if found else getattr(error, "errno", None)
        if code is None:
            raise
        reason, remedy = _REFUSALS.get(code, (os.strerror(code).lower(), "Mend that"))
        own = path.absolute().is_relative_to(cache_directory().absolute())
        elsewhere = "name another folder in RATEREG_CACHE" if own else "name another folder"
        raise StorageError(f"{path} can't be written: {reason}. {remedy}, or {elsewhere}.") from error


def check_writable(folder: Path) -> None:
    """Make `folder` and write to it, so that a run which can't save anything fails before it begins.

    Raises:
        StorageError: the folder can't be made or written to, or its disk is full.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(65_536))  # a full disk may still have room for a few bytes
            probe.flush()
            os.fsync(probe.fileno())


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """Yield the path of a new file, which takes the place of `path` if the body ends well.

    The new file has the same name, in a temporary folder beside `path`. If `path` is a symbolic
    link, its target is replaced.

    Raises:
        StorageError: the disk is full, the folder can't be written to, or `path` is not a regular file. An existing
            file is left unchanged.
    """
    path = path.resolve()
    with folder_beside(path) as folder:
        if path.exists() and not path.is_file():
            raise StorageError(f"{path} is not a regular file; give the path of a regular or a new file.")
        yield folder / path.name
        set_default_mode(folder / path.name)
        to_disk(folder / path.name)
        os.replace(folder / path.name, path)


@contextmanager
def written_folder(directory: Path) -> Iterator[Path]:
    """Yield a new folder, which takes the place of `directory` if the body ends well.

    Raises:
        StorageError: the disk is full, or the folder can't be written to; what was there is as it was.
    """
    with folder_beside(directory) as folder:
        new, old = folder / "new", folder / "old"
        new.mkdir()
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                to_disk(file)
        try:
            # A folder is replaced only if it is empty, and another process may put its own there meanwhile.
            while new.exists():
                try:
                    os.replace(new, directory)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    shutil.rmtree(old, ignore_errors=True)
                    with suppress(FileNotFoundError):
                        os.replace(directory, old)
        finally:
            if old.exists() and not directory.exists():
                os.replace(old, directory)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, on the same file system, and remove what killed processes left there.

    Raises:
        StorageError: as from `writing`.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            with suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime >= _DAY:
                    shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def set_default_mode(file: Path) -> None:
    """Give a file the permissions of any new file here: safetensors writes files that only their owner can read."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        other = Path(folder) / "other"
        other.touch()
        file.chmod(other.stat().st_mode)


def to_disk(file: Path) -> None:
    """Return when the content of a file would outlast a power failure."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
