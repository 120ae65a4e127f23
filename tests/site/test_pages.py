"""The built pages, as a reader's browser shows them with the network cut off."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from playwright.sync_api import Browser, Page, Route

import ratereg

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
DESKTOP, PHONE = (1400, 900), (390, 844)
# What the widgets' own scripts say of themselves on every page.
EXPECTED_MESSAGES = ("strict mode: use allowUnionTypes",)


class Reader:
    """A browser window that asks nobody but the site, and notes what went wrong on the page that it shows."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self.path = ""
        self.faults: list[str] = []
        self.page: Page = browser.new_context().new_page()
        self.page.set_default_timeout(180_000)
        self.page.context.route("**/*", self._route)
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("response", lambda answer: answer.ok or self.faults.append(f"{answer.status}: {answer.url}"))

    def open(self, path: str) -> Page:
        """Show a page, unless it is shown already, and wait until its equations and pictures are there."""
        if path != self.path:
            self.faults.clear()
            self.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
            self.page.goto(f"{self.address}{path}.html", wait_until="load")
            self.page.evaluate("window.MathJax?.startup?.promise.then(() => null)")
            self.page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
            self.path = path
        return self.page

    def _route(self, route: Route) -> None:
        if route.request.url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.faults.append(f"outside: {route.request.url}")
            route.abort()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(EXPECTED_MESSAGES):
            self.faults.append(f"{kind}: {text}")


@pytest.fixture(scope="module")
def reader(browser: Browser, address: str) -> Iterator[Reader]:
    reader = Reader(browser, address)
    yield reader
    reader.page.context.close()


each_page = pytest.mark.parametrize("path", PAGES)


@each_page
def test_equations_are_typeset(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert page.locator(".math").count() == page.locator("mjx-container").count()
    assert page.locator("mjx-merror").count() == 0


@each_page
def test_images_load_and_have_words_beside_them(reader: Reader, path: str) -> None:
    page = reader.open(path)
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200))") == []
    assert page.evaluate("[...document.images].filter(i => !i.alt.trim()).map(i => i.src.slice(0, 200))") == []


@each_page
def test_a_figure_says_what_made_it(reader: Reader, path: str) -> None:
    captions = reader.open(path).locator("article figure").all_inner_texts()
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
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    assert too_wide <= 0


@each_page
def test_nothing_is_asked_of_others_and_the_console_is_clean(reader: Reader, path: str) -> None:
    reader.open(path)
    assert reader.faults == []


DOCUMENTED = ["data", "data.splits", "data.tetrominoes", "models", "training", "evaluation", "studies", "summary"]
DOCUMENTED += ["storage", "plots", "widgets", "claims", "rerun"]
MODULES = {name: import_module(f"ratereg.{name}") for name in DOCUMENTED}


@pytest.mark.parametrize("module", [ratereg, *MODULES.values()], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(site: Path, module: ModuleType) -> None:
    text = (site / "api.html").read_text()
    for name in module.__all__:
        public = getattr(module, name)
        places = [one.__name__ for one in MODULES.values() if getattr(one, name, None) is public]
        assert isinstance(public, ModuleType) or any(f'id="{place}.{name}"' in text for place in places), name
