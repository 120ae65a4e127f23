"""Widgets in the site: a still picture in their place where no script runs, and until they are drawn."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

VIEW = "application/vnd.jupyter.widget-view+json"


class StillBesideWidget(SphinxPostTransform):
    """Write a widget's form as HTML, if it has one, before the place where the browser draws the widget.

    The style sheet hides it once the widget is drawn.
    """

    # Before myst-nb leaves one form alone.
    default_priority = 3
    formats = ("html",)

    def run(self, **arguments: Any) -> None:
        """Put the still beside the view of each output that has both."""
        for bundle in self.document.findall(nodes.container):
            if bundle.get("nb_element") != "mime_bundle":
                continue
            forms = {form["mime_type"]: form for form in bundle.findall(nodes.container) if "mime_type" in form}
            if VIEW in forms and "text/html" in forms:
                still = "".join(node.astext() for node in forms["text/html"].findall(nodes.raw))
                forms[VIEW].insert(0, nodes.raw("", still, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_post_transform(StillBesideWidget)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
