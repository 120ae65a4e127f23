"""The executed notebook of each page, to download and for Colab.

Both run wherever the package is installed, for the published results come with it. What only Jupyter Book understands
is put into plain Markdown, and Colab's begins with a cell that installs the package.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from ratereg_repository import Repository

COLAB_FOLDER = "colab"


def equation_number(env: BuildEnvironment, label: str) -> str:
    """Return an equation's number on the site, or its label if it has none."""
    known = env.get_domain("math").equations.get(label)  # type: ignore[attr-defined]
    if known is None:
        return label
    document, number = known
    numbers = env.toc_fignumbers.get(document, {}).get("displaymath", {})
    return ".".join(map(str, numbers.get(f"equation-{label}", (number,))))


def figure_number(env: BuildEnvironment, label: str) -> str:
    """Return a figure's number on the site, or its label if it has none."""
    document, target, _ = env.get_domain("std").labels.get(label, ("", "", ""))  # type: ignore[attr-defined]
    numbers = env.toc_fignumbers.get(document, {}).get("figure", {}).get(target)
    return ".".join(map(str, numbers)) if numbers else label


def section(env: BuildEnvironment, page: str, label: str, text: str | None) -> str:
    """Return a link to the notebook of a labeled section, or the words alone where there is none."""
    domain = env.get_domain("std")
    document, _, title = domain.labels.get(label, ("", "", ""))  # type: ignore[attr-defined]
    document = document or domain.anonlabels.get(label, ("", ""))[0]  # type: ignore[attr-defined]
    words = text or title or label
    if not document or document == page or "kernelspec" not in env.metadata.get(document, {}):
        return words
    # Notebooks lie in one folder, but for the index above them.
    above = len(PurePosixPath(page).parts) - 1
    return (
        f"[{words}]({'../' * above}{document}.ipynb)"
        if document.count("/") != above
        else f"[{words}]({PurePosixPath(document).name}.ipynb)"
    )


def plain(text: str, env: BuildEnvironment, page: str) -> str:
    """Return a cell's MyST as the Markdown that every Jupyter shows."""

    def role(match: re.Match[str]) -> str:
        name, content = match.groups()
        words, target = m.groups() if (m := re.fullmatch(r"(.*?)\s*<(.*)>", content)) else (None, content)
        target = target.lstrip("~!")
        roles: dict[str, Callable[[], str]] = {
            "eq": lambda: f"({equation_number(env, target)})",
            "numref": lambda: f"Figure {figure_number(env, target)}",
            "ref": lambda: section(env, page, target, words),
            "doc": lambda: words or target,
            "term": lambda: words or target,
            "glue:text": lambda: words or target,
        }
        if name.startswith("cite"):
            return f"[{target}]"
        return roles[name]() if name in roles else f"`{words or target}`"

    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"^```\{(?!code-cell).*?^```$", "*(What stands here is on the book's site.)*", text, flags=re.M | re.S
    )
    text = re.sub(r"\$\$ *\(([\w-]+)\)", lambda match: rf"\tag{{{equation_number(env, match[1])}}}" + "\n$$", text)
    text = re.sub(r"\{([\w:]+)\}`([^`]+)`", role, text)
    return re.sub(r"(?<!!)\[([^\]]+)\]\(([\w-]+)\)", lambda match: section(env, page, match[2], match[1]), text)


def note(title: str, requirement: str | None) -> Any:
    """Return the cell that says what a downloaded notebook needs."""
    needs = f'`pip install "{requirement}"`' if requirement else "`pip install .` in its source tree"
    return nbformat.v4.new_markdown_cell(
        f"*This is the page “{title}” of the book, as it was executed. It runs where `ratereg` is installed "
        f"({needs}), and finds the published results there.*",
        id="what-it-needs",
    )


def installing(requirement: str) -> Any:
    """Return the cell that gets the package where it is not installed."""
    return nbformat.v4.new_code_cell(f'%pip install --quiet "{requirement}"', id="install")


def with_outputs(app: Sphinx, page: str) -> Any:
    """Return the notebook of a page with its outputs, or None if the page is no notebook.

    MyST-NB writes one for each page, but without the outputs that it takes from the cache.
    """
    path = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    if "kernelspec" not in app.env.metadata.get(page, {}) or not path.is_file():
        return None
    notebook = nbformat.read(path, as_version=4)
    cache = app.config.nb_execution_cache_path
    if cache and not any(cell.get("outputs") for cell in notebook.cells):
        # A page that was not executed has no match.
        with suppress(KeyError):
            _, notebook = get_cache(cache).merge_match_into_notebook(notebook)
    return notebook


def executed(app: Sphinx, page: str) -> Any:
    """Return the notebook of a page in plain Markdown and with its outputs, or None if the page is no notebook."""
    notebook = with_outputs(app, page)
    if notebook is None:
        return None
    for key in ("source_map", "jupytext"):
        notebook.metadata.pop(key, None)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, app.env, page)
    return notebook


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Write a page's executed notebook beside its source, where the theme links to it, and one for Colab."""
    if doctree is not None and (notebook := executed(app, page)) is not None:
        write_both(app, page, notebook)
        context["ipynb_source"] = f"{page}.ipynb"


def write_missing(app: Sphinx, failure: Exception | None) -> None:
    """Write the notebooks of pages that are not written by themselves, as where the book is one page of HTML."""
    if failure is not None or app.builder.format != "html":
        return
    for page in sorted(app.env.found_docs):
        there = (Path(app.outdir) / "_sources" / f"{page}.ipynb").is_file()
        if not there and (notebook := executed(app, page)) is not None:
            write_both(app, page, notebook)


def write_both(app: Sphinx, page: str, notebook: Any) -> None:
    """Write a page's notebook to download and, where the repository is known, the one for Colab."""
    repository = Repository.from_environment()
    requirement = repository.requirement if repository else None
    notebook.cells.insert(0, note(app.env.titles[page].astext(), requirement))
    write(notebook, Path(app.outdir) / "_sources" / f"{page}.ipynb")
    if requirement:
        notebook.cells.insert(1, installing(requirement))
        write(notebook, Path(app.outdir).parent / COLAB_FOLDER / f"{page}.ipynb")


def write(notebook: Any, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    nbformat.validate(notebook)
    nbformat.write(notebook, unfinished)
    unfinished.replace(path)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    # The theme makes the download menu at 501.
    app.connect("html-page-context", offer_notebook, priority=450)
    app.connect("build-finished", write_missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
