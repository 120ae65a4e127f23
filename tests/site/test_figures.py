"""What comes with a figure of the site: in a book of two pages, built here, and on the whole site."""

import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from playwright.sync_api import Browser
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from reader import PHONE, ROOT

RESULT = "results/demo/0123456789ab"
FIGURE = "application/vnd.ratereg.figure+json"
# As wide as the book's figures, with letters of 7 points.
WIDTH, LETTERS = 460, 7
NOTEBOOK = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
  language: python
---

# A page of {name}

```{{code-cell}} ipython3
---
mystnb:
  figure:
    name: {name}
    caption: |
      Points on a line.

      Made by `{source}`, from `{result}` and notebooks/gone.md, drawn here.
  image:
    alt: A falling line.
---
from IPython.display import display

svg = '<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="90pt" viewBox="0 0 {width} 90"></svg>'
about = {{"description": "{name} falls from 6 to 4.", "letters": {letters}}}
display({{"image/svg+xml": svg, "text/csv": "x,{name}\\n1,6\\n2,4\\n", "{figure}": about}}, raw=True)
```
{end}"""


class Page(HTMLParser):
    """A page's downloads (address and text), and the attributes of its pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.downloads: dict[str, str] = {}
        self.images: list[dict[str, str | None]] = []
        self._open = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag == "a" and "download" in (of.get("class") or "").split():
            self._open = of["href"] or ""
            self.downloads[self._open] = ""
        elif tag == "img":
            self.images.append(of)

    def handle_endtag(self, tag: str) -> None:
        self._open = "" if tag == "a" else self._open

    def handle_data(self, data: str) -> None:
        if self._open:
            self.downloads[self._open] += data

    def target(self, address: str) -> Path:
        assert not address.startswith(("/", "http:", "https:", "file:")), address
        return (self.path.parent / unquote(address)).resolve()


def write_page(path: Path, name: str, source: str, end: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"result": RESULT, "width": WIDTH, "letters": LETTERS, "figure": FIGURE, "end": end}
    path.write_text(NOTEBOOK.format(name=name, source=source, **values))


def build(root: Path, builder: str = "html") -> tuple[Path, str]:
    """Build the book, keeping what was executed and read before; return its folder and the warnings."""
    settings = {
        "extensions": ["myst_nb", "ratereg_figures"],
        "nb_execution_mode": "cache",
        "nb_execution_raise_on_error": True,
        "suppress_warnings": ["mystnb.unknown_mime_type"],
        "html_static_path": ["ratereg.css"],
        "html_css_files": ["ratereg.css"],
        "html_theme": "basic",
    }
    folder, warned = root / "built" / builder, io.StringIO()
    with patch_docutils(), docutils_namespace():
        places = (root / "book", None, folder, root / "built" / "doctrees")
        app = Sphinx(*places, builder, settings, io.StringIO(), warned)
        app.build()
    assert app.statuscode == 0
    return folder, warned.getvalue()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two pages, each with a figure, and the result that they name."""
    root = tmp_path_factory.mktemp("tree")
    (root / RESULT).mkdir(parents=True)
    for name in ("table.csv", "study.json", "provenance.json", "arrays.npz"):
        (root / RESULT / name).write_text(f"of {name}")
    write_page(root / "notebooks" / "chapter.md", "fig-inner", "notebooks/chapter.md")
    write_page(root / "book" / "index.md", "fig-front", "book/index.md", "\n```{toctree}\nnotebooks/chapter\n```\n")
    (root / "book" / "notebooks").symlink_to("../notebooks")
    shutil.copy(ROOT / "book" / "_static" / "ratereg.css", root / "book")
    return root


@pytest.fixture(scope="module")
def built(book: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "book" / "_ext"))
        build(book)
        # Read again, the pages have the outputs that were kept.
        shutil.rmtree(book / "built" / "doctrees")
        shutil.rmtree(book / "built" / "html")
        folder, warned = build(book)
        assert warned == ""
        yield folder


PAGES = [("index", "fig-front", "book/index.md"), ("notebooks/chapter", "fig-inner", "notebooks/chapter.md")]
each_page = pytest.mark.parametrize(("page", "name", "source"), PAGES)


@each_page
def test_a_caption_links_to_notebook_result_and_data(built: Path, page: str, name: str, source: str) -> None:
    shown = Page(built / f"{page}.html")
    by_text = {text: shown.target(address) for address, text in shown.downloads.items()}
    data = by_text.pop("data of the figure (CSV)")
    assert (data.name, data.read_text()) == (f"{name}.csv", f"x,{name}\n1,6\n2,4\n")
    assert by_text.pop(source) == built / "_sources" / f"{page}.ipynb"
    contents = {text: path.read_text() for text, path in by_text.items()}
    assert contents == {RESULT: "of table.csv", "settings": "of study.json", "provenance": "of provenance.json"}


@each_page
def test_the_words_for_a_picture_are_the_authors_and_the_description(
    built: Path, page: str, name: str, source: str
) -> None:
    (image,) = Page(built / f"{page}.html").images
    assert str(image["src"]).endswith(".svg")
    assert image["alt"] == f"A falling line. {name} falls from 6 to 4."


@each_page
def test_the_notebook_to_download_has_its_outputs(built: Path, page: str, name: str, source: str) -> None:
    read = json.loads((built / "_sources" / f"{page}.ipynb").read_text(encoding="utf-8"))
    outputs = [output["data"].keys() for cell in read["cells"] for output in cell.get("outputs", ())]
    assert outputs == [{"image/svg+xml", "text/csv", FIGURE}]


@pytest.mark.parametrize("builder", ["singlehtml", "dirhtml"])
def test_other_pages_of_html_link_to_the_same_files(book: Path, built: Path, builder: str) -> None:
    folder, warned = build(book, builder)
    assert warned == ""
    for path in [folder / "index.html"] + ([folder / "notebooks/chapter/index.html"] if builder == "dirhtml" else []):
        shown = Page(path)
        assert len(shown.downloads) == (7 if builder == "singlehtml" else 5)
        assert all(shown.target(address).is_file() for address in shown.downloads)


def test_a_book_of_text_has_no_links(book: Path, built: Path) -> None:
    folder, _ = build(book, "text")
    assert "data of the figure (CSV)" in (folder / "index.txt").read_text()


@each_page
def test_small_letters_are_legible_on_a_phone_and_only_the_figure_scrolls(
    built: Path, browser: Browser, page: str, name: str, source: str
) -> None:
    opened = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]})
    opened.goto((built / f"{page}.html").as_uri())
    opened.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    shown = opened.evaluate("document.images[0].getBoundingClientRect().width")
    # Letters of 7 points are 7 * 4/3 pixels high where the picture has its natural width, WIDTH points.
    assert LETTERS * shown / WIDTH >= 8.9
    box = "document.querySelector('.figure-box')"
    assert opened.evaluate(f"{box}.scrollWidth > {box}.clientWidth")
    assert opened.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    opened.set_viewport_size({"width": 1400, "height": 900})
    assert opened.evaluate(f"{box}.scrollWidth <= {box}.clientWidth")
    opened.close()


@pytest.fixture(scope="module")
def pages(site: Path) -> list[Page]:
    return [Page(path) for path in (site / "index.html", *sorted((site / "notebooks").glob("*.html")))]


def test_every_download_of_the_site_is_there_and_figures_data_can_be_read(pages: list[Page]) -> None:
    downloads = [(page, address, text) for page in pages for address, text in page.downloads.items()]
    assert [(page.path.name, address) for page, address, _ in downloads if not page.target(address).is_file()] == []
    data = [page.target(address) for page, address, text in downloads if text == "data of the figure (CSV)"]
    assert len(data) >= 20
    for path in data:
        assert len(pd.read_csv(path)), path.name
        assert path.stat().st_size < 1_000_000, path.name


def test_the_words_for_pictures_have_no_mathematical_notation(pages: list[Page]) -> None:
    words = [str(image["alt"]) for page in pages for image in page.images if image.get("alt")]
    assert [one for one in words if re.search(r"[$\\{}]", one)] == []
