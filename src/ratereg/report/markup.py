"""The pieces of an HTML page: escaped text, tables, lists, and pictures that lie in the page itself."""

import base64
import io
import re
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ratereg.plots import STYLE

__all__ = ["Markup", "code", "download", "drawn", "facts", "items", "paragraph", "pictured", "section", "table"]


class Markup(str):
    """Text that is HTML already; all other text is escaped."""

    __slots__ = ()


def _html(value: object) -> str:
    return value if isinstance(value, Markup) else escape(str(value))


def paragraph(*sentences: object) -> Markup:
    """Return a paragraph of sentences."""
    return Markup(f"<p>{' '.join(map(_html, sentences))}</p>")


def items(entries: Iterable[object], kind: str = "") -> Markup:
    """Return a list; of an entry that is a pair, the first is a name. `kind` is a CSS class."""

    def entry(one: object) -> str:
        return f"<strong>{_html(one[0])}</strong>: {_html(one[1])}" if isinstance(one, tuple) else _html(one)

    of_kind = f' class="{kind}"' if kind else ""
    return Markup(f"<ul{of_kind}>{''.join(f'<li>{entry(one)}</li>' for one in entries)}</ul>")


def facts(pairs: Mapping[str, object]) -> Markup:
    """Return names and values as a description list."""
    entries = (f"<div><dt>{_html(name)}</dt><dd>{_html(value)}</dd></div>" for name, value in pairs.items())
    return Markup(f"<dl>{''.join(entries)}</dl>")


def section(label: str, title: str, *parts: str) -> Markup:
    """Return a section with its heading, of which `label` is the address in the page."""
    inside = "\n".join(parts)
    return Markup(
        f'<section id="{label}" aria-labelledby="{label}-title">\n'
        f'<h2 id="{label}-title">{escape(title)}</h2>\n{inside}\n</section>'
    )


def table(frame: pd.DataFrame, label: str, caption: object) -> Markup:
    """Return a table with its index as row headers; on a narrow screen it scrolls by itself, also by keyboard.

    Its caption stands above and does not scroll with it.
    """
    head = f'<th scope="col">{_html(frame.index.name or "")}</th>'
    head += "".join(f'<th scope="col">{_html(name)}</th>' for name in frame.columns)
    rows = "".join(
        f'<tr><th scope="row">{_html(name)}</th>{"".join(f"<td>{_html(cell)}</td>" for cell in row)}</tr>\n'
        for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    )
    named = f'aria-labelledby="{label}-caption"'
    return Markup(
        f'<div class="table" id="{label}"><p class="caption" id="{label}-caption">{_html(caption)}</p>\n'
        f'<div class="scroll" role="region" tabindex="0" {named}>\n<table {named}>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div></div>"
    )


def drawn(figure: Figure, label: str, seen: str, caption: object) -> Markup:
    """Return a figure as SVG in the page.

    Arguments:
        figure: of matplotlib.
        label: its address in the page, which makes the names inside of it its own.
        seen: what is seen, for those who do not see it.
        caption: below it.
    """
    stream = io.StringIO()
    with plt.style.context(STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Names of one figure's glyphs and clip paths are those of another's.
    svg = re.sub(r'\bid="', f'id="{label}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{label}-", svg)
    opening, inside = svg.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return Markup(
        f'<figure id="{label}"><div class="card">{opening} role="img" aria-label="{escape(seen)}">{inside}</div>'
        f"<figcaption>{_html(caption)}</figcaption></figure>"
    )


def pictured(pixels: np.ndarray, label: str, seen: str, caption: object) -> Markup:
    """Return pixels (height, width, 1 or 3 channels), uint8, as a picture in the page, with squares for pixels."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3]).save(stream, "PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    height, width = pixels.shape[:2]
    return Markup(
        f'<figure id="{label}"><img class="card" width="{width}" height="{height}" alt="{escape(seen)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{_html(caption)}</figcaption></figure>'
    )


def code(text: str, seen: str) -> Markup:
    """Return lines of code, which `seen` names."""
    return Markup(f'<pre role="region" tabindex="0" aria-label="{escape(seen)}"><code>{escape(text)}</code></pre>')


def download(content: str, name: str, words: str) -> Markup:
    """Return a link that saves text which lies in the page as a CSV file."""
    data = base64.b64encode(content.encode()).decode()
    return Markup(f'<a download="{escape(name)}" href="data:text/csv;base64,{data}">{escape(words)}</a>')
