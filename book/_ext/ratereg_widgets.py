"""Widgets in the site: a still picture where no script runs, and names and words for those who do not see the page."""

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

VIEW = "application/vnd.jupyter.widget-view+json"
SCRIPT = Path(__file__).with_suffix(".js")


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


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Let pages with widgets load the script beside this file."""
    if doctree is not None and any(VIEW in raw.astext() for raw in doctree.findall(nodes.raw)):
        target = Path(app.outdir) / "_static" / "scripts" / SCRIPT.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(SCRIPT, target)
        app.add_js_file(f"scripts/{SCRIPT.name}", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_post_transform(StillBesideWidget)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
