"""The book as one PDF has every chapter, and every place that a link leads to."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from links import anchors, broken
from reader import PAGES, ROOT


@pytest.fixture(scope="module")
def printed(site: Path, browser: Browser) -> Path:
    """Print the book as `make pdf` does; the browser is asked for so that a machine without one skips."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/", "-W", "--keep-going"]
    subprocess.run([*command, "--builder", "singlehtml"], cwd=ROOT, check=True, timeout=900, capture_output=True)
    program = ROOT / "book" / "pdf.py"
    subprocess.run([sys.executable, str(program)], check=True, timeout=900)
    return site.parent


def test_the_pdf_has_an_outline_and_more_pages_than_the_book_has_chapters(printed: Path) -> None:
    data = (printed / "pdf" / "ratereg.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) > 3 * len(PAGES)
    assert b"/Outlines" in data
    assert b"/StructTreeRoot" in data


def test_the_page_that_is_printed_has_all_chapters_and_its_links_stay_in_it(printed: Path) -> None:
    page = printed / "singlehtml" / "ratereg.html"
    links = anchors(page).links
    assert {f"document-{name}" for name in PAGES} <= anchors(page).places
    assert [link for link in links if broken(page, link) or link.startswith("index.html")] == []
    soup = BeautifulSoup(page.read_text(), "html.parser")
    places = Counter(str(tag["id"]) for tag in soup.find_all(id=True))
    linked = {str(link["href"])[1:] for link in soup.select("a[href^='#']:not(.headerlink)")}
    chapters = {str(section["id"]) for section in soup.select("span[id^='document-'] + section")}
    # A browser goes to the first of several places with one name.
    assert {place for place in linked if places[place] > 1} <= chapters


def test_what_is_printed_is_typeset_and_has_its_pictures_and_first_frames(printed: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.set_default_timeout(180_000)
    page.goto((printed / "singlehtml" / "ratereg.html").as_uri())
    page.evaluate("MathJax.startup.promise.then(() => null)")
    assert page.locator(".math").count() == page.locator("mjx-container").count() > 0
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200))") == []
    places = page.locator("script[type='application/vnd.jupyter.widget-view+json']").count()
    page.wait_for_function(
        """count => [...document.querySelectorAll("script[type$='widget-view+json']")]
            .filter(one => one.parentElement.querySelector('.jupyter-widgets')).length == count""",
        arg=places,
    )
    page.close()
