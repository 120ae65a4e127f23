"""The site is accessible: axe-core finds nothing serious, in light and dark, on a desktop and on a phone."""

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from reader import DESKTOP, MADE_PAGES, PAGES, PHONE, Reader, serious_faults

# The sources of the package are all made alike.
SOME_SOURCES = ["_modules/index", "_modules/ratereg/summary"]
SHOW = "mode => { document.documentElement.dataset.mode = document.documentElement.dataset.theme = mode }"
# The theme's script lets the keyboard reach what scrolls, 0.3 seconds after the window's size has changed.
SETTLED = 500


@pytest.fixture(scope="module")
def reader(browser: Browser, address: str) -> Iterator[Reader]:
    reader = Reader(browser, address, reduced_motion="reduce")
    yield reader
    reader.page.context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", [*PAGES, *MADE_PAGES, *SOME_SOURCES])
def test_axe_finds_nothing_serious(reader: Reader, path: str, size: tuple[int, int]) -> None:
    page = reader.open(path)
    reader.size(size)
    # Folded parts are checked, too.
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.wait_for_timeout(SETTLED)
    page.evaluate(SHOW, "light")
    assert serious_faults(page) == []
    # In the dark the page is the same except for its colors.
    page.evaluate(SHOW, "dark")
    assert serious_faults(page, runOnly=["color-contrast"]) == []


@pytest.mark.parametrize("path", PAGES)
def test_headings_are_in_order_and_the_page_has_language_title_and_description(reader: Reader, path: str) -> None:
    page = reader.open(path)
    levels = page.evaluate("[...document.querySelectorAll('article :is(h1,h2,h3,h4,h5,h6)')].map(h => +h.tagName[1])")
    assert levels.count(1) == levels[0] == 1
    assert [(above, below) for above, below in itertools.pairwise(levels) if below > above + 1] == []
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("article h1").inner_text().rstrip("#").strip() in page.title()


def test_titles_and_descriptions_are_distinct(reader: Reader) -> None:
    titles, descriptions = set(), set()
    for path in PAGES:
        page = reader.open(path)
        titles.add(page.title())
        descriptions.add(page.locator("meta[name=description]").get_attribute("content"))
    assert len(titles) == len(descriptions) == len(PAGES)
    assert all(len(text or "") > 40 for text in descriptions)


def test_the_first_tab_leads_past_the_sidebar(reader: Reader) -> None:
    page = reader.open(PAGES[1])
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert link.inner_text() == "Skip to main content"
    link.press("Enter")
    assert page.url.endswith("#main-content")


def test_the_sidebar_is_reached_and_followed_by_keyboard(browser: Browser, address: str) -> None:
    page = Reader(browser, address).open(PAGES[0])
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.bd-docs-nav a[href*=\"notebooks/\"]')"):
            break
    else:
        pytest.fail("No link of the sidebar was reached in 40 steps.")
    where = page.evaluate("document.activeElement.href")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_url(where)
    page.context.close()
