"""The chapters are text: opened as notebooks, saved as they were, and no .ipynb file gets into git."""

import json
import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext import myst
from jupytext.config import load_jupytext_config

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.md"))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if "not a git repository" in done.stderr or "dubious ownership" in done.stderr:
        pytest.skip(f"This is no checkout that git reads, so nothing was asked of it: {done.stderr.strip()}")
    return done


@pytest.fixture
def as_the_server_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(myst, "CompactDumper", myst.CompactDumper)
    runpy.run_path(str(ROOT / ".jupyter" / "jupyter_server_config.py"))


@pytest.mark.usefixtures("as_the_server_writes")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_that_is_saved_with_outputs_is_the_same_file(path: Path) -> None:
    notebook = jupytext.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="a line")], 1
    config = load_jupytext_config(str(path))
    assert jupytext.writes(notebook, fmt={"extension": ".md", "format_name": "myst"}, config=config) == path.read_text()


def test_the_settings_of_jupytext_are_those_of_the_project() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["jupytext"]
    config = load_jupytext_config(str(NOTEBOOKS[0]))
    assert {name: getattr(config, name) for name in settings} == settings


def test_a_double_click_opens_text_as_a_notebook_and_nothing_is_fetched() -> None:
    settings = json.loads((ROOT / ".jupyter" / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"] == {"markdown": "Jupytext Notebook"}
    news = settings["@jupyterlab/apputils-extension:notification"]
    assert news == {"checkForUpdates": False, "fetchNews": "false"}


def test_git_has_no_notebook_with_outputs() -> None:
    assert [name for name in git("ls-files").stdout.splitlines() if name.endswith(".ipynb")] == []


def test_git_ignores_what_pairing_writes(tmp_path: Path) -> None:
    text = tmp_path / "notebooks" / "capacity.md"
    text.parent.mkdir()
    text.write_text((ROOT / "notebooks" / "capacity.md").read_text())
    command = [sys.executable, "-m", "jupytext", "--set-formats", "ipynb,md:myst", str(text)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
    assert sorted(path.name for path in text.parent.iterdir()) == ["capacity.ipynb", "capacity.md"]
    done = git("check-ignore", "--no-index", str(ROOT / "notebooks" / "capacity.ipynb"))
    assert (done.returncode, done.stdout.count("capacity.ipynb")) == (0, 1)
    assert git("check-ignore", "--no-index", str(ROOT / "notebooks" / "capacity.md")).returncode == 1
