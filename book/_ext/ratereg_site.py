"""What the site needs beyond Jupyter Book: pages never stale, its own scripts, and links to the repository.

The book is built in book/, one level below the top of the source tree.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

REPOSITORY_URL = "RATEREG_REPOSITORY_URL"

# What the pages' numbers and pictures come from besides the cells, which the execution cache knows by itself.
SOURCES = ("src/ratereg", "results", "requirements.txt")

# npm package -> the script that a page loads, and what else that script may ask for while it runs. The widgets' plain
# bundle is half the size of the one for RequireJS, and the widgets of this book need no loader.
SCRIPTS = {
    "mathjax": (
        "es5/tex-mml-chtml.js",
        ("es5/output/chtml/fonts/**/*", "es5/input/tex/extensions/*", "es5/a11y/*", "es5/sre/**/*"),
    ),
    "@jupyter-widgets/html-manager": ("dist/embed.js", ("dist/*.woff2",)),
}

# The widgets typeset their labels through MathJax 2's interface, which MathJax 3 lacks. They are drawn when the page
# has loaded, MathJax included.
TYPESET_LABELS = """
window.addEventListener("load", () => {
  if (window.MathJax && !MathJax.Hub) {
    MathJax.Hub = {Queue: (call) => MathJax.startup.promise.then(() => MathJax.typesetPromise([call[2]]))};
  }
});
"""


def digest_of(root: Path) -> str:
    """Return a digest of every file under root/SOURCES."""
    digest = hashlib.sha256()
    for source in SOURCES:
        path = root / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def use_cache_of_these_sources(app: Sphinx, config: Config) -> None:
    """Keep executed notebooks in a cache of their own for each state of SOURCES.

    A new state is a changed setting too, for which Sphinx reads every page again.
    """
    caches = Path(app.outdir).parent / ".jupyter_cache"
    current = caches / digest_of(Path(app.srcdir).resolve().parent)
    for other in caches.glob("*"):
        if other != current:
            shutil.rmtree(other)
    config.nb_execution_cache_path = str(current)


def script_addresses(root: Path, static: Path) -> dict[str, str]:
    """Copy the scripts from node_modules into the site; return their addresses there, or on a CDN if not fetched."""
    pins = json.loads((root / "package.json").read_text())["dependencies"]
    addresses = {}
    for package, (script, companions) in SCRIPTS.items():
        installed = root / "node_modules" / package
        manifest = installed / "package.json"
        if manifest.is_file() and json.loads(manifest.read_text())["version"] == pins[package]:
            for part in (
                path for pattern in (script, *companions) for path in installed.glob(pattern) if path.is_file()
            ):
                target = static / "scripts" / package / part.relative_to(installed)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(part, target)
            addresses[package] = f"scripts/{package}/{script}"
        else:
            addresses[package] = f"https://cdn.jsdelivr.net/npm/{package}@{pins[package]}/{script}"
    return addresses


def use_own_scripts(app: Sphinx, config: Config) -> None:
    """Let pages with equations load MathJax, and pages with widgets the widgets' HTML manager, each once."""
    addresses = script_addresses(Path(app.srcdir).resolve().parent, Path(app.outdir) / "_static")
    config.mathjax_path = addresses["mathjax"]
    config.nb_ipywidgets_js = {"": {"body": TYPESET_LABELS}, addresses["@jupyter-widgets/html-manager"]: {}}


def search_in_one_place(app: Sphinx, config: Config) -> None:
    """Leave the search field in the sidebar alone: the theme would add a bar with another one on top of every page."""
    config.html_theme_options["navbar_persistent"] = []


def link_to_repository(app: Sphinx, config: Config) -> None:
    """Offer launch, source and edit links if the repository's address is known."""
    if url := os.environ.get(REPOSITORY_URL):
        options = config.html_theme_options
        options |= {"repository_url": url.removesuffix("/").removesuffix(".git"), "repository_branch": "main"}
        options |= dict.fromkeys(
            ("use_repository_button", "use_issues_button", "use_source_button", "use_edit_page_button"), True
        )
        options["launch_buttons"]["binderhub_url"] = "https://mybinder.org"


def link_to_source(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Look for a chapter's source where it is: book/notebooks is a link, which web addresses do not follow."""
    folder = "" if page.startswith("notebooks/") else "book"
    app.config.html_theme_options["path_to_docs"] = context["doc_path"] = folder


def read_default_factories(*arguments: Any) -> tuple[str | None, str | None] | None:
    """Write a dataclass's default factory as an ellipsis: Sphinx cannot read a signature with a `<factory>` in it."""
    signature, result = arguments[-2:]
    return (signature.replace("<factory>", "..."), result) if signature else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    # Kernels inherit it: a published study that has no result is then an error, not an hour of training.
    os.environ["RATEREG_BUILDING_SITE"] = "1"
    for handler in (use_cache_of_these_sources, use_own_scripts, search_in_one_place, link_to_repository):
        app.connect("config-inited", handler)
    app.connect("html-page-context", link_to_source, priority=400)
    app.connect("autodoc-process-signature", read_default_factories)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
