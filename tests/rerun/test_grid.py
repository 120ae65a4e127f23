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
from typing import NamedTuple

import nbformat
import pandas as pd
import pytest

from ratereg.rerun import grid, read_axes
from ratereg.storage import StorageError, locked
from tiny_notebook import TINY, write_tiny

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    table: pd.DataFrame
    folder: Path
    said: list[str]
    notebook: Path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def done(tiny: Path) -> Done:
    """Two slopes, of which one is too steep."""
    folder, said = tiny.parent / "out", []
    return Done(grid(tiny, {"slope": [2, 200.0]}, {"points": 4}, folder, said.append), folder, said, tiny)


def test_a_failed_run_is_reported_and_the_others_go_on(done: Done) -> None:
    finished, failed = done.table.outcome
    assert finished == "finished"
    assert re.fullmatch(r"failed in cell \d+: AssertionError: too steep", failed)
    assert done.said[0] == "runs: 2, of which 0 are there already."
    assert f"2 of 2: slope 200: {failed}" in done.said
    assert done.said[-1].startswith("1 of 2 runs are finished")


def test_the_table_has_the_parameters_and_recorded_numbers_of_each_run(done: Done) -> None:
    finished = done.table.iloc[0]
    assert finished[["slope", "points", "height", "corners"]].tolist() == [2.0, 4, 8.0, 4]
    # A record with a parameter's name does not take its place.
    assert finished["points (recorded)"] == "[4]"
    assert finished.seconds > 0
    written = pd.read_csv(done.folder / "table.csv")
    assert written.columns.tolist() == done.table.columns.tolist()
    assert written.height.tolist()[0] == 8
    assert written.notebook.isna().tolist() == [False, True]


def test_the_folder_has_executed_notebooks_table_and_page_and_nothing_unfinished(done: Done) -> None:
    names = sorted(path.name for path in done.folder.iterdir() if path.name != ".grid.lock")
    assert names == sorted(["index.html", "table.csv", done.table.notebook[0]])
    executed = nbformat.read(done.folder / done.table.notebook[0], as_version=4)
    assert executed.metadata.papermill.parameters == {"slope": 2.0, "points": 4}


def test_the_page_needs_no_other_file_and_links_each_run_with_its_numbers(done: Done) -> None:
    page = (done.folder / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#|table\.csv|[\w.-]+\.ipynb")', page)
    assert "<script" not in page
    assert f'<a href="{done.table.notebook[0]}">slope 2</a>: finished' in page
    assert re.search(r"slope 200: failed in cell \d+: AssertionError: too steep", page)
    numbers = re.findall(r'<th scope="row">(\w+)</th><td[^>]*>([^<]*)</td>', page)
    assert numbers == [("source", "a slope of 2.0"), ("height", "8"), ("corners", "4"), ("points", "4")]
    assert page.count('<img src="data:image/svg+xml;base64,') == 1
    assert 'alt="A square. It is 4 wide."' in page


def test_an_outcome_is_reused_until_notebook_parameters_or_files_change(tmp_path: Path) -> None:
    notebook, data = write_tiny(tmp_path), tmp_path / "a"

    def ran() -> int:
        said: list[str] = []
        grid(notebook, {"slope": [1]}, {"names": ["a"]}, tmp_path / "out", said.append)
        return sum(line.endswith(": running") for line in said)

    assert [ran(), ran()] == [1, 0]
    data.write_text("images of one's own")
    assert [ran(), ran()] == [1, 0]
    notebook.write_text(TINY.replace('record("corners", 4)', 'record("corners", 5)'))
    assert [ran(), ran()] == [1, 0]


def test_a_damaged_outcome_is_made_again(done: Done) -> None:
    place = done.folder / done.table.notebook[0]
    whole = place.read_text()
    place.write_text(whole[: len(whole) // 2])
    said: list[str] = []
    grid(done.notebook, {"slope": [2]}, {"points": 4}, done.folder, said.append)
    assert said[0] == "runs: 1, of which 0 are there already."
    assert json.loads(place.read_text())["metadata"]["ratereg"]["parameters"] == {"slope": 2.0, "points": 4}


def started(notebook: Path, *waits: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ratereg", "rerun", str(notebook), "-o", str(notebook.parent / "out")]
    command += ["--grid", f"waits=[{','.join(map(str, waits))}]"]
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_the_same_command_resumes_a_grid_that_was_stopped(how: signal.Signals, tmp_path: Path) -> None:
    notebook, folder = write_tiny(tmp_path), tmp_path / "out"
    with started(notebook, 0, 600) as process:
        while not (tmp_path / "waits").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(how)
        said, complaint = process.communicate()
    (kept,) = folder.glob("*.ipynb")
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "1 of 2 runs are finished" in said
        assert "run the same command again: python -m ratereg rerun" in complaint
        assert pd.read_csv(folder / "table.csv").outcome.tolist() == ["finished", "not run"]
        assert not list(folder.glob(".*unfinished*"))
    written = kept.stat().st_mtime_ns
    with started(notebook, 0, 0.2) as process:
        said, _ = process.communicate()
    assert process.returncode == 0
    assert "runs: 2, of which 1 are there already." in said
    assert kept.stat().st_mtime_ns == written
    assert pd.read_csv(folder / "table.csv").outcome.tolist() == ["finished", "finished"]


@pytest.mark.parametrize(
    ("axes", "parameters", "message"),
    [
        ({}, {}, "axes is empty; give values of a parameter. There are:"),
        ({"slope": []}, {}, r"slope is \[\]; give a list of values"),
        ({"names": "ab"}, {}, "names is 'ab'; give a list of values"),
        ({"slope": [1, "steep"]}, {}, "slope is 'steep'; give float"),
        ({"slope": [1, 1.0]}, {}, "slope 1 comes twice"),
        ({"slope": [1, 2]}, {"slope": 3}, "slope is a parameter of all runs and one of the grid"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_wrong_grid_is_refused_before_anything_runs(
    axes: dict[str, Sequence[object]], parameters: dict[str, object], message: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        grid(tiny, axes, parameters, tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
    for texts, message in {
        (str(tmp_path / "wrong.yaml"),): "a list of values each",
        (str(tmp_path / "broken.yaml"),): "give NAME=VALUE,VALUE,... or a YAML file",
        ("steps",): "give NAME=VALUE,VALUE,... or a YAML file",
        ("steps=1", "steps=2"): "steps is given twice",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_axes(texts)
