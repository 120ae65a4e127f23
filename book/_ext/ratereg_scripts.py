"""Scripts that pages load, served by the site itself and only where a page needs them; and widgets without scripts."""

import json
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform

# npm package -> the script that a page loads, and the files that it may ask for while it runs. The widgets' plain bundle
# is half the size of the one for RequireJS, and the widgets of this book need no loader.
MATHJAX, WIDGETS = "mathjax", "@jupyter-widgets/html-manager"
SCRIPTS = {
    MATHJAX: ["es5/tex-mml-chtml.js", "es5/output/chtml/fonts/**/*", "es5/input/tex/extensions/*"],
    WIDGETS: ["dist/embed.js", "dist/*.woff2"],
}
SCRIPTS[MATHJAX] += ["es5/a11y/*", "es5/sre/**/*"]

# Jupyter Book loads each script in book/_static on every page, so the book's own script is in another folder.
OWN_SCRIPT = "_scripts/widgets.js"
VIEW = "application/vnd.jupyter.widget-view+json"


def copy(source: Path, target: Path) -> None:
    """Copy a file into a folder that may not exist yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def address(package: str, root: Path, static: Path) -> str:
    """Copy a package's script from node_modules into the site and return its address there, or else on a CDN."""
    pin = json.loads((root / "package.json").read_text())["dependencies"][package]
    installed = root / "node_modules" / package
    manifest = installed / "package.json"
    script = SCRIPTS[package][0]
    if not manifest.is_file() or json.loads(manifest.read_text())["version"] != pin:
        return f"https://cdn.jsdelivr.net/npm/{package}@{pin}/{script}"
    for path in (path for pattern in SCRIPTS[package] for path in installed.glob(pattern) if path.is_file()):
        copy(path, static / "scripts" / package / path.relative_to(installed))
    return f"scripts/{package}/{script}"


def use_own_scripts(app: Sphinx, config: Config) -> None:
    """Let pages with equations load MathJax, and pages with widgets their HTML manager, each once."""
    source, static = Path(app.srcdir), Path(app.outdir) / "_static"
    root = source.resolve().parent
    own = f"scripts/{Path(OWN_SCRIPT).name}"
    copy(source / OWN_SCRIPT, static / own)
    config.mathjax_path = address(MATHJAX, root, static)
    config.nb_ipywidgets_js = {own: {}, address(WIDGETS, root, static): {}}


def load_on_single_page(app: Sphinx, page: str, *context: Any) -> None:
    """Load the scripts of all pages where the book is one page; MyST-NB adds those of the first page only."""
    if app.builder.name == "singlehtml":
        files = {key: file for name in app.env.found_docs for key, file in scripts_of(app, name).items()}
        for path, options in (file for key, file in files.items() if key not in scripts_of(app, page)):
            app.add_js_file(path, **options)


def scripts_of(app: Sphinx, page: str) -> dict[str, Any]:
    """Return the scripts that the widgets of a page need."""
    files: dict[str, Any] = NbMetadataCollector.get_js_files(app.env, page)
    return files


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
            if bundle.get("nb_element") == "mime_bundle" and {VIEW, "text/html"} <= forms.keys():
                still = "".join(node.astext() for node in forms["text/html"].findall(nodes.raw))
                forms[VIEW].insert(0, nodes.raw("", still, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", use_own_scripts)
    app.connect("html-page-context", load_on_single_page)
    app.add_post_transform(StillBeforeWidget)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
