"""The buttons that open a page elsewhere: on notebooks' pages if the repository's address is known, else on none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest

from links import anchors, broken, pages
from reader import NOTEBOOKS, PAGES, ROOT

REPOSITORY, HUB = "https://github.com/someone/some-book", "https://hub.example.org"
PLACES = ("mybinder.org", "colab.research.google.com", "hub.example.org")


@pytest.fixture(scope="module")
def linked(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book again, elsewhere, with the address of a repository and of a JupyterHub."""
    folder = tmp_path_factory.mktemp("linked")
    shutil.copytree(site.parent, folder / "_build", ignore=lambda _, names: {"html", "singlehtml", "pdf"} & {*names})
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/", "-W", "--keep-going"]
    command += ["--path-output", str(folder)]
    # With the ending that a clone's address has.
    environment = os.environ | {"RATEREG_REPOSITORY_URL": f"{REPOSITORY}.git", "RATEREG_JUPYTERHUB_URL": f"{HUB}/"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return folder / "_build" / "html"


def launches(site: Path, page: str) -> dict[str, str]:
    links = anchors(site / f"{page}.html").links
    return {host: link for link in links if (host := urlsplit(link).netloc) in PLACES}


def source(page: str) -> str:
    return f"{page}.md" if page.startswith("notebooks/") else f"book/{page}.md"


@pytest.mark.parametrize("page", PAGES)
def test_without_an_address_there_is_no_button(site: Path, page: str) -> None:
    links = anchors(site / f"{page}.html").links
    assert launches(site, page) == {}
    assert [link for link in links if "/edit/" in link or "/issues/new" in link] == []
    assert "launch-buttons" not in (site / f"{page}.html").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_each_button_opens_the_page_that_it_is_on(linked: Path, page: str) -> None:
    found = launches(linked, page)
    if page not in NOTEBOOKS:
        assert found == {}
        return
    assert set(found) == set(PLACES)
    binder, hub = (urlsplit(found[place]) for place in (PLACES[0], PLACES[2]))
    assert binder.path == "/v2/gh/someone/some-book/main"
    assert parse_qs(binder.query)["urlpath"] == [f"lab/tree/{source(page)}"]
    assert hub.path == "/hub/user-redirect/git-pull"
    assert parse_qs(hub.query) == {
        "repo": [REPOSITORY],
        "branch": ["main"],
        "urlpath": [f"lab/tree/some-book/{source(page)}"],
    }
    assert (ROOT / source(page)).is_file()
    assert found[PLACES[1]] == f"https://colab.research.google.com/github/someone/some-book/blob/notebooks/{page}.ipynb"
    assert (linked.parent / "colab" / f"{page}.ipynb").is_file()


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_on_colab_a_notebook_begins_by_installing_the_package(linked: Path, page: str) -> None:
    there = nbformat.read(linked.parent / "colab" / f"{page}.ipynb", as_version=4)
    here = nbformat.read(linked / "_sources" / f"{page}.ipynb", as_version=4)
    first = next(cell for cell in there.cells if cell.cell_type == "code")
    assert first.source == f'%pip install --quiet "ratereg @ git+{REPOSITORY}@main"'
    there.cells.remove(first)
    assert there == here


@pytest.mark.parametrize("page", PAGES)
def test_source_edit_and_issue_links_name_the_page(linked: Path, page: str) -> None:
    links = set(anchors(linked / f"{page}.html").links)
    assert f"{REPOSITORY}/edit/main/{source(page)}" in links
    assert f"{REPOSITORY}/blob/main/{source(page)}?plain=1" in links


def test_no_link_of_the_linked_site_is_broken(linked: Path) -> None:
    assert [(page, link) for page in pages(linked) for link in anchors(page).links if broken(page, link)] == []


def test_an_address_of_no_repository_is_refused(tmp_path: Path) -> None:
    toc = tmp_path / "toc.yml"
    toc.write_text("format: jb-book\nroot: bibliography\n")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/", "--toc", str(toc)]
    command += ["--path-output", str(tmp_path)]
    environment = os.environ | {"RATEREG_REPOSITORY_URL": "https://github.com/someone"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode != 0
    assert "RATEREG_REPOSITORY_URL is 'https://github.com/someone'" in done.stdout
