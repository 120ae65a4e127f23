"""A grid: a notebook executed for every combination of values of some of its parameters."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ratereg.rerun.outcomes import Outcome, digest_of, package_digest, read_outcome
from ratereg.rerun.page import Column, write_page
from ratereg.rerun.parameters import checked, describe_parameters, parameters_of
from ratereg.rerun.run import execute
from ratereg.storage import check_writable, locked, writing
from ratereg.studies.outlook import spoken

__all__ = ["Grid", "grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """What a grid of reruns left.

    Attributes:
        table: one row a run: its parameters, `outcome` ("finished", "failed" with the error, or "not run"), `seconds`,
            the executed `notebook`, and the numbers that it recorded, by their names.
        csv: the table as a file.
        page: an HTML file with the outcomes side by side.
        failed: how many runs failed.
    """

    table: pd.DataFrame
    csv: Path
    page: Path
    failed: int


class _Run(NamedTuple):
    chosen: dict[str, Any]
    digest: str
    place: Path


def grid(
    notebook: str | Path,
    axes: Mapping[str, Sequence[Any]],
    parameters: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> Grid:
    """Execute a notebook for each combination of values of some of its parameters, and compare the outcomes.

    Runs go one after another. Each executed notebook is written whole or not at all, beside the table and the page. One
    that is there already is taken if it was made from the same notebook, parameters, version and files of this package,
    published results and files that the parameters name. So a grid that was stopped goes on, and one that gets more
    values runs these alone. A run that fails is reported, and the others go on.

    Arguments:
        notebook: a text notebook (or an .ipynb file).
        axes: the values of each parameter that changes; the last one changes fastest.
        parameters: values, by name, that are the same in all runs.
        output: the folder to write to; by default reruns/<name of the notebook>.
        say: gets a line for each step.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: the grid is empty, or a parameter or value is refused as in `rerun`; nothing has been run then.
        StorageError: the folder can't be written to, or another process runs a grid there; nothing has been run then.
        KeyboardInterrupt: the grid was stopped; what is finished is kept, and in the table and page.
    """
    notebook = Path(notebook)
    folder = Path(output) if output else Path("reruns") / notebook.stem
    runs = _planned(notebook, axes, parameters or {}, folder)
    check_writable(folder)
    with locked(folder / ".grid"):
        done = [outcome.seconds for run in runs if (outcome := _outcome(run))]
        sizes = " x ".join(f"{len(values)} {name}" for name, values in axes.items())
        say(f"runs: {len(runs)} ({sizes}), of which {len(done)} are there already.")
        ends: dict[Path, str] = {}
        try:
            _run_all(notebook, runs, ends, done, say)
        finally:
            result = _written(notebook, folder, runs, list(axes), ends)
            finished = sum(outcome == "finished" for outcome in result.table["outcome"])
            say(f"{finished} of {len(runs)} runs are finished. Side by side: {result.page}; as a table: {result.csv}")
    return result


def _planned(
    notebook: Path, axes: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any], folder: Path
) -> list[_Run]:
    """Return the runs, all of whose parameters have been checked."""
    known = parameters_of(notebook)
    if alone := [name for name, values in axes.items() if isinstance(values, str)]:
        raise ValueError(f"grid: {alone[0]} is {axes[alone[0]]!r}; give a list of values.")
    if not axes or not all(len(values) for values in axes.values()):
        what = ", ".join(f"{name} has no values" for name in axes if not len(axes[name])) or "it has no parameters"
        raise ValueError(f"grid: {what}; give some, such as steps=200,500. There are:\n{describe_parameters(notebook)}")
    if both := [name for name in axes if name in parameters]:
        raise ValueError(f"grid: {both[0]} is a parameter of all runs and one of the grid; give it once.")
    package = package_digest()
    runs: list[_Run] = []
    for combination in itertools.product(*axes.values()):
        given = dict(parameters) | dict(zip(axes, combination, strict=True))
        values = checked(notebook, given)
        chosen = {name: values[name] for name in known if name in given}
        if any(run.chosen == chosen for run in runs):
            changed = ", ".join(f"{name} {chosen[name]}" for name in axes)
            raise ValueError(f"grid: {changed} comes twice; give each value once.")
        place = folder / f"{_slug({name: chosen[name] for name in axes}, chosen)}.ipynb"
        runs.append(_Run(chosen, digest_of(notebook, values, package), place))
    return runs


def _slug(changed: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    """Return a file's name that tells the run's values, and by its end all that were chosen."""
    words = "_".join(f"{name}-{value}" for name, value in changed.items())
    plain = re.sub(r"[^\w.]+", "-", words.replace("'", "")).replace("-_", "_").strip("-")[:80]
    return f"{plain}_{hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:6]}"


def _outcome(run: _Run) -> Outcome | None:
    """Return the outcome that is there, if it was made from what the run would be made from."""
    outcome = read_outcome(run.place)
    return outcome if outcome and outcome.digest == run.digest else None


def _run_all(
    notebook: Path, runs: Sequence[_Run], ends: dict[Path, str], seconds: list[float], say: Callable[[str], None]
) -> None:
    """Run what is not done, and note how each ended, and how long it took."""
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    missing = len(runs) - len(seconds)
    for number, run in enumerate(runs, 1):
        what = f"{number} of {len(runs)}: " + ", ".join(f"{name} {value}" for name, value in run.chosen.items())
        if _outcome(run):
            ends[run.place] = "finished"
            say(f"{what}: there already")
            continue
        mean = sum(seconds) / len(seconds) if seconds else None
        say(f"{what}: running" + (f"; what is left takes about {spoken(missing * mean)}" if mean else ""))
        missing -= 1
        # What lies there was made from something else; failing, the run would leave it to be taken for its own.
        run.place.unlink(missing_ok=True)
        try:
            execute(notebook, run.chosen, run.place, {"digest": run.digest, "parameters": run.chosen})
        except PapermillExecutionError as error:
            ends[run.place] = f"failed: {error.ename}: {error.evalue}"
            say(f"{what}: failed in cell {error.exec_count}: {error.ename}: {error.evalue}")
        except DeadKernelError:
            ends[run.place] = "failed: its Python died"
            say(f"{what}: failed: its Python died, perhaps for lack of memory")
        else:
            ends[run.place] = "finished"
            seconds += [outcome.seconds for outcome in [_outcome(run)] if outcome]


def _written(notebook: Path, folder: Path, runs: Sequence[_Run], axes: Sequence[str], ends: Mapping[Path, str]) -> Grid:
    """Write the table and the page of what is finished."""
    rows, columns = [], []
    for run in runs:
        outcome = _outcome(run)
        end = ends.get(run.place, "finished" if outcome else "not run")
        facts = {name: _plain(value) for name, value in run.chosen.items()} | {
            "outcome": end,
            "seconds": round(outcome.seconds, 1) if outcome else None,
            "notebook": run.place.name if outcome else None,
        }
        records = outcome.records if outcome else {}
        named = {f"{name} (recorded)" if name in facts else name: _plain(value) for name, value in records.items()}
        rows.append(facts | named)
        columns.append(Column({name: run.chosen[name] for name in axes}, end, run.place.name, outcome))
    table, csv, page = pd.DataFrame(rows), folder / "table.csv", folder / "index.html"
    same = {name: value for name, value in runs[0].chosen.items() if name not in axes}
    with _whole(csv) as file:
        table.to_csv(file, index=False)
    with _whole(page) as file:
        write_page(file, notebook.name, same, columns)
    return Grid(table, csv, page, sum(end.startswith("failed") for end in ends.values()))


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """Yield another file, which takes the place of `file` if the body ends well."""
    aside = file.with_name(f".{file.name}.unfinished")
    with writing(file):
        yield aside
        aside.replace(file)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
