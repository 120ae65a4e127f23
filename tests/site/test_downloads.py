"""Each chapter can be had as a notebook, which runs where the package alone is installed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from links import anchors
from reader import NOTEBOOKS, PAGES, ROOT

# A chapter of its own results that runs in seconds.
RUN_ALONE = "notebooks/dynamics"
MYST = re.compile(r"\{[\w:]+\}`|^\([\w-]+\)=$|\$\$ *\([\w-]+\)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_offers_its_notebook_and_its_source(site: Path, page: str) -> None:
    links = {link.rpartition("/")[2] for link in anchors(site / f"{page}.html").links if "_sources/" in link}
    name = Path(page).name
    assert links == {f"{name}.md", *([f"{name}.ipynb"] if page in NOTEBOOKS else [])}


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_a_notebook_has_its_outputs_and_markdown_that_every_jupyter_shows(site: Path, page: str) -> None:
    notebook = nbformat.read(site / "_sources" / f"{page}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in cells)
    assert {output.output_type for cell in cells for output in cell.outputs} <= {
        "display_data",
        "execute_result",
        "stream",
    }
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert [found for text in texts for found in MYST.findall(text)] == []
    assert "pip install" in texts[0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package, as pip would elsewhere, into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    return folder


def test_a_downloaded_notebook_runs_from_the_installed_package(
    site: Path, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(site / "_sources" / f"{RUN_ALONE}.ipynb", as_version=4)
    pictures = sum("image/svg+xml" in o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", []))
    assert pictures > 0
    question = "import json, ratereg\nprint(json.dumps([ratereg.__file__, results.source]))"
    notebook.cells.append(nbformat.v4.new_code_cell(question))
    work = tmp_path / "empty"
    work.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RATEREG_BUILDING_SITE", "1")
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": work}}
    ).execute()
    where, source = json.loads(notebook.cells[-1].outputs[-1].text)
    assert Path(where).is_relative_to(installed)
    assert "dynamics" in source
    assert pictures == sum(
        "image/svg+xml" in o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", [])
    )
    assert os.listdir(work) == []
