"""What a figure of the site brings with it: its data, what made it, and words for what is seen.

A figure that a notebook shows carries its numbers and a description among its outputs (`ratereg.plots.use_style`). This
extension writes the numbers into the site as CSV, adds the description to the figure's alternative text, makes links of
what the caption's last line names, and lets a figure that would be illegible on a phone scroll in a box of its own.
"""

import html
import math
import posixpath
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from ratereg_notebooks import with_outputs

FIGURE = "application/vnd.ratereg.figure+json"
LEGIBLE = 9
"""On a phone the smallest letters of a figure are this high, in CSS pixels."""

MADE_BY = "Made by"
DATA_FOLDER = "figures"
_SOURCE = re.compile(r"(?:results/[\w./-]*\w)|(?:(?:notebooks|book)/[\w/-]+\.md)")
_SVG_WIDTH = re.compile(r'<svg\b[^>]*?\bwidth="([\d.]+)pt"')


class SiteLink(nodes.inline):  # type: ignore[misc]
    """Text that downloads a file of the site, at `path` below its root, in the builders that write HTML."""


class FigureBox(nodes.container):  # type: ignore[misc]
    """What a figure shows: at least `least` CSS pixels wide, in a box that scrolls where the page is narrower."""


def visit_link(translator: Any, node: SiteLink) -> None:
    """Open a link relative to the page, so that it holds from disk and below any address."""
    page = translator.builder.get_target_uri(translator.builder.current_docname).partition("#")[0]
    address = posixpath.relpath(node["path"], posixpath.dirname(page) or ".")
    title = f' title="{html.escape(node["about"])}"' if node.get("about") else ""
    translator.body.append(f'<a class="reference download internal" download="" href="{html.escape(address)}"{title}>')


def leave_link(translator: Any, node: SiteLink) -> None:
    """Close the link."""
    translator.body.append("</a>")


def visit_box(translator: Any, node: FigureBox) -> None:
    """Open the box. By the theme's class its script lets the keyboard reach it where there is something to scroll."""
    label = html.escape(node["label"])
    translator.body.append(
        f'<div class="figure-box pst-scrollable-table-container" role="group" aria-label="{label}" '
        f'style="--least: {node["least"]}px">'
    )


def leave_box(translator: Any, node: FigureBox) -> None:
    """Close the box."""
    translator.body.append("</div>\n")


def pass_by(translator: Any, node: nodes.Element) -> None:
    """Write nothing but what is inside."""


def figures_of(notebook: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return by the figures' names what an executed notebook keeps of each: a mime type's data each."""
    found = {}
    for cell in notebook["cells"]:
        name = cell.get("metadata", {}).get("mystnb", {}).get("figure", {}).get("name")
        bundles = [output["data"] for output in cell.get("outputs", ()) if FIGURE in output.get("data", {})]
        if name and bundles:
            found[str(name)] = bundles[-1]
    return found


def least_width(bundle: dict[str, Any]) -> int:
    """Return how many CSS pixels wide a figure has to be for its smallest letters to be legible."""
    width = _SVG_WIDTH.search("".join(bundle.get("image/svg+xml", "")))
    letters = float(bundle[FIGURE]["letters"])
    # A point is 4/3 pixels where the figure has its natural width, so that they cancel out.
    return math.ceil(LEGIBLE * float(width[1]) / letters) if width and letters else 0


def complete(app: Sphinx, doctree: nodes.document) -> None:
    """Add to each figure of a page what its notebook says of it, and remember its data."""
    env = app.env
    kept = data_of(env).setdefault(env.docname, {})
    kept.clear()
    notebook = with_outputs(app, env.docname)
    if notebook is None:
        return
    found = figures_of(notebook)
    root = Path(app.srcdir).resolve().parent
    for figure in list(doctree.findall(nodes.figure)):
        name = next((one for one in figure["names"] if one in found), None)
        if name is None:
            continue
        bundle = found[name]
        if "text/csv" in bundle:
            kept[name] = "".join(bundle["text/csv"])
        for image in list(figure.findall(nodes.image)):
            authored = image.get("alt", "")
            image["alt"] = f"{authored} {bundle[FIGURE]['description']}".strip()
            # The theme dims pictures on dark pages, and lays another ground under them, unless they have this class.
            image["classes"].append("dark-light")
            box = FigureBox(least=least_width(bundle), label=f"Figure: {_beginning(authored or name)}")
            image.replace_self(box)
            box += image
        for paragraph in list(figure.findall(nodes.paragraph)):
            if paragraph.astext().startswith(MADE_BY):
                link_sources(paragraph, root)
                if name in kept:
                    link = SiteLink("", "data of the figure (CSV)", path=f"{DATA_FOLDER}/{name}.csv")
                    paragraph += [nodes.Text(" Download: "), link, nodes.Text(".")]


def _beginning(text: str) -> str:
    """Return the first words of a text."""
    words = text.split()
    return " ".join(words[:12]) + (" ..." if len(words) > 12 else "")


def link_sources(paragraph: nodes.paragraph, root: Path) -> None:
    """Make links of the notebooks and results that a caption names, as far as they are there below `root`."""
    results = []
    for text in list(paragraph.findall(nodes.Text)):
        parts: list[nodes.Node] = []
        end = 0
        for match in _SOURCE.finditer(str(text)):
            target, about = _target(match[0], root)
            if not target:
                continue
            if match[0].startswith("results/"):
                results.append((text.parent, root / match[0]))
            parts += [nodes.Text(text[end : match.start()]), SiteLink("", match[0], path=target, about=about)]
            end = match.end()
        if parts:
            # A glued name is bold, a link speaks for itself.
            text.parent["classes"] = [one for one in text.parent["classes"] if one != "pasted-text"]
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])
    if len(results) == 1 and results[0][1].is_dir():
        parent, folder = results[0]
        path = folder.relative_to(root).as_posix()
        study = SiteLink("", "settings", path=f"{path}/study.json", about="every setting of the study (JSON)")
        origin = SiteLink("", "provenance", path=f"{path}/provenance.json", about="commit, versions and device (JSON)")
        parent += [nodes.Text(" ("), study, nodes.Text(", "), origin, nodes.Text(")")]


def _target(source: str, root: Path) -> tuple[str, str]:
    """Return where a source lies in the site, and what it is; nothing for what the site does not have."""
    if source.startswith("results/"):
        path = root / source
        if path.is_dir() and (path / "table.csv").is_file():
            return f"{source}/table.csv", "the result's table: a row for each member, step and partition (CSV)"
        return (source, "the measurements (CSV)") if path.is_file() else ("", "")
    page = source.removeprefix("book/").removesuffix(".md")
    there = (root / source).is_file()
    return (f"_sources/{page}.ipynb", "the executed notebook (.ipynb)") if there else ("", "")


def data_of(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    """Return the figures' data by page and name, which Sphinx keeps with the pages that it has read."""
    if not hasattr(env, "ratereg_figures"):
        env.ratereg_figures = {}  # type: ignore[attr-defined]
    found: dict[str, dict[str, str]] = env.ratereg_figures  # type: ignore[attr-defined]
    return found


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    """Forget a page's figures."""
    data_of(env).pop(page, None)


def merge(app: Sphinx, env: BuildEnvironment, pages: Iterator[str], other: BuildEnvironment) -> None:
    """Take over from a process what it has read."""
    data_of(env).update({page: data_of(other).get(page, {}) for page in pages})


def write_files(app: Sphinx, failure: Exception | None) -> None:
    """Write the figures' data and the results' tables into the site."""
    if failure is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    folder = site / DATA_FOLDER
    kept = {name: text for figures in data_of(app.env).values() for name, text in figures.items()}
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.csv"):
        if old.stem not in kept:
            old.unlink()
    for name, text in kept.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    root = Path(app.srcdir).resolve().parent
    for path in sorted((root / "results").rglob("*")):
        if path.suffix in (".csv", ".json"):
            _copy(path, site / path.relative_to(root))


def _copy(source: Path, target: Path) -> None:
    """Copy what is missing or older than its source."""
    if not target.is_file() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    # Captions link to the notebooks that it writes.
    app.setup_extension("ratereg_notebooks")
    others: dict[str, Any] = dict.fromkeys(("latex", "text", "man", "texinfo"), (pass_by, pass_by))
    app.add_node(SiteLink, html=(visit_link, leave_link), **others)
    app.add_node(FigureBox, html=(visit_box, leave_box), **others)
    app.connect("doctree-read", complete)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("build-finished", write_files)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
