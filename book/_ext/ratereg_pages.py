"""Mends of each page's HTML for readers who cannot see, wait or use a mouse, where the theme leaves something undone.

The tests run axe-core on every page. They fail when the theme's HTML has changed so that a mend below no longer fits.
"""

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.jinja2glue import BuiltinTemplateLoader

DESCRIPTION_LENGTH = 160

MENDS = (
    # The words on a control are its name; a label of other words hides them from people who speak to the page.
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'(<button class="btn search-button-field[^"]*") title="Search" aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch [^>]*?) title="[^"]*"', r"\1"),
    # Parameters on lines of their own are a list of definitions without terms.
    (r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>", lambda match: f"<span>{lines(match[1])}</span>"),
    # A list may hold list items only, and a reference is no list item since its role was withdrawn.
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    (r' role="doc-biblioentry"', ""),
    # The book's title is outside all landmarks.
    (r'<div id="pst-primary-sidebar"', '<div role="region" aria-label="Book" id="pst-primary-sidebar"'),
    # One viewport is enough.
    (r'(<meta name="viewport"[^>]*>)\s*<meta name="viewport"[^>]*>', r"\1"),
    # No script delays the text: scripts in files run in their order when the page is read, and so does the line in the
    # page that uses one of them.
    (r'<script (?!defer|async|type=)([^>]*src=")', r"<script defer \1"),
    (r"<script>(?=DOCUMENTATION_OPTIONS\.)", '<script type="module">'),
)
WIDGET_STATE = re.compile(r'\s*<script type="application/vnd\.jupyter\.widget-state\+json">.*?</script>', re.DOTALL)


def lines(definitions: str) -> str:
    """Return definitions without terms as lines of text."""
    return definitions.replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


class PageTemplates(BuiltinTemplateLoader):
    """Sphinx's templates, whose pages are mended before they are written."""

    def render(self, template: str, context: dict[str, Any]) -> str:  # type: ignore[override]
        """Return the page that a template makes of a context."""
        page = super().render(template, context)
        for pattern, replacement in MENDS:
            page = re.sub(pattern, replacement, page)  # type: ignore[arg-type]
        # The widgets' frames come after the text, which does not need them.
        states = "".join(WIDGET_STATE.findall(page))
        head, end, tail = WIDGET_STATE.sub("", page).rpartition("</body>")
        return f"{head}{states}\n{end}{tail}"


def description(doctree: nodes.document) -> str:
    """Return a page's question, or else its first paragraph, shortened."""
    paragraphs = [one for one in doctree.findall(nodes.paragraph) if isinstance(one.parent, nodes.section)]
    texts = [" ".join(paragraph.astext().split()) for paragraph in paragraphs]
    asked = [text.removeprefix("The question.").strip() for text in texts if text.startswith("The question.")]
    text = next(iter([*asked, *texts]), "")
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    return text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0].rstrip(",;:") + " ..."


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """State in a page's head what the page is about, for search engines and for previews of links."""
    book = app.config.html_title
    text = doctree and (description(doctree) or f"{app.env.titles[page].astext()} of the book “{book}”.")
    facts = {
        'name="description"': text,
        'property="og:title"': html.unescape(re.sub(r"<[^>]*>", "", context.get("title", ""))),
        'property="og:site_name"': book,
        'property="og:type"': "website" if page == app.config.root_doc else "article",
        'property="og:description"': text,
    }
    metas = [f'<meta {name} content="{html.escape(value)}"/>' for name, value in facts.items() if value]
    context["metatags"] = "\n    ".join([context.get("metatags", ""), *metas])


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
