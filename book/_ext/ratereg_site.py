"""The site's own extension of Sphinx: sets up the modules next to it, and keeps pages from going stale."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from ratereg.rerun.text_notebooks import read_notebook

PARTS = ("repository", "notebooks", "figures", "widgets", "pages")

SOURCES = ("src/ratereg/**/*", "results/**/*", "requirements.txt")
"""Files that pages depend on. The execution cache of MyST-NB knows the cells only."""

SITE = ("book/_ext/*.py", "book/_scripts/*.js", "book/_static/*.css")
WORDS_PER_MINUTE = 200


def digest(root: Path, patterns: tuple[str, ...]) -> str:
    """Return a digest of the names and contents of the files below `root` that match one of the patterns."""
    files = sorted(path for pattern in patterns for path in root.glob(pattern) if path.suffix != ".pyc")
    contents = [(path.relative_to(root), path.read_bytes()) for path in files if path.is_file()]
    return hashlib.sha256(b"".join(f"{name}\0{len(text)}\0".encode() + text for name, text in contents)).hexdigest()[
        :16
    ]


def key_pages_by_sources(app: Sphinx, config: Config) -> None:
    """Give each state of the sources an execution cache of its own, and let Sphinx read all pages again."""
    root = Path(app.srcdir).resolve().parent
    caches = Path(app.outdir).parent / ".jupyter_cache"
    current = caches / digest(root, SOURCES)
    for other in set(caches.glob("*")) - {current}:
        shutil.rmtree(other)
    # A changed setting of the environment makes every page outdated.
    config.nb_execution_cache_path = str(current)
    config.ratereg_site_digest = digest(root, SITE)


def minutes(page: Path) -> int:
    """Return the minutes that it takes to read a text notebook without its code, at least one."""
    texts = [cell.source for cell in read_notebook(page).cells if cell.cell_type == "markdown"]
    return max(1, round(len(" ".join(texts).split()) / WORDS_PER_MINUTE))


def offer_reading_times(app: Sphinx, config: Config) -> None:
    """Define `{{ minutes.capacity }}` and the like, the reading time of each page."""
    pages = sorted(path for pattern in ("*.md", "notebooks/*.md") for path in Path(app.srcdir).glob(pattern))
    times = {page.stem: minutes(page) for page in pages}
    config.myst_substitutions |= {"words_a_minute": WORDS_PER_MINUTE, "minutes": times}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    # Kernels inherit it: a published study without a result is then an error, not an hour of training.
    os.environ["RATEREG_BUILDING_SITE"] = "1"
    for part in PARTS:
        app.setup_extension(f"ratereg_{part}")
    app.add_config_value("ratereg_site_digest", "", "env")
    app.connect("config-inited", key_pages_by_sources)
    app.connect("config-inited", offer_reading_times)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
