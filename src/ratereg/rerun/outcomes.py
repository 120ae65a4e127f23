"""The runs of a grid, and what their executed notebooks hold: recorded numbers and figures."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ratereg.studies.results import published_directory

__all__ = ["Figure", "Run", "digest_of", "in_words"]

_RECORD = "application/vnd.ratereg.record+json"
_FIGURE = "application/vnd.ratereg.figure+json"
"""Beside a figure's picture: {"description": what is seen in it}."""


class Figure(NamedTuple):
    """A figure of an executed notebook, its picture as a data address."""

    name: str
    source: str
    alt: str


@dataclass
class Run:
    """A run of a grid.

    Attributes:
        changed: its own values of the parameters.
        chosen: all values that are given to it.
        digest: of everything that it is made from; see `digest_of`.
        file: name of the executed notebook.
        end: how it ended.
        seconds: how long it took; None if it is not finished.
        records, figures: contents of the executed notebook.
    """

    changed: dict[str, Any]
    chosen: dict[str, Any]
    digest: str
    file: str
    end: str = "not run"
    seconds: float | None = None
    records: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{name} {in_words(value)}" for name, value in self.changed.items())

    def read(self, folder: Path) -> None:
        """Take the contents of the executed notebook, if it is there and was made from the same as the run would be."""
        import nbformat

        try:
            node = nbformat.read(folder / self.file, as_version=4)
            digest, seconds = node.metadata["ratereg"]["digest"], node.metadata["papermill"]["duration"]
        except (FileNotFoundError, ValueError, KeyError):  # nbformat's error for what is no notebook is a ValueError
            return
        if digest == self.digest:
            shown = [output.get("data", {}) for cell in node.cells for output in cell.get("outputs", [])]
            self.records = {data[_RECORD]["name"]: data[_RECORD]["value"] for data in shown if _RECORD in data}
            self.figures = list(_figures(node.cells))
            self.end, self.seconds = "finished", seconds


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


def in_words(value: Any) -> str:
    """Return a parameter or a recorded value as a reader should see it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"
    return ", ".join(map(in_words, value)) if isinstance(value, list) else str(value)


def _figures(cells: list[Any]) -> Iterator[Figure]:
    count = 0
    for cell in cells:
        about = cell.metadata.get("mystnb", {})
        figure, image = about.get("figure", {}), about.get("image", {})
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        for number, data in enumerate(filter(_picture, outputs), 1):
            count += 1
            name = figure.get("name", f"figure {count}") + (f" ({number})" if figure and number > 1 else "")
            alt = f"{image.get('alt', '')} {data.get(_FIGURE, {}).get('description', '')}"
            alt = " ".join(alt.split()) or f"Figure {count} of the notebook, not described there."
            yield Figure(name, _picture(data), alt)


def _picture(data: Mapping[str, Any]) -> str:
    """Return an output's picture as a data address; nothing if it has none."""
    if svg := data.get("image/svg+xml"):
        return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    kind = next((kind for kind in ("image/png", "image/jpeg") if kind in data), None)
    return f"data:{kind};base64,{''.join(data[kind].split())}" if kind else ""
