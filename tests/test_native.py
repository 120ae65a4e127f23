"""C compiled at its first use."""

import ctypes
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ratereg.native import _loaded, load


def declare(library: ctypes.CDLL) -> None:
    library.answer.restype = ctypes.c_double


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RATEREG_KERNEL", raising=False)
    source = tmp_path / "deep.c"
    source.write_text("double answer(void) { return 41; }\n")
    _loaded.cache_clear()
    yield source
    _loaded.cache_clear()


def compiled(source: Path) -> ctypes.CDLL:
    _loaded.cache_clear()
    with warnings.catch_warnings(action="ignore"):
        library = load(source, declare)
    if library is None:
        pytest.skip("there is no C compiler here")
    return library


def compiler(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_source_is_compiled_in_silence_and_kept_until_it_changes(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    library = compiled(source)
    assert library.answer() == 41
    assert load(source, declare) is library
    (path,) = (tmp_path / "cache" / "kernels").iterdir()
    first = path.stat().st_mtime_ns
    compiled(source)
    assert path.stat().st_mtime_ns == first
    source.write_text("double answer(void) { return 42; }\n")
    assert compiled(source).answer() == 42
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 2
    assert capfd.readouterr() == ("", "")


def test_the_environment_turns_kernels_off_and_on_at_any_time(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(source)
    monkeypatch.setenv("RATEREG_KERNEL", "0")
    assert load(source, declare) is None
    monkeypatch.setenv("RATEREG_KERNEL", "1")
    assert load(source, declare) is not None


def test_a_compiler_that_cannot_tune_compiles_plainly(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(source)
    monkeypatch.setenv("REAL", os.environ.get("CC", "cc"))
    picky = 'case " $* " in *" -march=native "*) exit 1;; esac\nexec $REAL "$@"'
    monkeypatch.setenv("CC", compiler(tmp_path / "picky", picky))
    assert compiled(source).answer() == 41


@pytest.mark.parametrize("fault", ["a broken compiler", "no compiler", "a compiler that fails", "not C", "no cache"])
def test_where_it_cannot_be_compiled_there_is_none_and_one_warning(
    fault: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if fault == "not C":
        source.write_text("this is not C\n")
    elif fault == "no cache":
        (tmp_path / "cache").write_text("a file where a directory should be")
    elif fault == "no compiler":
        monkeypatch.setenv("CC", "no-such-compiler")
    else:
        script = "exit 1" if fault == "a broken compiler" else 'case " $* " in *" -E "*) exit 0;; *) exit 1;; esac'
        monkeypatch.setenv("CC", compiler(tmp_path / "cc", script))
    with pytest.warns(RuntimeWarning, match=r"deep\.c was not compiled.* set CC.*RATEREG_KERNEL=0"):
        assert load(source, declare) is None
    # A second warning would be an error.
    assert load(source, declare) is None
    assert capfd.readouterr() == ("", "")


def test_several_may_compile_at_the_same_time(source: Path, tmp_path: Path) -> None:
    compiled(source)
    source.write_text("double answer(void) { return 43; }\n")
    with ThreadPoolExecutor(3) as pool:
        libraries = list(pool.map(lambda _: _loaded.__wrapped__(source, declare), range(3)))
    assert [library.answer() for library in libraries if library] == [43] * 3
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 2
