"""The last word on each page's HTML: what the theme leaves undone for readers who cannot see, wait or use a mouse.

The tests run axe-core on every page, and say if the theme's HTML has changed so that a mend below no longer fits.
"""

import html
import re
from collections.abc import Mapping
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.jinja2glue import BuiltinTemplateLoader

DESCRIPTION_LENGTH = 160

_PATTERNS = (
    # The words on a control are its name; a label of other words hides them from who speaks to the page.
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'(<button class="btn search-button-field[^"]*") title="Search" aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch [^>]*?) title="[^"]*"', r"\1"),
    # Parameters on lines of their own are a list of definitions without terms.
    (r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>", lambda match: f"<span>{_lines(match[1])}</span>"),
    # A list may hold list items alone, and a reference is none since its role was withdrawn.
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    (r' role="doc-biblioentry"', ""),
    # The book's title stands outside of all landmarks.
    (r'<div id="pst-primary-sidebar"', '<div role="region" aria-label="Book" id="pst-primary-sidebar"'),
    # One viewport is enough.
    (r'(<meta name="viewport"[^>]*>)\s*<meta name="viewport"[^>]*>', r"\1"),
    # No script keeps the first text waiting: those in files run in their order when the page is read, and so does the
    # line in the page that uses one of them.
    (r'<script (?!defer|async|type=)([^>]*src=")', r"<script defer \1"),
    (r"<script>(?=DOCUMENTATION_OPTIONS\.)", '<script type="module">'),
)
MENDS = tuple((re.compile(pattern), replacement) for pattern, replacement in _PATTERNS)
WIDGET_STATE = re.compile(r'\s*<script type="application/vnd\.jupyter\.widget-state\+json">.*?</script>', re.DOTALL)


def _lines(definitions: str) -> str:
    return definitions.replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def mended(page: str) -> str:
    """Return a page's HTML, mended; mending it again changes nothing."""
    for pattern, replacement in MENDS:
        page = pattern.sub(replacement, page)
    # The widgets' frames come after the text that they are not needed for.
    states = "".join(WIDGET_STATE.findall(page))
    head, end, tail = WIDGET_STATE.sub("", page).rpartition("</body>")
    return f"{head}{states}\n{end}{tail}" if states else page


class PageTemplates(BuiltinTemplateLoader):
    """Sphinx's templates, whose pages are mended before they are written."""

    def render(self, template: str, context: dict[str, Any]) -> str:  # type: ignore[override]
        """Return the page that a template makes of a context."""
        return mended(super().render(template, context))


def description(doctree: nodes.document) -> str:
    """Return a page's first sentences: its question if it asks one, else how it begins."""
    paragraphs = [
        " ".join(paragraph.astext().split())
        for paragraph in doctree.findall(nodes.paragraph)
        if isinstance(paragraph.parent, nodes.section)
    ]
    asked = [text.removeprefix("The question.").strip() for text in paragraphs if text.startswith("The question.")]
    text = next(iter([*asked, *paragraphs]), "")
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    return text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0].rstrip(",;:") + " ..."


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Say in a page's head what it is about, for search engines and for those to whom a link to it is sent."""
    text = description(doctree) if doctree else ""
    if doctree and not text:
        text = f"{app.env.titles[page].astext()} of the book “{app.config.html_title}”."
    of: Mapping[str, str] = {
        "og:title": re.sub(r"<[^>]*>", "", context.get("title", "")),
        "og:site_name": app.config.html_title,
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:description": text,
    }
    metas = [
        f'<meta property="{name}" content="{html.escape(html.unescape(value))}"/>'
        for name, value in of.items()
        if value
    ]
    if text:
        metas.insert(0, f'<meta name="description" content="{html.escape(text)}"/>')
    context["metatags"] = context.get("metatags", "") + "\n    " + "\n    ".join(metas)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
