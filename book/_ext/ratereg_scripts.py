"""The scripts that pages load: served by the site itself, and only where a page needs them."""

import json
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

# npm package -> the script that a page loads, and what else that script may ask for while it runs. The widgets' plain
# bundle is half the size of the one for RequireJS, and the widgets of this book need no loader.
SCRIPTS = {
    "mathjax": (
        "es5/tex-mml-chtml.js",
        ("es5/output/chtml/fonts/**/*", "es5/input/tex/extensions/*", "es5/a11y/*", "es5/sre/**/*"),
    ),
    "@jupyter-widgets/html-manager": ("dist/embed.js", ("dist/*.woff2",)),
}

# Jupyter Book loads whatever script lies in book/_static on every page, so the book's own lies elsewhere.
OWN_SCRIPT = "_scripts/widgets.js"


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
    source, static = Path(app.srcdir), Path(app.outdir) / "_static"
    addresses = script_addresses(source.resolve().parent, static)
    own = Path("scripts") / Path(OWN_SCRIPT).name
    (static / own).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / OWN_SCRIPT, static / own)
    config.mathjax_path = addresses["mathjax"]
    config.nb_ipywidgets_js = {own.as_posix(): {}, addresses["@jupyter-widgets/html-manager"]: {}}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", use_own_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
