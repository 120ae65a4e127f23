"""The chapters are text: saved from JupyterLab they are the same files, and no .ipynb file gets into git."""

import runpy
import subprocess
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext import myst
from jupytext.config import load_jupytext_config

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.md"))


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


def test_git_has_text_notebooks_only_and_ignores_those_with_outputs() -> None:
    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)

    listed = git("ls-files")
    if listed.returncode:
        pytest.skip(f"This is no checkout that git reads, so nothing was asked of it: {listed.stderr.strip()}")
    assert [name for name in listed.stdout.splitlines() if name.endswith(".ipynb")] == []
    assert git("check-ignore", "--no-index", "notebooks/capacity.ipynb").returncode == 0
    assert git("check-ignore", "--no-index", "notebooks/capacity.md").returncode == 1
