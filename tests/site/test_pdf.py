"""The book can be had as one PDF, in which every chapter and every place that a link leads to is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from links import Anchors, broken
from reader import PAGES, ROOT


@pytest.fixture(scope="module")
def printed(site: Path, browser: Browser) -> Path:
    """Print the site; the browser is asked for so that a machine without one skips."""
    program = ROOT / "book" / "_ext" / "ratereg_pdf.py"
    subprocess.run([sys.executable, str(program), "--build", str(site.parent)], check=True, timeout=900)
    return site.parent / "pdf"


def test_the_pdf_has_more_pages_than_the_book_has_chapters(printed: Path) -> None:
    data = (printed / "ratereg.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) > 3 * len(PAGES)
    assert b"/Outlines" in data
    assert b"/StructTreeRoot" in data
    assert not list(printed.glob("*.unfinished"))


def test_the_page_that_is_printed_has_all_chapters_and_no_broken_link(printed: Path) -> None:
    one_page = printed / "ratereg.html"
    found = Anchors(one_page)
    assert set(PAGES) <= found.places
    assert [link for link in found.links if broken(one_page, link)] == []


def test_what_is_printed_is_typeset_and_has_its_pictures_and_first_frames(printed: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.set_default_timeout(180_000)
    page.goto((printed / "ratereg.html").as_uri())
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
