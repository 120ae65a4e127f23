"""The site works from disk and below a path of its own, and requests nothing from anywhere else."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from reader import Reader

# Equations and a slider; two sliders; tables; the reference.
SOME_PAGES = ["index", "notebooks/capacity", "notebooks/mutual_information", "notebooks/ledger", "api"]
HANDLE = ".jupyter-widgets .noUi-handle"


@pytest.fixture(params=["from disk", "below a path"], scope="module")
def reader(
    request: pytest.FixtureRequest,
    browser: Browser,
    site: Path,
    serve: Callable[[Path], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Reader]:
    # Pages serves a site below the name of its repository.
    top = tmp_path_factory.mktemp("pages")
    (top / "some-book").symlink_to(site)
    with nullcontext(f"{top.as_uri()}/") if request.param == "from disk" else serve(top) as address:
        reader = Reader(browser, f"{address}some-book/")
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


def test_search_finds_a_word_where_it_is(reader: Reader) -> None:
    page = reader.page
    page.goto(f"{reader.address}search.html?q=tetrominoes")
    page.wait_for_selector("#search-results ul.search li a")
    reader.path = ""
    found = page.locator("#search-results ul.search li a").evaluate_all("links => links.map(link => link.href)")
    assert any("notebooks/tetrominoes.html" in link for link in found)
    page.goto(f"{reader.address}search.html?q=zyzzyva")
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('did not match')")


def test_the_search_field_opens_by_keyboard_and_searches(reader: Reader) -> None:
    page = reader.open("notebooks/capacity")
    page.keyboard.press("Control+k")
    field = page.locator("#pst-search-dialog input[type=search]")
    field.fill("posterior")
    field.press("Enter")
    page.wait_for_selector("#search-results ul.search li a")
    reader.path = ""
    assert "search.html?q=posterior" in page.url
