"""What comes with a figure of the site: on a book of two pages, built here, and on the whole site."""

import copy
import importlib
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from jupyter_cache import get_cache
from jupyter_cache.cache.main import CacheBundleIn
from matplotlib import pyplot as plt
from playwright.sync_api import Browser
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from ratereg import plots
from ratereg.plots.style import FIGURE, _bundle

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "book" / "_ext"
RESULT = "results/demo/0123456789ab"


@pytest.fixture(scope="module")
def extension() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXTENSIONS))
    yield importlib.import_module("ratereg_figures")
    sys.path.remove(str(EXTENSIONS))


class Page(HTMLParser):
    """A page's downloads (address and text), pictures and figures' boxes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.downloads: dict[str, str] = {}
        self.images: list[dict[str, str | None]] = []
        self.boxes: list[dict[str, str | None]] = []
        self._open = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        classes = (of.get("class") or "").split()
        if tag == "a" and "download" in classes:
            self._open = of["href"] or ""
            self.downloads[self._open] = ""
        elif tag == "img":
            self.images.append(of)
        elif "figure-box" in classes:
            self.boxes.append(of)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.downloads[self._open] += data

    def target(self, address: str) -> Path:
        assert not address.startswith(("/", "http:", "https:", "file:")), address
        return (self.path.parent / unquote(address)).resolve()


def drawn() -> plt.Figure:
    with plt.style.context(plots.STYLE):
        fig, panel = plt.subplots()
        panel.plot([1, 2, 3], [6, 5, 4], label="test images")
        panel.set(xlabel=r"$\beta$", ylabel="nats")
        panel.tick_params(labelsize=7)
    return plots.style.finished(fig)


def notebook_of(name: str, source: str, fig: plt.Figure) -> nbformat.NotebookNode:
    picture = io.StringIO()
    with plt.style.context(plots.STYLE):
        fig.savefig(picture, format="svg", bbox_inches="tight")
    data = {"image/svg+xml": picture.getvalue(), "text/plain": "<Figure>"} | _bundle(fig)
    figure = {
        "name": name,
        "caption": f"What is seen.\n\nMade by `{source}`, from `{RESULT}` and results/gone/000000000000, drawn here.",
    }
    metadata = {"mystnb": {"figure": figure, "image": {"alt": "A falling line."}}}
    output = nbformat.v4.new_output("display_data", data=data)
    cell = nbformat.v4.new_code_cell("draw()", metadata=metadata, outputs=[output])
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    tree = "\n\n```{toctree}\nnotebooks/chapter\n```" if source == "book/index.md" else ""
    title = nbformat.v4.new_markdown_cell(f"# A page{tree}")
    return nbformat.v4.new_notebook(cells=[title, cell], metadata=about)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pages, each with a figure, and the result that they name."""
    root = tmp_path_factory.mktemp("tree")
    (root / RESULT).mkdir(parents=True)
    for name in ("table.csv", "study.json", "provenance.json"):
        (root / RESULT / name).write_text(f"of {name}")
    (root / RESULT / "arrays.npz").write_bytes(b"large")
    source = root / "book"
    (source / "notebooks").mkdir(parents=True)
    (root / "notebooks").mkdir()
    for path in (source / "index.md", root / "notebooks" / "chapter.md"):
        path.write_text("The text of a notebook.\n")
    nbformat.write(notebook_of("fig-front", "book/index.md", drawn()), source / "index.ipynb")
    chapter = notebook_of("fig-inner", "notebooks/chapter.md", drawn())
    nbformat.write(chapter, source / "notebooks" / "chapter.ipynb")
    shutil.copy(ROOT / "book" / "_static" / "ratereg.css", source)
    return root


def build(root: Path, builder: str = "html", out: str = "html") -> tuple[Path, str]:
    """Build the book, keeping what Sphinx has read; return where it is and what was warned of."""
    settings = {
        "extensions": ["myst_nb", "ratereg_figures"],
        "nb_execution_mode": "off",
        "exclude_patterns": ["index.md"],
        "suppress_warnings": ["mystnb.unknown_mime_type"],
        "html_static_path": ["ratereg.css"],
        "html_css_files": ["ratereg.css"],
        "html_theme": "basic",
    }
    warned = io.StringIO()
    folder = root / "built" / out
    with patch_docutils(), docutils_namespace():
        app = Sphinx(root / "book", None, folder, root / "built" / "doctrees", builder, settings, io.StringIO(), warned)
        app.build()
    assert app.statuscode == 0
    return folder, warned.getvalue()


@pytest.fixture(scope="module")
def built(book: Path, extension: ModuleType) -> Path:
    folder, warned = build(book)
    assert warned == ""
    return folder


PAGES = [("index", "fig-front", "book/index.md"), ("notebooks/chapter", "fig-inner", "notebooks/chapter.md")]
each_page = pytest.mark.parametrize(("page", "name", "source"), PAGES)


@each_page
def test_a_caption_links_to_notebook_result_and_data_from_any_folder(
    built: Path, page: str, name: str, source: str
) -> None:
    shown = Page(built / f"{page}.html")
    by_text = {text: shown.target(address) for address, text in shown.downloads.items()}
    assert by_text == {
        source: built / "_sources" / f"{page}.ipynb",
        RESULT: built / RESULT / "table.csv",
        "settings": built / RESULT / "study.json",
        "provenance": built / RESULT / "provenance.json",
        "data of the figure (CSV)": built / "figures" / f"{name}.csv",
    }
    assert all(path.is_file() for path in by_text.values())
    assert not (built / RESULT / "arrays.npz").exists()


@each_page
def test_the_data_is_the_figures(built: Path, page: str, name: str, source: str) -> None:
    data = pd.read_csv(built / "figures" / f"{name}.csv")
    assert data[["series", "x", "y"]].to_numpy().tolist() == [["test images", x, 7 - x] for x in (1, 2, 3)]
    assert set(data["x_axis"]) == {"beta"}


@each_page
def test_the_picture_is_the_svg_and_its_words_say_what_is_seen(built: Path, page: str, name: str, source: str) -> None:
    (image,) = Page(built / f"{page}.html").images
    assert str(image["src"]).endswith(".svg")
    assert image["alt"] == (
        "A falling line. Across: beta, from 1 to 3. Upwards: nats, from 4 to 6. "
        "From left to right: test images: falls, 6 to 4."
    )


@each_page
def test_the_notebook_offered_is_the_executed_one(built: Path, page: str, name: str, source: str) -> None:
    read = json.loads((built / "_sources" / f"{page}.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in read["cells"] for output in cell.get("outputs", ())]
    assert [output["data"].keys() >= {FIGURE, "text/csv"} for output in outputs] == [True]


def test_what_was_deleted_is_written_again_though_no_page_is_read_again(book: Path, built: Path) -> None:
    before = (built / "figures" / "fig-inner.csv").read_text()
    shutil.rmtree(built)
    build(book)
    assert (built / "figures" / "fig-inner.csv").read_text() == before
    assert (built / RESULT / "table.csv").is_file()
    shown = Page(built / "notebooks" / "chapter.html")
    assert all(shown.target(address).is_file() for address in shown.downloads)


def test_a_figure_that_is_gone_takes_its_data_with_it(book: Path, extension: ModuleType, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(book, tree, ignore=shutil.ignore_patterns("built"))
    folder, _ = build(tree)
    renamed = notebook_of("fig-other", "notebooks/chapter.md", drawn())
    nbformat.write(renamed, tree / "book" / "notebooks" / "chapter.ipynb")
    build(tree)
    assert {path.name for path in (folder / "figures").iterdir()} == {"fig-front.csv", "fig-other.csv"}


@pytest.mark.parametrize("builder", ["singlehtml", "dirhtml"])
def test_other_pages_of_html_link_to_the_same_files(book: Path, built: Path, builder: str) -> None:
    folder, warned = build(book, builder, builder)
    assert warned == ""
    pages = [folder / "index.html"] + ([folder / "notebooks/chapter/index.html"] if builder == "dirhtml" else [])
    for path in pages:
        shown = Page(path)
        # A single page has the figures of both.
        assert len(shown.downloads) == (7 if builder == "singlehtml" else 5)
        assert all(shown.target(address).is_file() for address in shown.downloads)


def test_a_book_of_text_is_written_without_links(book: Path, built: Path) -> None:
    folder, _ = build(book, "text", "text")
    assert "data of the figure (CSV)" in (folder / "index.txt").read_text()
    assert not (folder / "figures").exists()


@pytest.mark.parametrize("page", ["index", "notebooks/chapter"])
def test_on_a_phone_the_smallest_letters_are_nine_pixels_high_and_the_page_does_not_scroll(
    built: Path, browser: Browser, page: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    opened = context.new_page()
    opened.goto((built / f"{page}.html").as_uri())
    opened.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    shown, natural, inner, outer = opened.evaluate(
        "[document.images[0].getBoundingClientRect().width, document.images[0].naturalWidth,"
        " document.querySelector('.figure-box').scrollWidth, document.querySelector('.figure-box').clientWidth]"
    )
    # Letters of 7 points are 7 * 4/3 pixels high where the picture has its natural width.
    assert 7 * 4 / 3 * shown / natural >= 8.9
    assert inner > outer
    assert opened.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    context.close()


def test_a_wide_page_shows_a_figure_at_its_natural_width(built: Path, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.goto((built / "index.html").as_uri())
    inner, outer = opened.evaluate(
        "[document.querySelector('.figure-box').scrollWidth, document.querySelector('.figure-box').clientWidth]"
    )
    assert inner <= outer
    context.close()


@pytest.fixture(scope="session")
def pages(site: Path) -> list[Page]:
    return [Page(path) for path in (site / "index.html", *sorted((site / "notebooks").glob("*.html")))]


def test_every_download_of_a_page_is_there(pages: list[Page]) -> None:
    missing = [(page.path.name, one) for page in pages for one in page.downloads if not page.target(one).is_file()]
    assert missing == []
    assert sum("figures/" in one for page in pages for one in page.downloads) >= 20


def test_the_words_beside_pictures_have_no_mathematical_notation(pages: list[Page]) -> None:
    words = [str(image["alt"]) for page in pages for image in page.images if image.get("alt")]
    assert [one for one in words if re.search(r"[$\\{}]", one)] == []


def test_each_figures_data_can_be_read(site: Path) -> None:
    files = sorted((site / "figures").glob("*.csv"))
    for path in files:
        data = pd.read_csv(path)
        assert len(data), path.name
        assert {"panel", "x_axis", "y_axis", "series", "kind", "x", "y"} <= set(data), path.name
        assert path.stat().st_size < 1_000_000, path.name


def test_a_page_that_is_read_again_has_the_outputs_that_were_cached(extension: ModuleType, tmp_path: Path) -> None:
    notebook = notebook_of("fig-inner", "notebooks/chapter.md", drawn())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = 1
    cache = get_cache(tmp_path / "cache")
    bundle = CacheBundleIn(copy.deepcopy(notebook), "chapter.ipynb")
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    for cell in notebook.cells:
        cell.outputs = []
    (tmp_path / "jupyter_execute").mkdir()
    nbformat.write(notebook, tmp_path / "jupyter_execute" / "chapter.ipynb")
    app = SimpleNamespace(
        outdir=str(tmp_path / "html"),
        config=SimpleNamespace(nb_execution_cache_path=str(tmp_path / "cache")),
        env=SimpleNamespace(metadata={"chapter": {"kernelspec": {}}}),
    )
    found = extension.figures_of(extension.with_outputs(app, "chapter"))
    assert "text/csv" in found["fig-inner"]
