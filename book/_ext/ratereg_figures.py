"""Figures of the site: their data to download, links to what made them, and a description of what is shown.

An executed notebook keeps the table and a description of each figure among its outputs; `ratereg.plots.data` has the
contract. Here the table becomes a CSV file of the site, the description completes the alternative text, the last line
of the caption gets its links, and a figure that would be illegible on a phone scrolls in a box of its own.
"""

import html
import math
import os
import re
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx

from ratereg_notebooks import with_outputs

FIGURE = "application/vnd.ratereg.figure+json"
LEGIBLE = 9
"""Height in CSS pixels of a figure's smallest letters on a phone."""

SOURCE = re.compile(r"results/[\w./-]*\w|(?:notebooks|book)/[\w/-]+\.md")
SVG_WIDTH = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)pt"')


def figures_of(notebook: Any) -> dict[str, dict[str, Any]]:
    """Return the outputs of an executed notebook's figures, by the figures' names."""
    found = {}
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        bundles = [output.data for output in cell.get("outputs", []) if FIGURE in output.get("data", {})]
        if name and bundles:
            found[name] = bundles[-1]
    return found


def complete_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Complete each figure of a page that has been read."""
    notebook = with_outputs(app, app.env.docname)
    found = figures_of(notebook) if notebook else {}
    for figure in doctree.findall(nodes.figure):
        if name := next((name for name in figure["names"] if name in found), None):
            for image in list(figure.findall(nodes.image)):
                describe(image, found[name])
            for paragraph in figure.findall(nodes.paragraph):
                if paragraph.astext().startswith("Made by"):
                    link_sources(app, paragraph)
                    if "text/csv" in found[name]:
                        data = Path(app.outdir).parent / "jupyter_execute" / f"{name}.csv"
                        data.write_text(found[name]["text/csv"], encoding="utf-8")
                        link = download("data of the figure (CSV)", site_file(app, data))
                        paragraph += [nodes.Text(" Download: "), link, nodes.Text(".")]


def describe(image: nodes.image, bundle: dict[str, Any]) -> None:
    """Add the description to the author's alternative text, and put the image into its box."""
    authored = image.get("alt", "")
    about = bundle[FIGURE]
    image["alt"] = f"{authored} {about['description']}".strip()
    image["classes"].append("dark-light")  # the theme dims other pictures on dark pages
    width = SVG_WIDTH.search(bundle.get("image/svg+xml", ""))
    # A point is 4/3 pixels where the figure has its natural width, so the factors cancel out.
    least = math.ceil(LEGIBLE * float(width[1]) / about["letters"]) if width and about["letters"] else 0
    # By the second class the theme's script lets the keyboard reach the box where there is something to scroll.
    label = html.escape(textwrap.shorten(f"Figure: {authored}", 90, placeholder=" ..."))
    box = f'<div class="figure-box pst-scrollable-table-container" role="group" aria-label="{label}"'
    opening = nodes.raw("", f'{box} style="--least: {least}px">', format="html")
    image.parent.replace(image, [opening, image, nodes.raw("", "</div>", format="html")])


def link_sources(app: Sphinx, paragraph: nodes.paragraph) -> None:
    """Link the notebooks and results that a caption names, where they exist."""
    root = Path(app.srcdir).resolve().parent
    several = paragraph.astext().count("results/") > 1
    for text in list(paragraph.findall(nodes.Text)):
        parts: list[nodes.Node] = []
        end = 0
        for match in SOURCE.finditer(text):
            if links := links_to(app, root / match[0], match[0]):
                parts += [nodes.Text(text[end : match.start()]), *links[: 1 if several else None]]
                end = match.end()
        if parts:
            text.parent["classes"] = []  # what is pasted in by MyST-NB is bold, a link is not
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def links_to(app: Sphinx, path: Path, words: str) -> list[nodes.Node]:
    """Return links to a notebook, to a file of measurements, or to a result with its settings and provenance."""
    if path.suffix == ".md" and path.is_file():
        page = words.removeprefix("book/").removesuffix(".md")
        return [download(words, f"../_sources/{page}.ipynb")]
    if path.is_file():
        return [download(words, site_file(app, path))]
    if not (path / "table.csv").is_file():
        return []
    files = {words: "table.csv", "settings": "study.json", "provenance": "provenance.json"}
    table, settings, provenance = (download(text, site_file(app, path / file)) for text, file in files.items())
    return [table, nodes.Text(" ("), settings, nodes.Text(", "), provenance, nodes.Text(")")]


def site_file(app: Sphinx, path: Path) -> str:
    """Let Sphinx copy a file into the site, and return its place below the folder of downloads."""
    place: str = app.env.dlfiles.add_file(app.env.docname, os.path.relpath(path, app.srcdir))
    return place


def download(words: str, file: str) -> download_reference:
    """Return a link that downloads a file, given below the site's folder of downloads."""
    return download_reference("", "", nodes.Text(words), reftarget=file, filename=file)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.setup_extension("ratereg_notebooks")
    app.connect("doctree-read", complete_figures, priority=600)  # Sphinx looks for files to download at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
