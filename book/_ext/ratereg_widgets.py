"""MathJax and the widgets' HTML manager, served by the site itself; and widgets where no script runs."""

import json
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform

MATHJAX, WIDGETS = "mathjax", "@jupyter-widgets/html-manager"
# The script that a page loads, and the files that it may ask for while it runs. The widgets' plain bundle is half the
# size of the one for RequireJS, and the widgets of this book need no loader.
FILES = {
    MATHJAX: ("es5/tex-mml-chtml.js", "es5/output/chtml/fonts/**/*", "es5/input/tex/extensions/*", "es5/[as]*/**/*"),
    WIDGETS: ("dist/embed.js", "dist/*.woff2"),
}
VIEW = "application/vnd.jupyter.widget-view+json"


def use_own_scripts(app: Sphinx, config: Config) -> None:
    """Let pages with equations load MathJax, and pages with widgets their HTML manager, each once."""
    source, scripts = Path(app.srcdir), Path(app.outdir) / "_static" / "scripts"
    # Not in book/_static: Jupyter Book would load it on every page.
    shutil.copytree(source / "_scripts", scripts, dirs_exist_ok=True)
    root = source.resolve().parent
    config.mathjax_path = address(MATHJAX, root, scripts)
    config.nb_ipywidgets_js = {"scripts/widgets.js": {}, address(WIDGETS, root, scripts): {}}


def address(package: str, root: Path, scripts: Path) -> str:
    """Copy a package from node_modules into the site and return its script's address there, or else on a CDN."""
    pin = json.loads((root / "package.json").read_text())["dependencies"][package]
    installed = root / "node_modules" / package
    manifest = installed / "package.json"
    if not manifest.is_file() or json.loads(manifest.read_text())["version"] != pin:
        return f"https://cdn.jsdelivr.net/npm/{package}@{pin}/{FILES[package][0]}"
    for path in (path for pattern in FILES[package] for path in installed.glob(pattern) if path.is_file()):
        target = scripts / package / path.relative_to(installed)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return f"scripts/{package}/{FILES[package][0]}"


def load_on_single_page(app: Sphinx, page: str, *context: Any) -> None:
    """Load the scripts of all pages where the book is one page; MyST-NB loads those of the first page only."""
    if app.builder.name == "singlehtml":
        loaded = list(NbMetadataCollector.get_js_files(app.env, page).values())
        for other in sorted(app.env.found_docs):
            for script in NbMetadataCollector.get_js_files(app.env, other).values():
                if script not in loaded:
                    loaded.append(script)
                    app.add_js_file(script[0], **script[1])


class StillBeforeWidget(SphinxPostTransform):
    """Write a widget's HTML form, a still picture, before the place where the browser draws the widget.

    The style sheet hides it once the widget is drawn.
    """

    default_priority = 3  # before MyST-NB chooses one form
    formats = ("html",)

    def run(self, **arguments: Any) -> None:
        """Insert the still of each output that has both forms."""
        for bundle in self.document.findall(nodes.container):
            forms = {form.get("mime_type"): form for form in bundle.children if isinstance(form, nodes.container)}
            if {VIEW, "text/html"} <= forms.keys():
                still = "".join(node.astext() for node in forms["text/html"].findall(nodes.raw))
                forms[VIEW].insert(0, nodes.raw("", still, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", use_own_scripts)
    app.connect("html-page-context", load_on_single_page)
    app.add_post_transform(StillBeforeWidget)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
