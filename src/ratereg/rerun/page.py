"""The page of a grid: its runs, their recorded numbers and their figures, side by side, in one HTML file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ratereg.rerun.captions import paragraphs
from ratereg.rerun.outcomes import Figure, Outcome

__all__ = ["Column", "write_page"]


class Column(NamedTuple):
    """A run, as the page shows it: what it has of its own, how it ended, its file, and what is in that."""

    changed: dict[str, Any]
    end: str
    file: str
    outcome: Outcome | None


def write_page(file: Path, notebook: str, same: Mapping[str, Any], columns: Sequence[Column]) -> None:
    """Write the page; it needs no other file, but links to the executed notebooks, which lie beside it."""
    style = Path(__file__).with_name("page.css").read_text()
    finished = [column for column in columns if column.outcome]
    names = list(dict.fromkeys(figure.name for column in finished for figure in _figures(column)))
    sections = [_runs(columns), _numbers(finished), *([_all_figures(names, columns)] if names else [])]
    links = {"runs": "Runs", "numbers": "Numbers"} | ({"figures": "Figures"} if names else {})
    axes = list(columns[0].changed)
    common = f" The same in all: {_inline(same)}." if same else ""
    file.write_text(
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(notebook)}, {len(columns)} runs side by side</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(notebook)}, {len(columns)} runs side by side</h1>
<p>The notebook was run once for each combination of {escape(" and ".join(axes))}.{common}</p>
<nav aria-label="On this page"><ul>
{"".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in links.items())}
<li><a href="table.csv">The table as CSV</a></li>
</ul></nav>
</header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""
    )


def _runs(columns: Sequence[Column]) -> str:
    heads = ["run", *columns[0].changed, "outcome", "seconds", "notebook"]
    rows = []
    for number, column in enumerate(columns, 1):
        kind = "good" if column.outcome else "bad"
        cells = [_cell(value) for value in column.changed.values()]
        cells.append(f'<td class="{kind}">{escape(column.end)}</td>')
        seconds = f"{column.outcome.seconds:,.0f}" if column.outcome else ""
        cells.append(f'<td class="number">{seconds}</td>')
        link = f'<a href="{escape(column.file)}">notebook {number}</a>' if column.outcome else ""
        cells.append(f"<td>{link}</td>")
        rows.append(f'<tr><th scope="row">{number}</th>{"".join(cells)}</tr>')
    table = _table((f'<th scope="col">{escape(head)}</th>' for head in heads), rows, "The runs", "runs-table")
    return f'<section id="runs">\n<h2>Runs</h2>\n{table}</section>\n'


def _numbers(finished: Sequence[Column]) -> str:
    records = [column.outcome.records for column in finished if column.outcome]
    names = list(dict.fromkeys(name for one in records for name in one))
    if not names:
        return '<section id="numbers">\n<h2>Numbers</h2>\n<p>No finished run recorded a number.</p>\n</section>\n'
    # As text, in which a value that is not a number equals itself.
    differ = [name for name in names if len({json.dumps(one.get(name)) for one in records}) > 1]
    alike = [name for name in names if name not in differ]
    text = (
        '<section id="numbers">\n<h2>Numbers</h2>\n<p>What the notebook records, by the names that it has there.</p>\n'
    )
    heads = ['<th scope="col">number</th>', *(f'<th scope="col">{_choices(column)}</th>' for column in finished)]
    if differ:
        rows = [_row(name, (one.get(name, "") for one in records)) for name in differ]
        text += _table(heads, rows, "Numbers that differ between the runs", "numbers")
    if alike:
        heads = ['<th scope="col">number</th>', '<th scope="col">in all runs</th>']
        rows = [_row(name, [records[0][name]]) for name in alike]
        text += f"<details{'' if differ else ' open'}>\n<summary>The same in all runs: {len(alike)}</summary>\n"
        text += _table(heads, rows, "Numbers that are the same in all runs", "numbers") + "</details>\n"
    return text + "</section>\n"


def _all_figures(names: Sequence[str], columns: Sequence[Column]) -> str:
    across = len({json.dumps(list(column.changed.values())[-1]) for column in columns})
    text = f'<section id="figures" style="--columns: {across}">\n<h2>Figures</h2>\n'
    return text + "".join(_one_figure(name, columns) for name in names) + "</section>\n"


def _one_figure(name: str, columns: Sequence[Column]) -> str:
    """Return one figure of all runs; what their captions have in common is said once."""
    of_runs = [next((one for one in _figures(column) if one.name == name), None) for column in columns]
    captions = [
        paragraphs(figure.caption, column.outcome.records) if figure and column.outcome else None
        for figure, column in zip(of_runs, columns, strict=True)
    ]
    said = [caption for caption in captions if caption is not None]
    common = [one for one in said[0] if all(one in caption for caption in said)]
    cards = []
    for column, figure, caption in zip(columns, of_runs, captions, strict=True):
        own = "".join(one for one in caption or [] if one not in common)
        picture = (
            f'<img src="{figure.source}" alt="{escape(figure.alt)}">' if figure else f"<p>{escape(column.end)}</p>"
        )
        cards.append(f"<figure><figcaption>{_choices(column)}{own}</figcaption>{picture}</figure>\n")
    title = escape(name.removeprefix("fig-").replace("-", " ").capitalize())
    label = f'tabindex="0" role="group" aria-label="{title}, of each run"'
    row = f'<div class="scroll" {label}><div class="row">\n{"".join(cards)}</div></div>\n'
    return f"<h3>{title}</h3>\n{''.join(common)}\n{row}"


def _figures(column: Column) -> tuple[Figure, ...]:
    return column.outcome.figures if column.outcome else ()


def _table(heads: Iterable[str], rows: Iterable[str], label: str, kind: str) -> str:
    head, body = "".join(heads), "\n".join(rows)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{label}"><table class="{kind}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    )


def _row(name: str, values: Iterable[Any]) -> str:
    return f'<tr><th scope="row"><code>{escape(name)}</code></th>{"".join(map(_cell, values))}</tr>'


def _cell(value: Any) -> str:
    kind = ' class="number"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
    return f"<td{kind}>{escape(_shown(value))}</td>"


def _choices(column: Column) -> str:
    """Return a run's own values as HTML, one a line."""
    return "".join(
        f'<span class="choice">{escape(name)} <b>{escape(_shown(value))}</b></span>'
        for name, value in column.changed.items()
    )


def _inline(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{escape(name)} <b>{escape(_shown(value))}</b>" for name, value in values.items())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.5g}"
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
