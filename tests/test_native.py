"""C compiled at its first use, and the threads that share out its work."""

import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ratereg.native import _loaded, load, on_threads


def declare(library: ctypes.CDLL) -> None:
    library.answer.restype = ctypes.c_double


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RATEREG_KERNEL", raising=False)
    source = tmp_path / "deep.c"
    source.write_text('#include "native.h"\ndouble answer(void) { return to_bfloat16(1.0f); }\n')
    _loaded.cache_clear()
    yield source
    _loaded.cache_clear()


@pytest.fixture
def three_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def compiled(source: Path) -> ctypes.CDLL:
    library = load(source, declare)
    if library is None:
        pytest.skip("there is no C compiler here")
    return library


def test_a_source_is_compiled_declared_and_kept(source: Path, tmp_path: Path) -> None:
    library = compiled(source)
    assert library.answer() == 0x3F80
    assert load(source, declare) is library
    (path,) = (tmp_path / "cache" / "kernels").iterdir()
    assert path.name.startswith("deep-")


def test_another_source_is_another_library(source: Path, tmp_path: Path) -> None:
    compiled(source)
    source.write_text("double answer(void) { return 42; }\n")
    _loaded.cache_clear()
    assert compiled(source).answer() == 42
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 2


def test_the_environment_turns_kernels_off_and_on_at_any_time(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(source)
    monkeypatch.setenv("RATEREG_KERNEL", "0")
    assert load(source, declare) is None
    monkeypatch.setenv("RATEREG_KERNEL", "1")
    assert load(source, declare) is not None


@pytest.mark.parametrize(("refused", "there"), [("-march=native", True), ("-O3", False)])
def test_a_compiler_that_cannot_tune_compiles_plainly_and_one_that_can_do_nothing_is_passed_over(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, there: bool
) -> None:
    compiled(source)
    picky = tmp_path / "picky"
    picky.write_text(f'#!/bin/sh\ncase " $* " in *" {refused} "*) exit 1;; esac\nexec ${{REAL:-cc}} "$@"\n')
    picky.chmod(0o755)
    monkeypatch.setenv("REAL", os.environ.get("CC", "cc"))
    monkeypatch.setenv("CC", str(picky))
    _loaded.cache_clear()
    assert (load(source, declare) is not None) == there


def test_what_does_not_compile_is_none_in_silence(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source.write_text("this is not C\n")
    assert load(source, declare) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("most", "threads"), [(0, 1), (1, 1), (2, 2), (7, 3)])
def test_work_runs_on_as_many_threads_as_torch_has_and_no_more_than_it_is_worth(most: int, threads: int) -> None:
    together, seen = threading.Barrier(threads), set()

    def work() -> None:
        together.wait(30)
        seen.add(threading.get_ident())

    on_threads(work, most)
    assert len(seen) == threads
    assert threading.get_ident() in seen


@pytest.mark.usefixtures("three_threads")
def test_the_failure_of_a_thread_is_raised_once_all_have_ended() -> None:
    together, ended = threading.Barrier(3), []

    def work() -> None:
        here = together.wait(30)
        if here == 0:
            raise MemoryError("none left")
        ended.append(here)

    with pytest.raises(MemoryError, match="none left"):
        on_threads(work, 3)
    assert sorted(ended) == [1, 2]
