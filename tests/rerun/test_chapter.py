"""A chapter is rerun for real: by papermill's own command, and over a grid."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill import PapermillExecutionError

from ratereg.rerun import grid, rerun

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "rerun.md"
RECORD = "application/vnd.ratereg.record+json"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RATEREG_BUILDING_SITE", raising=False)


def test_papermill_runs_a_text_notebook_with_each_kind_of_parameters(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text("images: 64\nseeds: 1\n")
    papermill = Path(sys.executable).with_name("papermill")
    command = [papermill, f"jupytext:{NOTEBOOK}", tmp_path / "out.ipynb", "-p", "steps", "6", "-y", "betas: [1, 0.1]"]
    subprocess.run([*command, "-f", tmp_path / "few.yaml"], check=True, cwd=tmp_path, capture_output=True)
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.metadata.papermill.parameters == {"steps": 6, "betas": [1, 0.1], "images": 64, "seeds": 1}
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    records = {one.data[RECORD]["name"]: one.data[RECORD]["value"] for one in outputs if RECORD in one.get("data", {})}
    assert records["members"] == 2
    (table,) = (tmp_path / "cache" / "studies").glob("*/table.csv")
    assert json.loads((table.parent / "study.json").read_text())["steps"] == 6


def test_a_grid_over_a_chapter_trains_each_time_and_shows_its_figures(tmp_path: Path) -> None:
    few = {"images": 64, "seeds": 1, "betas": [1.0]}
    table = grid(NOTEBOOK, {"steps": [4, 8]}, few, tmp_path / "out", lambda line: None)
    assert table.outcome.tolist() == ["finished", "finished"]
    assert table.members.tolist() == [1, 1]
    assert table.found_again.all()
    assert table.test_distortion_last.nunique() == 2
    assert len(list((tmp_path / "cache" / "studies").glob("*/table.csv"))) == 2
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<h3>Own curve</h3>") == 1
    assert page.count('<img src="data:image/') == 2
    assert page.count('alt="Distortion against rate on training and test images') == 2


def test_a_value_out_of_range_is_refused_by_the_study_and_nothing_is_trained_or_written(tmp_path: Path) -> None:
    with pytest.raises(PapermillExecutionError, match="steps is 0"):
        rerun(NOTEBOOK, {"steps": 0, "images": 64}, tmp_path / "out.ipynb")
    assert not list(tmp_path.rglob("*.ipynb")) + list(tmp_path.rglob("study.json"))
