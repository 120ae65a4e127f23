"""`ratereg rerun`, as it is typed."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tiny_notebook import write_tiny


@pytest.fixture
def ratereg(typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run `ratereg rerun` in a folder with a notebook, and return its exit code."""
    write_tiny(tmp_path)
    monkeypatch.chdir(tmp_path)
    return functools.partial(typed, "rerun")


def test_parameters_are_listed(ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert ratereg("tiny.md", "--list") == 0
    assert capsys.readouterr().out.splitlines()[1] == "points = 3  # int: (at least 2) how many"
    assert not Path("reruns").exists()


def test_parameters_are_given_as_papermill_takes_them_or_with_an_equals_sign(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-p", "slope", "-1", "tiny.md", "-p", "points=7", "-p", "names", "['a', 'b']", "-o", "out.ipynb"]
    assert ratereg(*command) == 0
    assert capsys.readouterr().out == "written: out.ipynb\n"
    parameters = nbformat.read("out.ipynb", as_version=4).metadata.papermill.parameters
    assert parameters == {"slope": -1.0, "points": 7, "names": ["a", "b"]}
    assert isinstance(parameters["slope"], float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.md", "--list"], "notebook is no.md, which is no file"),
        (["tiny.md", "-p", "slop", "2"], "tiny.md has no slop. There are:"),
        (["tiny.md", "-p", "slope=steep"], "slope is 'steep'; give float. There are:"),
        (["tiny.md", "--grid", "points=2,many"], "points is 'many'; give int."),
        (["tiny.md", "--grid", "names=a,b"], "names is 'a'; give list[str] or None"),
        (["tiny.md", "--grid", "grid.yaml"], "grid is 'grid.yaml'; give NAME=VALUE"),
        (["tiny.md", "--grid", "points="], "points is []; give a list of values"),
        (["tiny.md", "-o", "tiny.md"], "give another file that ends in .ipynb"),
        (["tiny.md", "-o", "tiny.md/out.ipynb"], "tiny.md"),
        (["tiny.md", "--grid", "points=2", "-o", "tiny.md"], "tiny.md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_is_run_if_something_is_wrong(
    arguments: list[str], message: str, ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg(*arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("ratereg: ")
    assert message in shown
    assert [path.name for path in Path().iterdir()] == ["tiny.md"]


def test_a_missing_package_is_named_with_the_extra_that_has_it(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "papermill", None)
    assert ratereg("tiny.md", "--list") == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert "papermill" in shown
    assert "pip install -e '.[book]'" in shown


def test_the_error_of_a_cell_is_shown_and_nothing_is_written(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("tiny.md", "-p", "slope", "200") == 1
    shown = capsys.readouterr().err
    assert "AssertionError: too steep" in shown
    assert shown.splitlines()[-1] == "A cell of tiny.md failed, so nothing has been written."
    assert not list(Path("reruns").iterdir())


def test_the_exit_code_of_a_grid_tells_that_a_run_failed(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("tiny.md", "-p", "points", "2", "--grid", "slope=200") == 1
    shown = capsys.readouterr()
    assert "1 of 1 runs failed. To resume, run the same command again: ratereg rerun tiny.md -p points 2" in shown.err
    assert "AssertionError: too steep" in shown.out
    assert Path("reruns", "tiny", "index.html").is_file()
