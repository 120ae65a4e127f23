"""A checkpoint is valid or refused, one is there at every moment, and errors of writing name a remedy."""

import errno
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from children import child, hold, save_again_and_again
from ratereg.storage import (
    Busy,
    StorageError,
    cache_directory,
    check_writable,
    checkpoints,
    load_checkpoint,
    locked,
    save_checkpoint,
    tensors_digest,
    written_file,
    written_folder,
)

TENSORS = {
    "weights": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "step": torch.tensor(7),
    "none": torch.empty(0, 3),
    "flags": torch.tensor([True, False]),
    "turned": torch.arange(6).reshape(2, 3).T,
}
RECORD = {"rows": [1.5, -float("inf")], "name": "β"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "state"


def number_at(path: Path) -> Any:
    found = load_checkpoint(path)
    return None if found is None else found[1]["number"]


def save(path: Path, number: int, size: int = 100) -> None:
    save_checkpoint(path, {"values": torch.full((size,), float(number))}, {"number": number})


def files(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_a_checkpoint_comes_back_as_it_was(path: Path) -> None:
    assert load_checkpoint(path) is None
    save_checkpoint(path, TENSORS, RECORD)
    found = load_checkpoint(path)
    assert found is not None
    assert found[1] == RECORD
    assert found[0].keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[0][name].dtype == tensor.dtype
        assert torch.equal(found[0][name], tensor), name
    assert load_file(path).keys() == TENSORS.keys()
    assert files(path) == ["state"]


def test_any_altered_bit_and_any_cut_is_recognized(path: Path) -> None:
    save_checkpoint(path, {"half": TENSORS["half"], "step": TENSORS["step"]}, RECORD)
    whole = path.read_bytes()
    flipped = [
        whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :]
        for position in range(len(whole))
        for bit in range(8)
    ]
    for damaged in (*flipped, whole + b"\0", *(whole[:length] for length in range(len(whole)))):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="cut short or altered, so it is not used"):
            assert load_checkpoint(path) is None


def test_tensors_and_records_that_differ_in_anything_have_different_digests() -> None:
    values = torch.arange(6.0)
    alike: list[tuple[dict[str, Tensor], str]] = [
        ({"a": values}, "{}"),
        ({"b": values}, "{}"),
        ({"a": values.reshape(2, 3)}, "{}"),
        ({"a": values.view(torch.int32)}, "{}"),
        ({"a": values[:3], "b": values[3:]}, "{}"),
        ({"a": values[:2], "b": values[2:]}, "{}"),
        ({"a": values}, '{"a": 1}'),
    ]
    assert len({tensors_digest(*one) for one in alike}) == len(alike)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
def test_where_the_newest_is_damaged_or_missing_the_previous_one_is_used(
    path: Path, damage: Callable[[Path], object]
) -> None:
    for number in (1, 2, 3):
        save(path, number)
    assert number_at(path) == 3
    damage(path)
    with pytest.warns(UserWarning, match="the previous one, .*, is used"):
        assert number_at(path) == 2
    path.with_name("state.previous").write_bytes(b"")
    with pytest.warns(UserWarning, match="not used"):
        assert number_at(path) is None


class _Killed(BaseException):
    """What stands for SIGKILL: nothing is done after it."""


def _die_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die instead of the call number `calls` of those that change files."""
    made = count()

    def mortal(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **settings: Any) -> Any:
            if (number := next(made)) >= calls:
                if number == calls and name == "save_file":
                    arguments[1].write_bytes(b"half of a")
                raise _Killed
            return call(*arguments, **settings)

        return instead

    for place, name in (
        (checkpoints, "save_file"),
        (checkpoints, "to_disk"),
        (os, "link"),
        (shutil, "copyfile"),
        (os, "replace"),
        (Path, "unlink"),
    ):
        monkeypatch.setattr(place, name, mortal(name, getattr(place, name)))


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("damaged", [False, True])
def test_at_every_moment_of_saving_a_valid_checkpoint_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    found = []
    for calls in count():
        shutil.rmtree(path.parent, ignore_errors=True)
        save(path, 1)
        save(path, 2)
        if damaged:
            path.write_bytes(path.read_bytes()[:-1])
        with monkeypatch.context() as dying:
            _die_after(calls, dying)
            try:
                save(path, 3)
                break
            except _Killed:
                pass
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found.append(number_at(path))
        # Only damage is a reason to warn.
        assert bool(caught) == (found[-1] == 1)
        save(path, 4)
        assert number_at(path) == 4
        assert files(path) == ["state", "state.previous"]
    assert found == sorted(found)
    assert set(found) == ({1, 3} if damaged else {2, 3})
    assert len(found) >= 5


def test_a_process_killed_while_it_saves_leaves_what_it_saved_last(path: Path) -> None:
    last = -1
    for pause in (0.01, 0.02, 0.03, 0.05, 0.08):
        with child(save_again_and_again, path) as (process, connection):
            last = connection.recv()
            process.join(pause)
            process.kill()
            process.join()
            while connection.poll():
                try:
                    last = connection.recv()
                except EOFError:
                    break
        assert number_at(path) in (last, last + 1)
    for leftover in path.parent.glob(".*.part"):
        os.utime(leftover, (0, 0))
    save(path, 0)
    assert files(path) == ["state", "state.previous"]


def _refuses(what: Callable[[], object], *says: str) -> None:
    with pytest.raises(StorageError) as refused:
        what()
    for words in says:
        assert words in str(refused.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode
    ):
        pytest.skip("a file system of 1 MB can't be mounted here (that needs root)")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_on_a_full_disk_saving_fails_clearly_and_damages_nothing(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(small_disk))
    path = small_disk / "state"
    save(path, 1, 50_000)
    save(path, 2, 50_000)
    _refuses(lambda: save(path, 3, 200_000), str(path), "disk is full", "Free space", "RATEREG_CACHE")
    assert files(path) == ["state", "state.previous"]
    assert number_at(path) == 2
    with pytest.raises(OSError, match="No space"):
        (small_disk / "rest").write_bytes(bytes(2**20))
    _refuses(lambda: check_writable(small_disk / "new"), "disk is full")
    _refuses(lambda: locked(path).__enter__(), "disk is full")
    (small_disk / "rest").unlink()
    with locked(path):
        save(path, 3, 50_000)


def test_a_file_system_mounted_read_only_is_refused(small_disk: Path) -> None:
    path = small_disk / "state"
    save(path, 1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for write in (lambda: save(path, 2), lambda: check_writable(small_disk), lambda: locked(path).__enter__()):
        _refuses(write, "read-only", "name another folder")
    assert number_at(path) == 1


def test_a_file_that_the_system_refuses_to_grow_damages_nothing(path: Path) -> None:
    save(path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        _refuses(lambda: save(path, 2, 100_000), str(path), "file too large", "name another folder")
        _refuses(lambda: check_writable(path.parent), "file too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(path) == ["state"]
    assert number_at(path) == 1


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the quota is used up"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk is full"),
        (SafetensorError('IoError(Os { code: 28, kind: StorageFull, message: "No space left" })'), "disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
    ],
    ids=repr,
)
def test_what_the_system_says_is_said_with_what_would_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, says: str
) -> None:
    save(path, 1)

    def fail(_: object, file: Path, **__: object) -> None:
        file.write_bytes(b"half")
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save_file", fail)
        _refuses(lambda: save(path, 2), str(path), says, "name another folder")
    assert files(path) == ["state"]
    assert number_at(path) == 1


def test_a_place_below_a_file_or_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    _refuses(lambda: check_writable(file), str(file), "a file where a folder is to be")
    _refuses(lambda: write_folder(file, "text"), str(file), "a file, and not a folder")
    assert file.is_file()
    for write in (
        lambda: check_writable(file / "below"),
        lambda: save(file / "below" / "state", 1),
        lambda: locked(file / "below" / "state").__enter__(),
        lambda: write_folder(file / "below" / "result", "text"),
        lambda: write_file(file / "below" / "result", "text"),
    ):
        _refuses(write, str(file / "below"), "a file, and not a folder")
    assert load_checkpoint(file / "below") is None


def test_a_folder_without_the_right_to_write_or_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        save(place / "state", 1)
        (place / "state").chmod(0o000)
        place.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # root may write everywhere
        try:
            _refuses(lambda: check_writable(place), "not allowed", "permissions")
            _refuses(lambda: save(place / "state", 2), "not allowed")
            _refuses(lambda: locked(place / "state").__enter__(), "not allowed")
            # Beginning anew would in the end replace what could be read again after a chmod.
            _refuses(lambda: load_checkpoint(place / "state"), "can't be read", "permission denied")
        finally:
            if root:
                os.seteuid(0)
            place.chmod(0o755)
        (place / "state").chmod(0o644)
        assert number_at(place / "state") == 1


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def write_file(place: Path, text: str, error: Exception | None = None) -> None:
    with written_file(place) as new:
        new.write_text(text)
        assert not place.exists() or place.read_text() != text
        if error:
            raise error


def write_folder(place: Path, text: str, error: Exception | None = None) -> None:
    with written_folder(place) as new:
        (new / "table").write_text(text)
        assert not place.is_dir() or (place / "table").read_text() != text
        if error:
            raise error


def read(place: Path) -> str:
    return (place / "table" if place.is_dir() else place).read_text()


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_files_and_folders_appear_whole_or_not_at_all(write: Callable[..., None], tmp_path: Path) -> None:
    place, full = tmp_path / "results" / "one", OSError(errno.ENOSPC, "No space left on device")
    _refuses(lambda: write(place, "first", full), str(place), "disk is full")
    assert list(place.parent.iterdir()) == []
    write(place, "second")
    _refuses(lambda: write(place, "third", full), "disk is full")
    assert read(place) == "second"
    with pytest.raises(ZeroDivisionError):
        write(place, "fourth", ZeroDivisionError())
    assert read(place) == "second"
    write(place, "fifth")
    assert read(place) == "fifth"
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_what_cannot_take_its_place_leaves_what_was_there(
    write: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, replace = tmp_path / "one", os.replace
    write(place, "first")

    def fail(source: Path, target: Path) -> None:
        if source.name in ("one", "new") and (target.is_file() or not target.exists()):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        replace(source, target)

    with monkeypatch.context() as failing:
        failing.setattr(os, "replace", fail)
        _refuses(lambda: write(place, "second"), "quota")
    assert list(tmp_path.iterdir()) == [place]
    assert read(place) == "first"


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_new_files_and_folders_have_the_usual_permissions(write: Callable[..., None], tmp_path: Path) -> None:
    write(tmp_path / "one", "first")
    usual = tmp_path / "usual"
    usual.mkdir() if write is write_folder else usual.touch()
    assert (tmp_path / "one").stat().st_mode == usual.stat().st_mode


def test_where_another_process_was_first_the_new_folder_takes_its_place_too(tmp_path: Path) -> None:
    place = tmp_path / "one"
    with written_folder(place) as new:
        (new / "table").write_text("second")
        place.mkdir()
        (place / "table").write_text("first")
    assert (place / "table").read_text() == "second"
    assert list(tmp_path.iterdir()) == [place]


def test_one_thread_at_a_time_holds_a_lock(path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> list[int]:
        with locked(path, wait=60):
            inside.append(number)
            time.sleep(0.01)
            seen = list(inside)
            inside.remove(number)
        return seen

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [[0], [1], [2], [3]]
    with locked(path), pytest.raises(Busy, match=f"process {os.getpid()} on"), locked(path):
        pass
    with locked(path):
        pass


def test_another_process_that_works_there_is_named_and_waited_for(path: Path) -> None:
    with child(hold, path, 3.0) as (process, connection):
        assert connection.recv() == process.pid
        words = f"process {process.pid} on {socket.gethostname()}, since 2"
        _refuses(lambda: locked(path).__enter__(), str(path), words)
        with pytest.raises(Busy), locked(path, wait=0.2):
            pass
        with locked(path, wait=60):
            pass


def test_a_process_that_was_killed_or_failed_holds_no_lock(path: Path) -> None:
    with child(hold, path, 600.0) as (process, connection):
        connection.recv()
        process.kill()
        process.join()
        assert "state.holder" in files(path)
        with locked(path):
            pass
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    with locked(path):
        save(path, 1)
    assert files(path) == ["state", "state.lock"]


def test_a_file_system_without_locks_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    _refuses(lambda: locked(path).__enter__(), str(path), "has no locks", "RATEREG_CACHE")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("RATEREG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "ratereg"
