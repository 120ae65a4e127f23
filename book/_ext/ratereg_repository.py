"""Links to the repository, and buttons that open a page elsewhere, where the repository's address is known.

The address is in the environment only: RATEREG_REPOSITORY_URL, which the Pages workflow sets. Without it no such link
is shown. RATEREG_JUPYTERHUB_URL adds a JupyterHub of the readers' own.
"""

import os
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

BRANCH = "main"

# Colab opens .ipynb files on GitHub only: the Pages workflow pushes the executed notebooks to a branch of this name.
NOTEBOOK_BRANCH = "notebooks"


def repository_url() -> str:
    """Return the repository's address, https://<host>/<owner>/<name>, or "" where it is not set.

    Raises:
        ConfigError: RATEREG_REPOSITORY_URL is not the address of a repository.
    """
    url = os.environ.get("RATEREG_REPOSITORY_URL", "").strip().rstrip("/").removesuffix(".git")
    if url and not re.fullmatch(r"https?://[^/\s]+/[^/\s]+/[^/\s]+", url):
        raise ConfigError(f"RATEREG_REPOSITORY_URL is {url!r}; give an address like https://github.com/owner/name.")
    return url


def requirement() -> str:
    """Return the requirement from which pip installs the package, or "" where the repository is not known."""
    return f"ratereg @ git+{repository_url()}@{BRANCH}" if repository_url() else ""


def use_repository(app: Sphinx, config: Config) -> None:
    """Let the theme link to the repository and offer to open pages elsewhere."""
    if url := repository_url():
        launch = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
        launch["jupyterhub_url"] = os.environ.get("RATEREG_JUPYTERHUB_URL", "").strip()
        launch["colab_url"] = "https://colab.research.google.com" if "//github.com/" in url else ""
        config.html_theme_options.update(repository_url=url, repository_branch=BRANCH, launch_buttons=launch)
        for button in ("repository", "issues", "source", "edit_page"):
            config.html_theme_options[f"use_{button}_button"] = True


def locate_source(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Tell the theme where a page's source is: web addresses do not follow the link book/notebooks."""
    app.config.html_theme_options["path_to_docs"] = context["doc_path"] = (
        "" if page.startswith("notebooks/") else "book"
    )


def send_colab_to_notebook(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Replace the text notebook in the theme's link to Colab, which cannot read it, by the executed notebook."""
    for group in context["header_buttons"]:
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                start, _, _ = button["url"].partition(f"/blob/{BRANCH}/")
                button["url"] = f"{start}/blob/{NOTEBOOK_BRANCH}/{page}.ipynb"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", use_repository)
    # The theme makes its buttons at 501.
    app.connect("html-page-context", locate_source, priority=400)
    app.connect("html-page-context", send_colab_to_notebook, priority=510)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
