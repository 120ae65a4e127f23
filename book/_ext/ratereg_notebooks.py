"""The executed notebook of each page, to download and for Colab, and the times of execution.

The notebooks run wherever the package is installed, because the published results come with it. What only Jupyter Book
understands becomes plain Markdown, and Colab's notebook begins with a cell that installs the package.
"""

import posixpath
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from ratereg.rerun.text_notebooks import plain_markdown
from ratereg_repository import requirement


def is_notebook(env: BuildEnvironment, page: str) -> bool:
    """Return whether a page has cells that are executed."""
    return "kernelspec" in env.metadata.get(page, {})


def with_outputs(app: Sphinx, page: str) -> Any:
    """Return the executed notebook of a page, or None where the page is no notebook.

    MyST-NB writes a notebook for each page, but without the outputs that it takes from its cache.
    """
    if not is_notebook(app.env, page):
        return None
    notebook = nbformat.read(Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb", as_version=4)
    with suppress(KeyError):
        cache = get_cache(app.env.mystnb_config.execution_cache_path)  # type: ignore[attr-defined]
        _, notebook = cache.merge_match_into_notebook(notebook)
    return notebook


def number(env: BuildEnvironment, label: str) -> str:
    """Return the number that a figure or an equation has on the site, or else its label."""
    equations = env.get_domain("math").equations  # type: ignore[attr-defined]
    if label in equations:
        page, kind, target = equations[label][0], "displaymath", f"equation-{label}"
    else:
        page, target, _ = env.get_domain("std").labels.get(label, ("", "", ""))  # type: ignore[attr-defined]
        kind = "figure"
    known, root = env.toc_fignumbers, env.config.root_doc
    # Where the book is one page, Sphinx keeps all numbers with the first one.
    numbers = (known.get(page, {}).get(kind) or known.get(root, {}).get(f"{page}/{kind}", {})).get(target)
    return ".".join(map(str, numbers)) if numbers else label


def section(env: BuildEnvironment, page: str, label: str, words: str | None) -> str:
    """Return a link to the notebook with a labeled section, or the words only where there is none."""
    domain = env.get_domain("std")
    named, anonymous = domain.labels, domain.anonlabels  # type: ignore[attr-defined]
    target, _, title = named.get(label) or (*anonymous.get(label, ("", "")), label)
    words = words or title
    if target == page or not is_notebook(env, target):
        return words
    return f"[{words}]({posixpath.relpath(target, posixpath.dirname(page) or '.')}.ipynb)"


def in_words(env: BuildEnvironment, page: str, name: str, target: str, words: str | None) -> str:
    """Return Markdown instead of a role of MyST."""
    if name == "eq":
        return f"({number(env, target)})"
    if name == "numref":
        return f"Figure {number(env, target)}"
    if name == "ref":
        return section(env, page, target, words)
    if name.startswith("cite"):
        return f"[{target}]"
    return words or target if name in ("doc", "term", "glue:text") else f"`{words or target}`"


def offer_notebook(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Let the theme link to a page's notebook next to its source, where `write_notebooks` puts it."""
    if doctree is not None and is_notebook(app.env, page):
        context["ipynb_source"] = f"{page}.ipynb"


def write_notebooks(app: Sphinx, failure: Exception | None) -> None:
    """Write each page's notebook to download and, where the repository is known, the notebook for Colab."""
    if failure is not None or app.builder.format != "html":
        return
    source = requirement()
    needs = f'`pip install "{source}"`' if source else "`pip install .` in its source tree"
    for page in sorted(app.env.found_docs):
        if (notebook := with_outputs(app, page)) is None:
            continue
        for key in ("source_map", "jupytext"):
            notebook.metadata.pop(key, None)
        notebook.nbformat_minor = 5
        for index, cell in enumerate(notebook.cells):
            cell.id = f"cell-{index}"
            if cell.cell_type == "markdown":
                cell.source = plain_markdown(cell.source, partial(in_words, app.env, page))
        about = (
            f"*This is the page “{app.env.titles[page].astext()}” of the book, as executed. It runs where `ratereg` is "
            f"installed ({needs}), and finds the published results there.*"
        )
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(about, id="what-it-needs"))
        write(notebook, Path(app.outdir) / "_sources" / f"{page}.ipynb")
        if source:
            install = nbformat.v4.new_code_cell(f'%pip install --quiet "{source}"', id="install")
            notebook.cells.insert(1, install)
            write(notebook, Path(app.outdir).parent / "colab" / f"{page}.ipynb")


def write(notebook: Any, path: Path) -> None:
    """Write a valid notebook into a folder that may not exist yet."""
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def complete_times(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Add titles and the sum to MyST-NB's table of execution times (the directive `nb-exec-table`)."""
    for table in doctree.findall(nodes.table):
        header, *rows = table.findall(nodes.row)
        if header.astext().endswith("Run Time (s)\n\nStatus"):
            for row in rows:
                for name in row.children[0].findall(nodes.Text):
                    name.parent.replace(name, nodes.Text(app.env.titles[str(name)].astext()))
            total = sum(float(row.children[3].astext()) for row in rows)
            last = ["All pages", "", "", f"{total:.1f}", ""]
            rows[-1].parent += nodes.row("", *(nodes.entry("", nodes.paragraph("", text)) for text in last))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", offer_notebook, priority=450)  # the theme makes the download menu at 501
    app.connect("build-finished", write_notebooks)
    app.connect("doctree-resolved", complete_times)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
