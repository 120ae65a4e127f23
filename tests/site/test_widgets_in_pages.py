"""The widgets in the built pages: by keyboard, by name, on a phone, in the dark, and where no script runs."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page

from reader import DESKTOP, PHONE, serious_faults

# Each widget's controls, in the order of the Tab key, and which of them a reader moves first.
WIDGETS = {
    "capacity": ["data", "network", "weight β"],
    "images": ["data", "network", "weight β"],
    "mutual_information": ["distance of means", "width σ"],
    "aggregate_posterior": ["view", "weight β"],
    "saturation": ["encoder", "weight β", "images m"],
    "difficulty": ["factors", "split"],
    "live": ["step"],
}
SHOWN = """place => [...place.querySelectorAll('svg[role=img]')]
    .filter(picture => picture.getBoundingClientRect().width).at(-1).getAttribute('aria-label')"""
DRAWN = """() => document.querySelectorAll('.widget-still svg[role=img]').length ===
    [...document.querySelectorAll('.widget-subarea svg[role=img]')]
        .filter(picture => picture.getBoundingClientRect().width).length"""
FOCUSED_NAME = """() => {
    const at = document.activeElement;
    return at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent ?? at.outerHTML.slice(0, 200);
}"""

each_widget = pytest.mark.parametrize("chapter", WIDGETS)
each_size = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


@pytest.fixture(scope="module")
def show(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    contexts: dict[tuple[object, ...], BrowserContext] = {}

    def show(chapter: str, size: tuple[int, int] = DESKTOP, scripts: bool = True, scheme: str = "light") -> Page:
        """Show a chapter, its widgets as they are at first."""
        key = (size, scripts, scheme)
        if key not in contexts:
            settings: dict[str, Any] = {"color_scheme": scheme, "java_script_enabled": scripts}
            contexts[key] = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
            contexts[key].set_default_timeout(60_000)
            contexts[key].new_page()
        page = contexts[key].pages[0]
        page.goto(f"{address}notebooks/{chapter}.html", wait_until="load")
        if scripts:
            page.locator(".widget-subarea .noUi-handle[aria-label]").first.wait_for()
            # Frames are drawn one by one.
            page.wait_for_function(DRAWN)
        return page

    yield show
    for context in contexts.values():
        context.close()


def place_of(page: Page) -> Locator:
    places = page.locator(".widget-subarea")
    assert places.count() == 1
    return places


@each_widget
def test_the_keyboard_reaches_every_control_which_has_a_name_and_shows_that_it_has_the_focus(
    show: Callable[..., Page], chapter: str
) -> None:
    page = show(chapter)
    place_of(page).evaluate("place => { place.tabIndex = -1; place.focus(); }")
    for name in WIDGETS[chapter]:
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED_NAME) == name
        assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    assert not page.evaluate("document.querySelector('.widget-subarea').contains(document.activeElement)")


@each_widget
def test_arrow_keys_change_the_picture_and_the_words_for_it(show: Callable[..., Page], chapter: str) -> None:
    page = show(chapter)
    place = place_of(page)
    for handle in place.locator(".noUi-handle").all():
        readout = handle.locator("xpath=ancestor::div[contains(@class, 'widget-hslider')]").locator(".widget-readout")
        picture, value = place.evaluate(SHOWN), readout.inner_text()
        assert handle.get_attribute("aria-valuetext") == value
        assert value in picture
        handle.focus()
        handle.press("ArrowLeft")
        page.wait_for_function(
            f"([place, before]) => ({SHOWN})(place) !== before", arg=[place.element_handle(), picture]
        )
        page.wait_for_function(
            "([readout, before]) => readout.textContent !== before", arg=[readout.element_handle(), value]
        )
        moved = readout.inner_text()
        page.wait_for_function(
            "([handle, words]) => handle.ariaValueText === words", arg=[handle.element_handle(), moved]
        )
        assert moved in place.evaluate(SHOWN)
        # Told to those who do not see it, once the slider rests.
        news = place.locator("xpath=..").locator("[aria-live=polite]")
        page.wait_for_function(
            f"([place, news]) => news.textContent === ({SHOWN})(place)",
            arg=[place.element_handle(), news.element_handle()],
        )


@each_widget
def test_every_choice_of_a_menu_has_a_picture_of_its_own(show: Callable[..., Page], chapter: str) -> None:
    page = show(chapter)
    place = place_of(page)
    drawn = """place => [...place.querySelectorAll('svg[role=img]')]
        .filter(picture => picture.getBoundingClientRect().width).map(picture => picture.outerHTML).join('')"""
    for menu in place.locator("select").all():
        seen = [place.evaluate(drawn)]
        first = menu.evaluate("menu => menu.selectedIndex")
        for index in {*range(menu.locator("option").count())} - {first}:
            menu.select_option(index=index)
            page.wait_for_function(
                f"([place, seen]) => !seen.includes(({drawn})(place))", arg=[place.element_handle(), seen]
            )
            seen.append(place.evaluate(drawn))


@each_widget
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(show: Callable[..., Page], chapter: str, scheme: str) -> None:
    assert serious_faults(show(chapter, scheme=scheme), ".widget-subarea") == []


@each_widget
@each_size
def test_letters_are_legible_and_nothing_is_cut_off(
    show: Callable[..., Page], chapter: str, size: tuple[int, int]
) -> None:
    place = place_of(show(chapter, size))
    pictures = place.locator("svg[role=img]:visible")
    for picture in pictures.all():
        scale = picture.evaluate("svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width")
        letters = picture.evaluate(
            "svg => [...svg.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize))"
        )
        assert scale * min(letters, default=16) >= 9
        outside = """svg => {
            const card = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('text')].filter(words => {
                const box = words.getBoundingClientRect();
                return box.left < card.left - 1 || box.right > card.right + 1 || box.bottom > card.bottom + 1;
            }).map(words => words.textContent);
        }"""
        assert picture.evaluate(outside) == []
    wide = """place => [...place.querySelectorAll('.widget-inline-hbox, select, label, svg[role=img]')].filter(one => {
        const box = one.getBoundingClientRect(), edge = place.getBoundingClientRect().right + 1;
        return box.width && (box.right > edge || one.scrollWidth > one.clientWidth + 2);
    }).map(one => one.outerHTML.slice(0, 120))"""
    assert place.evaluate(wide) == []


@each_widget
@each_size
def test_without_scripts_the_picture_that_a_widget_begins_with_is_there_and_as_high(
    show: Callable[..., Page], chapter: str, size: tuple[int, int]
) -> None:
    page = show(chapter, size)
    assert not page.locator(".widget-still").is_visible()
    begun = place_of(page)
    picture, height = begun.evaluate(SHOWN), begun.bounding_box()
    still = show(chapter, size, scripts=False).locator(".widget-still")
    assert still.count() == 1
    pictures = still.locator("svg[role=img]")
    assert pictures.last.get_attribute("aria-label") == picture
    assert all(one.is_visible() for one in pictures.all())
    words = still.locator("p").inner_text()
    assert words.endswith("The controls that change it need JavaScript.")
    assert all(f"{name}: " in words for name in WIDGETS[chapter])
    box = still.bounding_box()
    assert box
    assert height
    assert box["height"] == pytest.approx(height["height"], abs=24)


@each_widget
def test_a_widget_weighs_less_than_a_megabyte(site: Path, chapter: str) -> None:
    page = (site / "notebooks" / f"{chapter}.html").read_text()
    states = re.findall(r'<script type="application/vnd.jupyter.widget-state\+json">(.*?)</script>', page, re.DOTALL)
    assert len(states) == 1
    assert json.loads(states[0])["state"]
    stills = re.findall(r"<div class='widget-still'.*?</div></div></div>", page, re.DOTALL)
    assert len(stills) == 1
    assert len(states[0].encode()) + len(stills[0].encode()) < 1_000_000
