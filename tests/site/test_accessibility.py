"""No page shuts readers out: axe-core finds nothing serious, light and dark, on a desk and on a phone."""

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from reader import DESKTOP, MADE_PAGES, PAGES, PHONE, ROOT, Reader

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# The sources of the package are all made alike.
SOME_SOURCES = ["_modules/index", "_modules/ratereg/summary"]
SHOW = "mode => { document.documentElement.dataset.mode = document.documentElement.dataset.theme = mode }"
# The theme's script lets the keyboard reach what scrolls, 0.3 seconds after the window's size has changed.
SETTLED = 500
FAULTS = """async (options) => (await axe.run(document, {resultTypes: ["violations"], ...options})).violations
    .filter(fault => ["serious", "critical"].includes(fault.impact))
    .map(fault => [fault.id, fault.help, fault.nodes.map(node => node.html.slice(0, 200))])"""
# In the dark the page is the same but for its colors.
OPTIONS = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}


@pytest.fixture(scope="module")
def reader(browser: Browser, address: str) -> Iterator[Reader]:
    if not AXE.is_file():
        pytest.skip(f"axe-core is not in {AXE.parent}, so accessibility was not checked; `make set-up` fetches it.")
    reader = Reader(browser, address, reduced_motion="reduce")
    yield reader
    reader.page.context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", [*PAGES, *MADE_PAGES, *SOME_SOURCES])
def test_axe_finds_nothing_serious(reader: Reader, path: str, size: tuple[int, int]) -> None:
    page = reader.open(path)
    reader.size(size)
    # What is folded away is looked at too.
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.wait_for_timeout(SETTLED)
    if not page.evaluate("window.axe !== undefined"):
        page.evaluate(AXE.read_text())
    found = {}
    for mode, options in OPTIONS.items():
        page.evaluate(SHOW, mode)
        found[mode] = page.evaluate(FAULTS, options)
    assert found == {"light": [], "dark": []}


@pytest.mark.parametrize("path", PAGES)
def test_headings_are_in_order(reader: Reader, path: str) -> None:
    levels = reader.open(path).evaluate(
        "[...document.querySelectorAll('article :is(h1,h2,h3,h4,h5,h6)')].map(h => +h.tagName[1])"
    )
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert [(above, below) for above, below in itertools.pairwise(levels) if below > above + 1] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_its_language_its_title_and_what_it_is_about(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("article h1").inner_text().rstrip("#").strip() in page.title()
    assert len(page.locator("meta[name=description]").get_attribute("content") or "") > 40


def test_no_two_pages_have_a_title_or_a_description_in_common(reader: Reader) -> None:
    titles, descriptions = [], []
    for path in PAGES:
        page = reader.open(path)
        titles.append(page.title())
        descriptions.append(page.locator("meta[name=description]").get_attribute("content"))
    assert len(set(titles)) == len(set(descriptions)) == len(PAGES)


def test_the_first_tab_leads_past_the_sidebar(reader: Reader) -> None:
    page = reader.open(PAGES[1])
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert link.inner_text() == "Skip to main content"
    link.press("Enter")
    assert page.url.endswith("#main-content")


def test_the_sidebar_is_reached_and_followed_by_keyboard(browser: Browser, address: str) -> None:
    reader = Reader(browser, address)
    page = reader.open(PAGES[0])
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
