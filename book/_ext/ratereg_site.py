"""What the site needs beyond Jupyter Book, of which the modules beside this one do a part each.

The book is built in book/, one level below the top of the source tree. Here: pages are never stale.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

# Scripts, the pages' HTML, links to the repository, notebooks to download, the reference, the pages' times, figures and
# their data, stills of widgets, and how long reading takes.
PARTS = (
    "ratereg_scripts",
    "ratereg_pages",
    "ratereg_repository",
    "ratereg_notebooks",
    "ratereg_reference",
    "ratereg_times",
    "ratereg_figures",
    "ratereg_widgets",
    "reading_time",
)

# What the pages' numbers and pictures come from besides the cells, which the execution cache knows by itself.
SOURCES = ("src/ratereg", "results", "requirements.txt")


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


def begin_anew_with_other_modules(app: Sphinx, config: Config) -> None:
    """Let Sphinx read and write all pages again when modules, styles or scripts of the site have changed."""
    book = Path(__file__).parents[1]
    files = [file for kind in ("_ext/*.py", "_scripts/*.js", "_static/*.css") for file in sorted(book.glob(kind))]
    made_by = b"".join(file.read_bytes() for file in files)
    config.ratereg_made_by = hashlib.sha256(made_by).hexdigest()


def search_in_one_place(app: Sphinx, config: Config) -> None:
    """Leave the search field in the sidebar alone: the theme would add a bar with another one on top of every page."""
    config.html_theme_options["navbar_persistent"] = []


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    # Kernels inherit it: a published study that has no result is then an error, not an hour of training.
    os.environ["RATEREG_BUILDING_SITE"] = "1"
    for part in PARTS:
        app.setup_extension(part)
    app.add_config_value("ratereg_made_by", "", "env")
    for handler in (use_cache_of_these_sources, begin_anew_with_other_modules, search_in_one_place):
        app.connect("config-inited", handler)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
