"""The directive `page-times`: when each page was executed for the site, and how long it took."""

import datetime
from typing import Any

from docutils import nodes
from myst_nb.ext.execution_tables import METADATA_KEY
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective


class PageTimesNode(nodes.General, nodes.Element):  # type: ignore[misc]
    """Where the table goes, once all pages have been executed."""


class PageTimes(SphinxDirective):
    """Leave a place for the table."""

    def run(self) -> list[nodes.Node]:
        """Return the place; MyST-NB writes its page again when a page has been executed again."""
        NbMetadataCollector.set_doc_data(self.env, self.env.docname, METADATA_KEY, True)
        return [PageTimesNode()]


class PageTimesTable(SphinxPostTransform):
    """Put the table in its place."""

    # Before references are resolved, at 10.
    default_priority = 8

    def run(self, **settings: Any) -> None:
        """Fill all places of a page."""
        for place in list(self.document.findall(PageTimesNode)):
            place.replace_self(self.table())

    def table(self) -> nodes.table:
        """Return the pages in the book's order, with the day and the seconds of their execution, and the sum."""
        data = NbMetadataCollector.get_doc_data(self.env)
        times = {page: known for page in self.env.collect_relations() if (known := data[page].get("exec_data"))}
        rows: list[list[nodes.Node]] = []
        for page, known in times.items():
            day = datetime.datetime.fromtimestamp(known["mtime"], datetime.UTC).strftime("%Y-%m-%d")
            rows.append([self.link(page), nodes.Text(day), nodes.Text(f"{known['runtime'] or 0:.1f}")])
        total = sum(known["runtime"] or 0 for known in times.values())
        rows.append([nodes.Text("All pages"), nodes.Text(""), nodes.Text(f"{total:.1f}")])
        return table_of(["Page", "Executed (UTC)", "Seconds"], rows)

    def link(self, page: str) -> nodes.Node:
        """Return a link to a page, which its title will name."""
        reference = {"refdomain": "std", "reftype": "doc", "refexplicit": False, "refwarn": True}
        link = pending_xref("", refdoc=self.env.docname, reftarget=f"/{page}", **reference)
        link += nodes.inline("", page)
        return link


def table_of(header: list[str], rows: list[list[nodes.Node]]) -> nodes.table:
    """Return a table."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in header), cols=len(header))
    for part, lines in ((nodes.thead(), [[nodes.Text(words) for words in header]]), (nodes.tbody(), rows)):
        for line in lines:
            part += nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in line))
        group += part
    return nodes.table("", group, classes=["colwidths-auto"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_node(PageTimesNode)
    app.add_directive("page-times", PageTimes)
    app.add_post_transform(PageTimesTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
