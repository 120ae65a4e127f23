"""The page of a grid: its runs, their recorded numbers and their figures, side by side, in one HTML file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.entities import html5
from pathlib import Path
from typing import Any

from ratereg.rerun.outcomes import Outcome
from ratereg.rerun.text_notebooks import plain_markdown

__all__ = ["Column", "write_page"]

_ELSEWHERE = {"eq": "an equation of the chapter", "numref": "another figure of the chapter", "ref": "the chapter"}


@dataclass
class Column:
    """A run, as the page shows it.

    Attributes:
        changed: its own values of the parameters.
        end: how it ended.
        file: name of the executed notebook, which lies beside the page.
        outcome: contents of that; None without one.
    """

    changed: dict[str, Any]
    end: str
    file: str
    outcome: Outcome | None

    def __str__(self) -> str:
        return ", ".join(f"{name} {_shown(value)}" for name, value in self.changed.items())


def write_page(file: Path, notebook: str, same: Mapping[str, Any], columns: Sequence[Column]) -> None:
    """Write the page, which needs no other file.

    Arguments:
        file: HTML file to write.
        notebook: its name.
        same: parameters that have the same value in all runs.
        columns: the runs.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("ratereg.rerun", "."), autoescape=True, trim_blocks=True)
    environment.filters["shown"] = _shown
    outcomes = [column.outcome for column in columns if column.outcome]
    records: dict[str, list[Any]] = {name: [] for outcome in outcomes for name in outcome.records}
    for name, values in records.items():
        values += [outcome.records.get(name, "") for outcome in outcomes]
    # As text, in which a value that is not a number equals itself.
    alike = {name: values[0] for name, values in records.items() if len(set(map(json.dumps, values))) == 1}
    captions: dict[str, list[str]] = {}
    for figure in (figure for outcome in outcomes for figure in outcome.figures):
        captions.setdefault(figure.name, _paragraphs(figure.caption, alike))
    page = environment.get_template("page.html").render(
        notebook=notebook,
        same=same,
        columns=columns,
        finished=[column for column in columns if column.outcome],
        differ=[[name, *values] for name, values in records.items() if name not in alike],
        alike=alike,
        captions=captions,
        across=len({json.dumps(list(column.changed.values())[-1]) for column in columns}),
    )
    file.write_text(page)


def _paragraphs(caption: str, alike: Mapping[str, Any]) -> list[str]:
    """Return a caption's paragraphs as text, with the recorded values that are the same in all runs."""

    def role(name: str, target: str, words: str | None) -> str:
        if name == "glue:text":
            return str(alike.get(target, f"“{target}” in the numbers above"))
        return words or _ELSEWHERE.get(name, target)

    def symbol(command: re.Match[str]) -> str:
        return html5.get(f"{command[1]};", f"{command[1]} ")

    text = re.sub(r"\\([A-Za-z]+)\s*", symbol, plain_markdown(caption, role))
    return [part for part in re.split(r"\n\s*\n", re.sub(r"[$`{}*]", "", text)) if part.strip()]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
