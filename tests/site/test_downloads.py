"""Each chapter can be downloaded as a notebook, which runs where only the package is installed."""

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

# A chapter with a result of its own, which runs in seconds.
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
    kinds = {output.output_type for cell in notebook.cells for output in cell.get("outputs", [])}
    assert "display_data" in kinds or "execute_result" in kinds
    assert "error" not in kinds
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert [found for text in texts for found in MYST.findall(text)] == []
    assert "pip install" in texts[0]


def test_figures_have_the_numbers_of_the_site(site: Path) -> None:
    notebook = nbformat.read(site / "_sources" / "notebooks" / "capacity.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    shown = re.findall(r'std-numref">Fig\. ([\d.]+)<', (site / "notebooks" / "capacity.html").read_text())
    assert shown
    assert set(re.findall(r"Figure ([\d.]*\d)", text)) == set(shown)


def test_a_downloaded_notebook_runs_from_the_installed_package(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, work = tmp_path / "installed", tmp_path / "empty"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(installed), str(ROOT)], check=True, timeout=300)
    work.mkdir()
    notebook = nbformat.read(site / "_sources" / f"{RUN_ALONE}.ipynb", as_version=4)
    before = pictures(notebook)
    question = "import json, ratereg\nprint(json.dumps([ratereg.__file__, results.source]))"
    notebook.cells.append(nbformat.v4.new_code_cell(question))
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RATEREG_BUILDING_SITE", "1")
    kernel = {"kernel_name": "python3", "resources": {"metadata": {"path": work}}}
    nbclient.NotebookClient(notebook, timeout=600, **kernel).execute()
    where, source = json.loads(notebook.cells[-1].outputs[-1].text)
    assert Path(where).is_relative_to(installed)
    assert "dynamics" in source
    assert pictures(notebook) == before > 0
    assert os.listdir(work) == []


def pictures(notebook: nbformat.NotebookNode) -> int:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return sum("image/svg+xml" in output.get("data", {}) for output in outputs)
