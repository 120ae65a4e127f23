"""The page of a grid: its runs, their recorded numbers and their figures, side by side, in one HTML file."""

import json
from collections.abc import Sequence
from pathlib import Path

from ratereg.rerun.outcomes import Run, in_words

__all__ = ["write_page"]


def write_page(file: Path, notebook: str, runs: Sequence[Run]) -> None:
    """Write the page of the runs of a notebook, which needs no other file."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("ratereg.rerun", "."), autoescape=True, trim_blocks=True)
    environment.filters["in_words"] = in_words
    finished = [run for run in runs if run.seconds is not None]
    names = dict.fromkeys(name for run in finished for name in run.records)
    records = {name: [run.records.get(name, "") for run in finished] for name in names}
    # As text, in which a value that is not a number equals itself.
    alike = {name: values[0] for name, values in records.items() if len(set(map(json.dumps, values))) == 1}
    page = environment.get_template("page.html").render(
        notebook=notebook,
        same={name: value for name, value in runs[0].chosen.items() if name not in runs[0].changed},
        runs=runs,
        finished=finished,
        differ=[[name, *values] for name, values in records.items() if name not in alike],
        alike=alike,
        figures=dict.fromkeys(figure.name for run in finished for figure in run.figures),
        across=len({json.dumps(list(run.changed.values())[-1]) for run in runs}),
    )
    file.write_text(page)
