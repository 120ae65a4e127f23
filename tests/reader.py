"""A reader of the built site: a browser window, the pages that there are, and what axe-core finds on one."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, Route

ROOT = Path(__file__).parents[1]
DESKTOP, PHONE = (1400, 900), (390, 844)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
FAULTS = """async ([context, options]) => (await axe.run(context, {resultTypes: ["violations"], ...options})).violations
    .filter(fault => ["serious", "critical"].includes(fault.impact))
    .map(fault => [fault.id, fault.help, fault.nodes.map(node => node.html.slice(0, 200))])"""
# What the widgets' own scripts say of themselves on every page.
EXPECTED_MESSAGES = ("strict mode: use allowUnionTypes",)


def _files(entry: dict[str, Any]) -> list[str]:
    own = [entry["file"]] if "file" in entry else []
    inner = [one for key in ("parts", "chapters", "sections") for one in entry.get(key, [])]
    return own + [file for one in inner for file in _files(one)]


TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *_files(TOC)]
NOTEBOOKS = [page for page in PAGES if "kernelspec:" in (ROOT / "book" / f"{page}.md").read_text()]
# What Sphinx makes besides.
MADE_PAGES = ["genindex", "py-modindex", "search"]


def serious_faults(page: Page, context: str = "html", **options: Any) -> list[Any]:
    """Return what axe-core finds in the part of a page that matches a selector; skip the test where it is missing."""
    if not AXE.is_file():
        pytest.skip(f"axe-core is not in {AXE.parent}, so accessibility was not checked; `make set-up` fetches it.")
    if not page.evaluate("window.axe !== undefined"):
        page.evaluate(AXE.read_text())
    found: list[Any] = page.evaluate(FAULTS, [context, options])
    return found


class Reader:
    """A browser window that asks nobody but the site, and notes what went wrong on the page that it shows."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.path = ""
        self.faults: list[str] = []
        self.page: Page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(180_000)
        self.page.context.route("**/*", self._route)
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("response", lambda answer: answer.ok or self.faults.append(f"{answer.status}: {answer.url}"))

    def open(self, path: str) -> Page:
        """Show a page, unless it is shown already, and wait until its equations and pictures are there."""
        if path != self.path:
            self.faults.clear()
            self.size(DESKTOP)
            self.page.goto(f"{self.address}{path}.html", wait_until="load")
            self.page.evaluate("window.MathJax?.startup?.promise.then(() => null)")
            self.page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => null)))")
            self.path = path
        return self.page

    def size(self, size: tuple[int, int]) -> None:
        """Give the window a size."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def _route(self, route: Route) -> None:
        if route.request.url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.faults.append(f"outside: {route.request.url}")
            route.abort()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(EXPECTED_MESSAGES):
            self.faults.append(f"{kind}: {text}")
