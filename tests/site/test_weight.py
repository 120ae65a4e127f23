"""Pages are light, share their scripts, and show their text before any script has run."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from links import anchors, pages
from reader import PAGES, PHONE, Reader

MOST_BYTES = 3_000_000
# Settings for a script are lines, not programs; what is data is no script.
LONGEST_INLINE_SCRIPT = 500
SCRIPT = re.compile(r"<script([^>]*)>(.*?)</script>", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_its_pictures_is_light(site: Path, page: str) -> None:
    path = site / f"{page}.html"
    pictures = {(path.parent / link).resolve() for link in anchors(path).links if "_images/" in link}
    assert path.stat().st_size + sum(picture.stat().st_size for picture in pictures) < MOST_BYTES


def test_scripts_are_files_that_pages_share_and_none_holds_up_the_text(site: Path) -> None:
    long, waiting = [], []
    for page in pages(site):
        for attributes, content in SCRIPT.findall(page.read_text()):
            if "application/" not in attributes and len(content) > LONGEST_INLINE_SCRIPT:
                long.append((page.name, content[:80]))
            if "src=" in attributes and not {"defer", "async"} & set(re.split(r"[\s=]", attributes)):
                waiting.append((page.name, attributes))
    assert (long, waiting) == ([], [])


def test_widgets_frames_come_after_the_text(site: Path) -> None:
    texts = [text for page in pages(site) if "widget-state+json" in (text := page.read_text())]
    assert texts
    assert all(text.index("widget-state+json") > text.index("</article>") for text in texts)


@pytest.fixture(scope="module")
def plain(browser: Browser, address: str) -> Reader:
    """A reader whose browser runs no scripts."""
    return Reader(browser, address, java_script_enabled=False)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_reads_without_scripts(plain: Reader, site: Path, page: str) -> None:
    shown = plain.page
    shown.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    shown.goto(f"{plain.address}{page}.html")
    paragraph = shown.locator("article p").first
    assert paragraph.is_visible()
    assert len(shown.locator("article").inner_text()) > 300
    assert shown.locator("article h1").is_visible()
    pictures = shown.locator("article figure img")
    assert all(pictures.nth(number).is_visible() for number in range(pictures.count()))
    shown.set_viewport_size({"width": 1400, "height": 900})
    # The sidebar takes a moment to come in.
    shown.locator(".bd-docs-nav a").first.wait_for(state="visible")
