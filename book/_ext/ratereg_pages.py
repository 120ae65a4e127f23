"""Mends of the pages: docstrings that Sphinx would misread, and HTML in which the theme leaves something undone.

The HTML is mended for readers who cannot see, wait or use a mouse. The tests run axe-core on every page, and fail when
the theme's HTML has changed so that a mend no longer fits.
"""

import html
import re
import textwrap
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

# Sphinx reads a field `:ivar low, high:` as a type `low,` and a name `high`, unless no space divides them.
SHARED = re.compile(r"^:(ivar|param) (\w+(?:, \w+)+):")
JOINT = "\u200b"


def lines(definitions: str) -> str:
    """Return definitions without terms as lines of text."""
    return definitions.replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


class PageTemplates(BuiltinTemplateLoader):
    """Sphinx's templates, whose pages are mended before they are written."""

    def render(self, template: str, context: dict[str, Any]) -> str:  # type: ignore[override]
        """Return the page that a template makes of a context."""
        page = super().render(template, context)
        for pattern, replacement in MENDS:
            page = re.sub(pattern, replacement, page)
        # The widgets' frames come after the text, which does not need them.
        head, end, tail = WIDGET_STATE.sub("", page).rpartition("</body>")
        return "".join([head, *WIDGET_STATE.findall(page), end, tail])


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """State in a page's head what the page is about, for search engines and for previews of links."""
    book, text = app.config.html_title, ""
    if doctree:
        paragraphs = (one.astext() for one in doctree.findall(nodes.paragraph) if isinstance(one.parent, nodes.section))
        first = next(paragraphs, f"{app.env.titles[page].astext()} of the book “{book}”.")
        text = textwrap.shorten(first.removeprefix("The question."), DESCRIPTION_LENGTH, placeholder=" ...")
    facts = {
        'name="description"': text,
        'property="og:title"': html.unescape(re.sub(r"<[^>]*>", "", context.get("title", ""))),
        'property="og:site_name"': book,
        'property="og:type"': "website" if page == app.config.root_doc else "article",
        'property="og:description"': text,
    }
    metas = [f'<meta {name} content="{html.escape(value)}"/>' for name, value in facts.items() if value]
    context["metatags"] = "\n    ".join([context.get("metatags", ""), *metas])


def replace_default_factories(*arguments: Any) -> tuple[str | None, str | None] | None:
    """Write a dataclass's default factory as an ellipsis: Sphinx cannot read a signature with a `<factory>` in it."""
    signature, result = arguments[-2:]
    return (signature.replace("<factory>", "..."), result) if signature else None


def join_names(app: Sphinx, what: str, name: str, obj: Any, options: Any, docstring: list[str]) -> None:
    """Join the names that share a line of a docstring."""
    docstring[:] = [
        SHARED.sub(lambda match: f":{match[1]} {match[2].replace(' ', JOINT)}:", line) for line in docstring
    ]


def separate_names(app: Sphinx, doctree: nodes.document) -> None:
    """Put the spaces back between names that were joined."""
    for text in [text for text in doctree.findall(nodes.Text) if JOINT in text]:
        text.parent.replace(text, nodes.Text(text.replace(JOINT, " ")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", describe)
    app.connect("autodoc-process-signature", replace_default_factories)
    app.connect("autodoc-process-docstring", join_names, priority=600)  # Napoleon makes the fields at 500
    app.connect("doctree-read", separate_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
