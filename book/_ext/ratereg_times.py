"""The directive `page-times`: the day on which each page was executed, and how long it took."""

import datetime
from typing import Any

from docutils import nodes
from myst_nb.ext.execution_tables import METADATA_KEY
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class PageTimesNode(nodes.General, nodes.Element):  # type: ignore[misc]
    """The place of the table, which is made when all pages have been executed."""


class PageTimes(SphinxDirective):
    """Reserve a place for the table."""

    def run(self) -> list[nodes.Node]:
        """Return the place; MyST-NB writes its page again when a page has been executed again."""
        NbMetadataCollector.set_doc_data(self.env, self.env.docname, METADATA_KEY, True)
        return [PageTimesNode()]


def fill_times(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill the place with a row for each page, in the book's order, and the sum."""
    data = NbMetadataCollector.get_doc_data(app.env)
    times = {page: known for page in app.env.collect_relations() if (known := data[page].get("exec_data"))}
    rows: list[list[nodes.Node]] = [[nodes.Text(name) for name in ("Page", "Executed (UTC)", "Seconds")]]
    for page, known in times.items():
        day = datetime.datetime.fromtimestamp(known["mtime"], datetime.UTC).strftime("%Y-%m-%d")
        address = app.builder.get_relative_uri(docname, page)
        link = nodes.reference("", app.env.titles[page].astext(), refuri=address, internal=True)
        rows.append([link, nodes.Text(day), nodes.Text(f"{known['runtime'] or 0:.1f}")])
    total = sum(known["runtime"] or 0 for known in times.values())
    rows.append([nodes.Text("All pages"), nodes.Text(""), nodes.Text(f"{total:.1f}")])
    for place in list(doctree.findall(PageTimesNode)):
        place.replace_self(table(rows))


def table(rows: list[list[nodes.Node]]) -> nodes.table:
    """Return a table whose first row is its header."""
    lines = [nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in row)) for row in rows]
    columns = [nodes.colspec(colwidth=1) for _ in rows[0]]
    group = nodes.tgroup("", *columns, nodes.thead("", lines[0]), nodes.tbody("", *lines[1:]), cols=len(columns))
    return nodes.table("", group, classes=["colwidths-auto"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_node(PageTimesNode)
    app.add_directive("page-times", PageTimes)
    app.connect("doctree-resolved", fill_times)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
