"""Links from the pages to the repository, and buttons that open a page elsewhere, when the repository's address is set.

The address is in the environment alone: RATEREG_REPOSITORY_URL, which the Pages workflow sets. Without it no such link
is shown. RATEREG_JUPYTERHUB_URL adds a JupyterHub of the readers' own to the places where a page can be opened.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

REPOSITORY_URL = "RATEREG_REPOSITORY_URL"
JUPYTERHUB_URL = "RATEREG_JUPYTERHUB_URL"
BRANCH = "main"

# Colab opens .ipynb files of GitHub alone: the Pages workflow pushes those that a build makes to a branch of this name.
NOTEBOOK_BRANCH = "notebooks"


@dataclass(frozen=True)
class Repository:
    """Where the book's source is: https://<host>/<owner>/<name>."""

    host: str
    owner: str
    name: str

    @classmethod
    def from_environment(cls) -> "Repository | None":
        """Return the repository, or None if its address is not set.

        Raises:
            ConfigError: the address is none of a repository.
        """
        url = os.environ.get(REPOSITORY_URL, "").strip()
        if not url:
            return None
        if not (parts := re.fullmatch(r"https?://([^/\s]+)/([^/\s]+)/([^/\s]+?)(?:\.git)?/?", url)):
            raise ConfigError(f"{REPOSITORY_URL} is {url!r}; give an address like https://github.com/owner/name.")
        return cls(*parts.groups())

    @property
    def url(self) -> str:
        """The address that is shown and cloned."""
        return f"https://{self.host}/{self.owner}/{self.name}"

    @property
    def requirement(self) -> str:
        """What pip installs the package from."""
        return f"ratereg @ git+{self.url}@{BRANCH}"


def source_of(app: Sphinx, page: str) -> str:
    """Return where a page's source is in the repository: web addresses do not follow the link book/notebooks."""
    file = f"{page}{Path(app.env.doc2path(page)).suffix}"
    return file if page.startswith("notebooks/") else f"book/{file}"


def launch_addresses(repository: Repository, source: str, page: str) -> dict[str, str]:
    """Return the addresses at which a page opens as a notebook, by the name of the place."""
    addresses = {}
    # JupyterLab shows the text notebook as a notebook where that is its setting, as postBuild makes it on Binder.
    opened = f"lab/tree/{quote(source)}"
    binder = {
        "github.com": f"gh/{repository.owner}/{repository.name}",
        "gitlab.com": f"gl/{quote(f'{repository.owner}/{repository.name}', safe='')}",
    }.get(repository.host, f"git/{quote(repository.url, safe='')}")
    addresses["Binder"] = f"https://mybinder.org/v2/{binder}/{BRANCH}?{urlencode({'urlpath': opened})}"
    if repository.host == "github.com":
        addresses["Colab"] = (
            f"https://colab.research.google.com/github/{repository.owner}/{repository.name}"
            f"/blob/{NOTEBOOK_BRANCH}/{quote(page)}.ipynb"
        )
    if hub := os.environ.get(JUPYTERHUB_URL, "").strip().rstrip("/"):
        opened = opened.replace("lab/tree/", f"lab/tree/{repository.name}/", 1)
        pulled = urlencode({"repo": repository.url, "branch": BRANCH, "urlpath": opened})
        addresses["JupyterHub"] = f"{hub}/hub/user-redirect/git-pull?{pulled}"
    return addresses


LOGOS = {"Binder": "logo_binder.svg", "Colab": "logo_colab.png", "JupyterHub": "logo_jupyterhub.svg"}


def link_to_repository(app: Sphinx, config: Config) -> None:
    """Offer source and edit links if the repository's address is known."""
    if repository := Repository.from_environment():
        buttons = ("use_repository_button", "use_issues_button", "use_source_button", "use_edit_page_button")
        config.html_theme_options.update(
            dict.fromkeys(buttons, True), repository_url=repository.url, repository_branch=BRANCH
        )


def link_to_source(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let the theme look for a page's source where it is."""
    folder = "" if page.startswith("notebooks/") else "book"
    app.config.html_theme_options["path_to_docs"] = context["doc_path"] = folder


def offer_to_launch(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the places where a notebook can be opened into its page's header.

    The theme's own buttons would send Colab to the text notebook, which it cannot read.
    """
    repository = Repository.from_environment()
    if repository is None or "kernelspec" not in app.env.metadata.get(page, {}):
        return
    buttons = [
        {
            "type": "link",
            "text": name,
            "url": address,
            "icon": f"_static/images/{LOGOS[name]}",
            "tooltip": f"Open this page on {name}",
        }
        for name, address in launch_addresses(repository, source_of(app, page), page).items()
    ]
    group = {"type": "group", "tooltip": "Run this page", "icon": "fas fa-rocket", "label": "launch-buttons"}
    context["header_buttons"].insert(0, group | {"buttons": buttons})


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", link_to_repository)
    app.connect("html-page-context", link_to_source, priority=400)
    # The theme prepares the header at 500 and fills it at 501.
    app.connect("html-page-context", offer_to_launch, priority=510)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
