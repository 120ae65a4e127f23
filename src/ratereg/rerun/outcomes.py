"""Comparable contents of an executed notebook: its recorded numbers and its figures."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ratereg.studies.results import published_directory

__all__ = ["Figure", "Outcome", "digest_of", "read_outcome"]

_RECORD = "application/vnd.ratereg.record+json"
_FIGURE = "application/vnd.ratereg.figure+json"
"""Beside a figure's picture: {"description": what is seen in it}."""


class Figure(NamedTuple):
    """A figure of an executed notebook: its picture as a data address, and its caption in MyST Markdown."""

    name: str
    source: str
    alt: str
    caption: str


class Outcome(NamedTuple):
    """Contents of an executed notebook, with the digest of everything that it is made from."""

    digest: str
    seconds: float
    records: dict[str, Any]
    figures: tuple[Figure, ...]


def read_outcome(executed: Path) -> Outcome | None:
    """Return the contents of an executed notebook; None if it is not there, or was not made by a grid."""
    import nbformat

    try:
        node = nbformat.read(executed, as_version=4)
        digest, seconds = node.metadata["ratereg"]["digest"], node.metadata["papermill"]["duration"]
    except (FileNotFoundError, ValueError, KeyError):  # nbformat's error for what is no notebook is a ValueError
        return None
    shown = [output.get("data", {}) for cell in node.cells for output in cell.get("outputs", [])]
    records = {data[_RECORD]["name"]: data[_RECORD]["value"] for data in shown if _RECORD in data}
    return Outcome(digest, seconds, records, tuple(_figures(node.cells)))


def digest_of(notebook: Path, values: Mapping[str, Any]) -> str:
    """Return a digest of everything that an executed notebook is made from.

    That is the values of all its parameters, and names, sizes and times of files: the notebook, those that the values
    name, the package and the published results.
    """
    texts = [one for value in values.values() for one in (value if isinstance(value, list) else [value])]
    named = [notebook.parent / one for one in texts if isinstance(one, str) and one]
    places = [notebook, *named, Path(__file__).parents[1], published_directory()]
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    stamps = [
        [str(file.resolve()), (state := file.stat()).st_size, state.st_mtime_ns]
        for file in files
        if file.is_file() and file.suffix != ".pyc"
    ]
    return hashlib.sha256(json.dumps([dict(values), stamps], sort_keys=True).encode()).hexdigest()[:16]


def _figures(cells: list[Any]) -> Iterator[Figure]:
    count = 0
    for cell in cells:
        about = cell.metadata.get("mystnb", {})
        figure, image = about.get("figure", {}), about.get("image", {})
        shown = [data for output in cell.get("outputs", []) if _picture(data := output.get("data", {}))]
        for number, data in enumerate(shown, 1):
            count += 1
            name = figure.get("name", f"figure {count}") + (f" ({number})" if figure and number > 1 else "")
            alt = f"{image.get('alt', '')} {data.get(_FIGURE, {}).get('description', '')}"
            alt = " ".join(alt.split()) or f"Figure {count} of the notebook, not described there."
            yield Figure(name, _picture(data), alt, figure.get("caption", "") if number == 1 else "")


def _picture(data: Mapping[str, Any]) -> str:
    """Return an output's picture as a data address; nothing if it has none."""
    if "image/svg+xml" in data:
        return f"data:image/svg+xml;base64,{base64.b64encode(data['image/svg+xml'].encode()).decode()}"
    kind = next((kind for kind in ("image/png", "image/jpeg") if kind in data), None)
    return f"data:{kind};base64,{''.join(data[kind].split())}" if kind else ""
