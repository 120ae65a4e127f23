"""The built pages, as a reader's browser shows them with the network cut off."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from reader import DESKTOP, PAGES, PHONE, Reader


@pytest.fixture(scope="module")
def reader(browser: Browser, address: str) -> Iterator[Reader]:
    reader = Reader(browser, address)
    yield reader
    reader.page.context.close()


each_page = pytest.mark.parametrize("path", PAGES)


@each_page
def test_nothing_is_requested_elsewhere_and_the_console_is_clean(reader: Reader, path: str) -> None:
    reader.open(path)
    assert reader.faults == []


@each_page
def test_equations_are_typeset(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert page.locator(".math").count() == page.locator("mjx-container").count()
    assert page.locator("mjx-merror").count() == 0


@each_page
def test_images_load_and_have_alternative_text_and_their_origin(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200))") == []
    assert page.evaluate("[...document.images].filter(i => !i.alt.trim()).map(i => i.src.slice(0, 200))") == []
    captions = page.locator("article figure").all_inner_texts()
    assert [caption for caption in captions if "Made by" not in caption] == []


@each_page
def test_a_script_is_loaded_once_and_only_where_it_is_needed(reader: Reader, path: str) -> None:
    page = reader.open(path)
    scripts: list[str] = page.evaluate("[...document.scripts].map(script => script.src).filter(src => src)")
    assert len(scripts) == len(set(scripts))
    assert any("mathjax" in script for script in scripts) == (page.locator(".math").count() > 0)
    assert any("html-manager" in script for script in scripts) == (page.locator(".jupyter-widgets").count() > 0)


@each_page
def test_warnings_and_progress_bars_do_not_appear(reader: Reader, path: str) -> None:
    outputs = "\n".join(reader.open(path).locator(".cell_output").all_inner_texts())
    assert [sign for sign in ("Warning", "Traceback", "it/s", "member-steps") if sign in outputs] == []


@each_page
def test_a_page_is_no_wider_than_a_phone(reader: Reader, path: str) -> None:
    page = reader.open(path)
    reader.size(PHONE)
    too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    reader.size(DESKTOP)
    assert too_wide <= 0


def test_the_times_of_all_pages_are_listed_with_their_sum(reader: Reader) -> None:
    rows = reader.open("notebooks/status").locator("table", has_text="All pages").locator("tbody tr").all_inner_texts()
    *pages, total = [row.split("\t") for row in rows]
    assert ["Capacity" in row[0] for row in pages].count(True) == 1
    assert float(total[3]) == pytest.approx(sum(float(row[3]) for row in pages), abs=0.1)
