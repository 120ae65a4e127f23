"""A grid runs every combination once, keeps what is finished, and lays the outcomes side by side."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from ratereg.rerun import Grid, grid
from ratereg.rerun.axes import read_axes
from ratereg.storage import StorageError, locked
from tiny_notebook import TINY, write_tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def done(tiny: Path) -> tuple[Grid, list[str]]:
    """One of the two slopes is too steep."""
    said: list[str] = []
    return grid(tiny, {"slope": [2, 200.0]}, {"points": 4}, tiny.parent / "out", said.append), said


def test_a_run_that_fails_is_reported_and_the_others_go_on(done: tuple[Grid, list[str]]) -> None:
    result, said = done
    assert result.failed == 1
    assert result.table.outcome.tolist() == ["finished", "failed: AssertionError: too steep"]
    assert said[0] == "runs: 2 (2 slope), of which 0 are there already."
    failed = re.compile(r"2 of 2: slope 200\.0, points 4: failed in cell \d+: AssertionError: too steep")
    assert any(failed.fullmatch(line) for line in said)
    assert said[-1].startswith("1 of 2 runs are finished")


def test_the_table_has_a_row_for_each_run_with_parameters_and_recorded_numbers(done: tuple[Grid, list[str]]) -> None:
    result, _ = done
    finished = result.table.iloc[0]
    assert finished[["slope", "points", "height", "corners"]].tolist() == [2.0, 4, 8.0, 4]
    # A record with a parameter's name does not take its place.
    assert finished["points (recorded)"] == "[4]"
    assert finished.seconds > 0
    written = pd.read_csv(result.csv)
    assert written.columns.tolist() == result.table.columns.tolist()
    assert written.height.tolist()[0] == 8
    assert written.notebook.isna().tolist() == [False, True]


def test_executed_notebooks_lie_beside_the_table_and_nothing_unfinished(done: tuple[Grid, list[str]]) -> None:
    result, _ = done
    names = sorted(path.name for path in result.page.parent.iterdir() if path.name != ".grid.lock")
    assert names == sorted(["index.html", "table.csv", result.table.notebook[0]])
    executed = nbformat.read(result.page.parent / result.table.notebook[0], as_version=4)
    assert executed.metadata.papermill.parameters == {"slope": 2.0, "points": 4}


def test_the_page_stands_alone_and_shows_numbers_and_figures(done: tuple[Grid, list[str]]) -> None:
    result, _ = done
    page = result.page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#|table\.csv|[\w.-]+\.ipynb")', page)
    assert "<script" not in page
    assert page.count('<img src="data:image/svg+xml;base64,') == 1
    assert 'alt="A square. It is 4 wide."' in page
    assert "A square for slopes above β₀, as in an equation of the chapter." in page
    assert "Made from a slope of 2.0." in page
    assert "too steep" in page
    assert f'href="{result.table.notebook[0]}"' in page


def test_what_is_there_is_taken_until_notebook_parameters_or_data_change(tiny: Path, tmp_path: Path) -> None:
    notebook, data = write_tiny(tmp_path), tmp_path / "a"
    said: list[str] = []

    def ran() -> int:
        said.clear()
        grid(notebook, {"slope": [1]}, {"names": ["a"]}, tmp_path / "out", said.append)
        return sum(line.endswith(": running") for line in said)

    assert [ran(), ran()] == [1, 0]
    data.write_text("images of one's own")
    assert [ran(), ran()] == [1, 0]
    notebook.write_text(TINY.replace('record("corners", 4)', 'record("corners", 5)'))
    assert [ran(), ran()] == [1, 0]


def test_an_outcome_that_can_not_be_read_is_made_again(done: tuple[Grid, list[str]], tiny: Path) -> None:
    result, said = done
    place = result.page.parent / result.table.notebook[0]
    whole = place.read_text()
    place.write_text(whole[: len(whole) // 2])
    said.clear()
    grid(tiny, {"slope": [2]}, {"points": 4}, place.parent, said.append)
    assert said[0] == "runs: 1 (1 slope), of which 0 are there already."
    assert json.loads(place.read_text())["metadata"]["ratereg"]["parameters"] == {"slope": 2.0, "points": 4}


def started(notebook: Path, *waits: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ratereg", "rerun", str(notebook), "-o", str(notebook.parent / "out")]
    command += ["--grid", f"waits=[{','.join(map(str, waits))}]"]
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_a_grid_that_is_stopped_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    notebook = write_tiny(tmp_path)
    folder = tmp_path / "out"
    with started(notebook, 0.1, 600) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("2 of 2: waits 600.0: running"):
                break
        while not list(folder.glob(".*.unfinished.ipynb")):
            time.sleep(0.1)
        process.send_signal(how)
        said, complaint = process.communicate()
    (kept,) = folder.glob("waits-0.1_*.ipynb")
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "1 of 2 runs are finished" in said
        assert "To go on, run the same command again: python -m ratereg rerun" in complaint
        assert pd.read_csv(folder / "table.csv").outcome.tolist() == ["finished", "not run"]
        assert not list(folder.glob(".*unfinished*"))
    written = kept.stat().st_mtime_ns
    with started(notebook, 0.1, 0.2) as process:
        said, _ = process.communicate()
    assert process.returncode == 0
    assert "runs: 2 (2 waits), of which 1 are there already." in said
    assert kept.stat().st_mtime_ns == written
    assert pd.read_csv(folder / "table.csv").outcome.tolist() == ["finished", "finished"]


@pytest.mark.parametrize(
    ("axes", "parameters", "message"),
    [
        ({}, {}, "grid: it has no parameters"),
        ({"slope": []}, {}, "grid: slope has no values"),
        ({"slop": [1]}, {}, "has no slop"),
        ({"names": "ab"}, {}, "names is 'ab'; give a list of values"),
        ({"slope": [1, -1]}, {}, r"slope is -1\.0; give float \(above 0\)"),
        ({"slope": [1, 1.0]}, {}, "slope 1.0 comes twice"),
        ({"slope": [1, 2]}, {"slope": 3}, "slope is a parameter of all runs and one of the grid"),
        ({"slope": [1, 2]}, {"points": 1}, "points is 1; give int"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_wrong_grid_is_refused_before_anything_runs(
    axes: dict[str, Sequence[object]], parameters: dict[str, object], message: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        grid(tiny, axes, parameters, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_notebook_and_a_folder_that_can_not_be_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no file"):
        grid(tmp_path / "no.md", {"slope": [1]})
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="there is a file where a folder is to be"):
        grid(tiny, {"slope": [1]}, output=tmp_path / "out")


def test_a_second_grid_in_the_same_folder_is_refused(tiny: Path, tmp_path: Path) -> None:
    with locked(tmp_path / ".grid"), pytest.raises(StorageError, match="works there"):
        grid(tiny, {"slope": [1]}, output=tmp_path)


def test_axes_are_read_as_they_are_typed_or_from_yaml(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text("betas: [[1, 0.1], [3]]\nscale: [full, cpu]\n")
    assert read_axes(["steps=200,500", str(tmp_path / "grid.yaml"), "one=3"]) == {
        "steps": [200, 500],
        "betas": [[1, 0.1], [3]],
        "scale": ["full", "cpu"],
        "one": [3],
    }
    assert read_axes(["betas=[[1,0.1],[3]]", "scale=full, cpu"]) == {"betas": [[1, 0.1], [3]], "scale": ["full", "cpu"]}
    (tmp_path / "wrong.yaml").write_text("steps: 200")
    (tmp_path / "broken.yaml").write_text("steps: [")
    for text, message in {"wrong.yaml": "a list of values", "broken.yaml": "is no YAML"}.items():
        with pytest.raises(ValueError, match=message):
            read_axes([str(tmp_path / text)])
    with pytest.raises(ValueError, match="steps is given twice"):
        read_axes(["steps=1", "steps=2"])
    with pytest.raises(FileNotFoundError, match="give NAME=VALUE"):
        read_axes(["steps"])
