"""Links to the repository and buttons that open a page elsewhere, where the repository's address is set."""

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


def build(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    done.stdout += done.stderr
    return done


@pytest.fixture(scope="module")
def linked(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book again, elsewhere, with the addresses of a repository and of a JupyterHub."""
    folder = tmp_path_factory.mktemp("linked")
    shutil.copytree(site.parent, folder / "_build", ignore=lambda _, names: {"html", "singlehtml", "pdf"} & {*names})
    # With the ending that a clone's address has.
    addresses = {"RATEREG_REPOSITORY_URL": f"{REPOSITORY}.git", "RATEREG_JUPYTERHUB_URL": f"{HUB}/"}
    done = build("-W", "--keep-going", "--path-output", str(folder), **addresses)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder / "_build" / "html"


def launches(site: Path, page: str) -> dict[str, str]:
    links = anchors(site / f"{page}.html").links
    return {host: link for link in links if (host := urlsplit(link).netloc) in PLACES}


def source(page: str) -> str:
    return f"{page}.md" if page.startswith("notebooks/") else f"book/{page}.md"


@pytest.mark.parametrize("page", PAGES)
def test_without_an_address_there_is_no_link(site: Path, page: str) -> None:
    links = anchors(site / f"{page}.html").links
    assert launches(site, page) == {}
    assert [link for link in links if "/edit/" in link or "/issues/new" in link] == []


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_each_button_opens_the_notebook_of_its_page(linked: Path, page: str) -> None:
    found = launches(linked, page)
    assert set(found) == set(PLACES)
    binder, hub = (urlsplit(found[place]) for place in (PLACES[0], PLACES[2]))
    assert binder.path == "/v2/gh/someone/some-book/main"
    assert parse_qs(binder.query) == {"urlpath": [f"lab/tree/{source(page)}"]}
    assert hub.path == "/hub/user-redirect/git-pull"
    pulled = {"repo": [REPOSITORY], "branch": ["main"], "urlpath": [f"lab/tree/some-book/{source(page)}"]}
    assert parse_qs(hub.query) == pulled
    assert found[PLACES[1]] == f"https://colab.research.google.com/github/someone/some-book/blob/notebooks/{page}.ipynb"
    there = nbformat.read(linked.parent / "colab" / f"{page}.ipynb", as_version=4)
    here = nbformat.read(linked / "_sources" / f"{page}.ipynb", as_version=4)
    assert any(cell.get("outputs") for cell in here.cells)
    first = next(cell for cell in there.cells if cell.cell_type == "code")
    assert first.source == f'%pip install --quiet "ratereg @ git+{REPOSITORY}@main"'
    there.cells.remove(first)
    assert there == here


@pytest.mark.parametrize("page", PAGES)
def test_source_and_edit_links_name_the_page(linked: Path, page: str) -> None:
    links = set(anchors(linked / f"{page}.html").links)
    assert {f"{REPOSITORY}/edit/main/{source(page)}", f"{REPOSITORY}/blob/main/{source(page)}?plain=1"} <= links
    assert (ROOT / source(page)).is_file()
    assert page in NOTEBOOKS or launches(linked, page) == {}


def test_no_link_of_the_linked_site_is_broken(linked: Path) -> None:
    assert [(page, link) for page in pages(linked) for link in anchors(page).links if broken(page, link)] == []


def test_an_address_that_is_not_a_repositorys_is_refused(tmp_path: Path) -> None:
    toc = tmp_path / "toc.yml"
    toc.write_text("format: jb-book\nroot: bibliography\n")
    url = "https://github.com/someone"
    done = build("--toc", str(toc), "--path-output", str(tmp_path), RATEREG_REPOSITORY_URL=url)
    assert done.returncode != 0
    assert f"RATEREG_REPOSITORY_URL is {url!r}" in done.stdout
