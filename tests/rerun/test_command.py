"""`ratereg rerun`, as it is typed."""

import functools
from collections.abc import Callable
from pathlib import Path

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
    shown = capsys.readouterr().out.splitlines()
    assert shown[2].split() == ["points", "3", "int", "at", "least", "2", "how", "many"]
    assert not Path("reruns").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.md", "--list"], "notebook is no.md, which is no file"),
        (["tiny.md", "-p", "slop", "2"], "tiny.md has no slop. There are:"),
        (["tiny.md", "-p", "points", "1"], "points is 1; give int (at least 2). There are:"),
        (["tiny.md", "-p", "slope=steep"], "slope is 'steep'; give float (above 0). There are:"),
        (["tiny.md", "--grid", "points=2,1"], "points is 1; give int (at least 2)"),
        (["tiny.md", "--grid", "names=a,b"], "names is 'a'; give list[str] or None"),
        (["tiny.md", "--grid", "grid.yaml"], "grid is 'grid.yaml'; give NAME=VALUE"),
        (["tiny.md", "--grid", "points="], "points has no values"),
        (["tiny.md", "-o", "tiny.md"], "give another file that ends in .ipynb"),
        (["tiny.md", "-o", "tiny.md/out.ipynb"], "a file where a folder is to be"),
        (["tiny.md", "--grid", "points=2", "-o", "tiny.md"], "a file where a folder is to be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_and_nothing_is_run(
    arguments: list[str], message: str, ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg(*arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("ratereg: ")
    assert message in shown
    assert [path.name for path in Path().iterdir()] == ["tiny.md"]


def test_a_cell_that_fails_is_shown_and_nothing_is_written(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("tiny.md", "-p", "slope", "200") == 1
    shown = capsys.readouterr().err
    assert "too steep" in shown
    assert shown.splitlines()[-1] == "A cell of tiny.md failed, so nothing has been written."
    assert not list(Path("reruns").iterdir())


def test_the_exit_code_of_a_grid_tells_that_a_run_failed(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg("tiny.md", "-p", "points", "2", "--grid", "slope=200") == 1
    shown = capsys.readouterr()
    assert "1 of 1 runs failed. To go on, run the same command again" in shown.err
    assert "failed: AssertionError: too steep" in shown.out
    assert Path("reruns", "tiny", "index.html").is_file()
