"""HTML for the report's notebook: figures with text alternatives, tables with captions, lists and downloads."""

import base64
import io
from collections.abc import Iterable
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from ratereg.plots import STYLE
from ratereg.plots.data import description

__all__ = ["download", "figure", "items", "sheet", "table"]


def figure(drawn: Figure | np.ndarray, alt: str, caption: str) -> HTML:
    """Return a figure, or pixels (height, width, channel) as uint8, with its text alternative and caption.

    The text alternative of a figure of `ratereg.plots` ends with the numbers that it shows.
    """
    stream = io.BytesIO()
    if isinstance(drawn, Figure):
        kind, style, alt = "svg+xml", "card", f"{alt} {description(drawn)}".strip()
        with plt.style.context(STYLE):
            drawn.savefig(stream, format="svg", metadata={"Date": None})
    else:
        kind, style = "png", "card pixels"
        Image.fromarray(drawn[..., 0] if drawn.shape[-1] == 1 else drawn[..., :3]).save(stream, "PNG", optimize=True)
    image = f'<img class="{style}" alt="{escape(alt)}" src="{_address(f"image/{kind}", stream.getvalue())}">'
    return HTML(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")


def sheet(images: np.ndarray, columns: int = 12) -> np.ndarray:
    """Return images (image, channel, height, width), uint8, in rows on white, as one (height, width, channel)."""
    columns = min(columns, len(images))
    padding = ((0, -len(images) % columns), (0, 0), (1, 1), (1, 1))
    tiles = np.pad(images, padding, constant_values=255)
    _, channels, height, width = tiles.shape
    rows = tiles.reshape(-1, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return rows.reshape(-1, columns * width, channels)


def table(frame: pd.DataFrame, caption: str) -> HTML:
    """Return a table with its index as row headers; on a narrow screen it scrolls sideways, also by keyboard."""
    # The name of the rows stands above them, and not in a row of its own.
    head, body = frame.rename_axis(index=None, columns=str(frame.index.name)).to_html(border=0).split("<tbody>")
    cells = head.replace("<th>", '<th scope="col">') + "<tbody>" + body.replace("<th>", '<th scope="row">')
    label = escape(caption)
    scrolling = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{cells}</div>'
    return HTML(f'<p class="caption">{label}</p>{scrolling}')


def items(entries: Iterable[str]) -> HTML:
    """Return a list of sentences."""
    return HTML(f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in entries)}</ul>")


def download(frame: pd.DataFrame, name: str) -> HTML:
    """Return a link that saves a table, which lies in the page, as a CSV file of that name."""
    address = _address("text/csv", frame.to_csv(index=False, float_format="%.6g").encode())
    link = f'<a download="{escape(name)}" href="{address}">Download {escape(name)}</a>'
    return HTML(f"<p>{link}: the numbers of the last step, which lie in this page.</p>")


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
