"""What comes with a figure of the site: in a book of two pages, built here, and on the whole site."""

import io
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
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


def downloads(page: Path) -> list[tuple[str, Path]]:
    """Return the texts of a page's links to download, each with the file that it leads to."""
    links = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select("a.download[href]")
    assert not any(str(link["href"]).startswith(("/", "http:", "https:", "file:")) for link in links)
    return [(link.get_text(), (page.parent / unquote(str(link["href"]))).resolve()) for link in links]


def pictures(page: Path) -> list[Tag]:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all("img")


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
    files = dict(downloads(built / f"{page}.html"))
    data = files.pop("data of the figure (CSV)")
    assert (data.name, data.read_text()) == (f"{name}.csv", f"x,{name}\n1,6\n2,4\n")
    assert files.pop(source) == built / "_sources" / f"{page}.ipynb"
    contents = {text: path.read_text() for text, path in files.items()}
    assert contents == {RESULT: "of table.csv", "settings": "of study.json", "provenance": "of provenance.json"}


@each_page
def test_alternative_text_is_the_authors_and_the_description(built: Path, page: str, name: str, source: str) -> None:
    (image,) = pictures(built / f"{page}.html")
    assert str(image["src"]).endswith(".svg")
    assert image["alt"] == f"A falling line. {name} falls from 6 to 4."


@each_page
def test_the_notebook_to_download_has_its_outputs(built: Path, page: str, name: str, source: str) -> None:
    read = json.loads((built / "_sources" / f"{page}.ipynb").read_text(encoding="utf-8"))
    outputs = [output["data"].keys() for cell in read["cells"] for output in cell.get("outputs", ())]
    assert outputs == [{"image/svg+xml", "text/csv", FIGURE}]


def test_a_book_on_one_page_links_to_the_files_of_all_its_pages(book: Path, built: Path) -> None:
    folder, warned = build(book, "singlehtml")
    assert warned == ""
    files = downloads(folder / "index.html")
    assert {"book/index.md", "notebooks/chapter.md", RESULT} <= {text for text, _ in files}
    assert all(path.is_file() for _, path in files)


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


def test_every_download_of_the_site_is_there_and_figures_data_can_be_read(site: Path) -> None:
    data = []
    for page in (site / "index.html", *(site / "notebooks").glob("*.html")):
        files = downloads(page)
        assert [str(path) for _, path in files if not path.is_file()] == [], page.name
        data += [path for text, path in files if text == "data of the figure (CSV)"]
    assert len(data) >= 20
    for path in data:
        assert len(pd.read_csv(path)), path.name
        assert path.stat().st_size < 1_000_000, path.name


def test_alternative_text_has_no_mathematical_notation(site: Path) -> None:
    texts = [str(image["alt"]) for page in (site / "notebooks").glob("*.html") for image in pictures(page)]
    assert [text for text in texts if re.search(r"[$\\{}]", text)] == []
