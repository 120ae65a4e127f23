"""The site works from disk and under a path of its own, and asks nobody else for anything."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from reader import Reader

# Equations and a slider; two sliders; tables; the reference.
SOME_PAGES = ["index", "notebooks/capacity", "notebooks/mutual_information", "notebooks/ledger", "api"]
# Chromium's word for a file that a page from disk may not read, which no page needs.
HANDLE = ".jupyter-widgets .noUi-handle"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def below(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the site as Pages does, below the name of a repository."""
    top = tmp_path_factory.mktemp("pages")
    shutil.copytree(site, top / "some-book" / "v1")
    handler = functools.partial(QuietHandler, directory=str(top))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/some-book/v1/"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["from disk", "below a path"], scope="module")
def reader(request: pytest.FixtureRequest, browser: Browser, site: Path) -> Iterator[Reader]:
    address = f"{site.as_uri()}/" if request.param == "from disk" else request.getfixturevalue("below")
    reader = Reader(browser, address)
    yield reader
    reader.page.context.close()


@pytest.mark.parametrize("path", SOME_PAGES)
def test_equations_pictures_and_widgets_are_there(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert page.locator(".math").count() == page.locator("mjx-container").count()
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200))") == []
    if page.locator("script[type='application/vnd.jupyter.widget-view+json']").count():
        page.wait_for_selector(HANDLE)
    assert reader.faults == []


def test_a_slider_moves(reader: Reader) -> None:
    page = reader.open("notebooks/capacity")
    page.wait_for_selector(HANDLE)
    handle = page.locator(HANDLE).first
    before = handle.get_attribute("aria-valuenow")
    handle.press("ArrowRight")
    page.wait_for_function(f"before => document.querySelector('{HANDLE}').ariaValueNow != before", arg=before)


def test_a_slider_is_named_by_its_label_and_says_what_it_shows(reader: Reader) -> None:
    page = reader.open("notebooks/mutual_information")
    page.wait_for_selector(f"{HANDLE}[aria-label]")
    widget = page.locator(".jupyter-widgets .widget-hslider").first
    label, shown = (widget.locator(f".widget-{part}").inner_text() for part in ("label", "readout"))
    handle = page.get_by_role("slider", name=label, exact=True)
    assert handle.count() == 1
    assert handle.get_attribute("aria-valuetext") == shown


def test_search_finds_a_word_where_it_is(reader: Reader) -> None:
    page = reader.page
    page.goto(f"{reader.address}search.html?q=tetrominoes")
    page.wait_for_selector("#search-results ul.search li a")
    reader.path = ""
    found = page.locator("#search-results ul.search li a").evaluate_all("links => links.map(link => link.href)")
    assert any("notebooks/tetrominoes.html" in link for link in found)
    page.goto(f"{reader.address}search.html?q=zyzzyva")
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('did not match')")


def test_the_search_field_leads_to_what_is_searched_for(reader: Reader) -> None:
    page = reader.open("notebooks/capacity")
    page.keyboard.press("Control+k")
    field = page.locator("#pst-search-dialog input[type=search]")
    field.fill("posterior")
    field.press("Enter")
    page.wait_for_selector("#search-results ul.search li a")
    reader.path = ""
    assert "search.html?q=posterior" in page.url


def test_a_link_leads_from_page_to_page(reader: Reader) -> None:
    page = reader.open("index")
    page.locator(".prev-next-footer .right-next").click()
    page.wait_for_url(f"{reader.address}notebooks/*.html")
    reader.path = ""
    assert page.locator("article h1").is_visible()
