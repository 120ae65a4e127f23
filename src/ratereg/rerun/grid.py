"""A grid: a notebook executed for every combination of values of some of its parameters."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ratereg.rerun.outcomes import Run, digest_of
from ratereg.rerun.page import write_page
from ratereg.rerun.parameters import checked, describe_parameters
from ratereg.rerun.run import execute
from ratereg.storage import check_writable, locked, written_file

__all__ = ["grid", "read_axes"]


def grid(
    notebook: str | Path,
    axes: Mapping[str, Sequence[Any]],
    parameters: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Execute a notebook for each combination of values of some of its parameters, and compare the outcomes.

    Each executed notebook is written atomically; beside them are table.csv and index.html, which shows the outcomes
    side by side. An executed notebook that is there already is reused if notebook, parameters, package, published
    results and files that the parameters name are the same. So the same call resumes a grid that was stopped, and
    executes only what is new in one that gets more values. A failed run is reported, and the other runs continue.

    Arguments:
        notebook: a text notebook (or an .ipynb file).
        axes: the values of each parameter that changes; the last one changes fastest.
        parameters: values, by name, that are the same in all runs.
        output: the folder to write to; by default reruns/<name of the notebook>.
        say: gets a line for each run.

    Returns:
        one row a run, with its parameters, `outcome` ("finished", "not run", or "failed" with the error), `seconds`,
        the name of the executed `notebook`, and the numbers that it recorded, by their names.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: the grid is empty, or a parameter or value is refused as in `rerun`; nothing has been run.
        StorageError: the folder can't be written to, or another process runs a grid there; nothing has been run.
        KeyboardInterrupt: the grid was stopped; what is finished is kept, and in the table and page.
    """
    notebook = Path(notebook)
    folder = Path(output) if output else Path("reruns") / notebook.stem
    runs = _planned(notebook, axes, parameters or {})

    def finished() -> int:
        return sum(run.seconds is not None for run in runs)

    check_writable(folder)
    with locked(folder / ".grid"):
        for run in runs:
            run.read(folder)
        say(f"runs: {len(runs)}, of which {finished()} are there already.")
        try:
            for number, run in enumerate(runs, 1):
                if run.seconds is None:
                    say(f"{number} of {len(runs)}: {run}: running")
                    _execute(notebook, run, folder)
                say(f"{number} of {len(runs)}: {run}: {run.end}")
        finally:
            table = pd.DataFrame([_row(run) for run in runs])
            with written_file(folder / "table.csv") as file:
                table.to_csv(file, index=False)
            with written_file(folder / "index.html") as file:
                write_page(file, notebook.name, runs)
            say(f"{finished()} of {len(runs)} runs are finished. Side by side: {folder / 'index.html'}")
    return table


def _planned(notebook: Path, axes: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any]) -> list[Run]:
    """Return the runs, all of whose parameters have been checked."""
    for name, several in axes.items():
        if isinstance(several, str) or not len(several):
            raise ValueError(f"grid: {name} is {several!r}; give a list of values.")
        if name in parameters:
            raise ValueError(f"grid: {name} is a parameter of all runs and one of the grid; give it once.")
    if not axes:
        raise ValueError(
            f"grid: axes is empty; give values of a parameter. There are:\n{describe_parameters(notebook)}"
        )
    runs: list[Run] = []
    for combination in itertools.product(*axes.values()):
        given = {**parameters, **dict(zip(axes, combination, strict=True))}
        values = checked(notebook, given)
        chosen = {name: value for name, value in values.items() if name in given}
        changed = {name: chosen[name] for name in axes}
        run = Run(changed, chosen, digest_of(notebook, values), _file_name(changed, chosen))
        if run in runs:
            raise ValueError(f"grid: {run} comes twice; give each value once.")
        runs.append(run)
    return runs


def _file_name(changed: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    """Return a file name that shows the run's own values, and ends in a digest of all that were chosen."""
    words = "_".join(f"{name}-{value}" for name, value in changed.items())
    plain = re.sub(r"[^\w.]+", "-", words.replace("'", "")).replace("-_", "_").strip("-")[:80]
    return f"{plain}_{hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:6]}.ipynb"


def _execute(notebook: Path, run: Run, folder: Path) -> None:
    """Execute a run, and read its outcome or note why it failed."""
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    try:
        execute(notebook, run.chosen, folder / run.file, {"digest": run.digest, "parameters": run.chosen})
        run.read(folder)
    except PapermillExecutionError as error:
        run.end = f"failed in cell {error.exec_count}: {error.ename}: {error.evalue}"
    except DeadKernelError:
        run.end = "failed: its Python died, perhaps for lack of memory"


def _row(run: Run) -> dict[str, Any]:
    """Return a run's row of the table."""
    row = run.chosen | {"outcome": run.end, "seconds": None, "notebook": None}
    if run.seconds is not None:
        row |= {"seconds": round(run.seconds, 1), "notebook": run.file}
    row |= {f"{name} (recorded)" if name in row else name: value for name, value in run.records.items()}
    return {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in row.items()}


def read_axes(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Return the axes that are given as NAME=VALUE,VALUE,... or NAME=[VALUE, ...], or as a YAML file of lists.

    Raises:
        ValueError: a text is neither, or a name comes twice.
    """
    import yaml

    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        try:
            given = yaml.safe_load(f"{name}: [{values}]" if equals else Path(text).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise ValueError(
                f"grid is {text!r}; give NAME=VALUE,VALUE,... or a YAML file of such lists: {error}"
            ) from None
        if not isinstance(given, dict) or not all(isinstance(one, list) for one in given.values()):
            raise ValueError(f"grid: {text} has to have lines such as 'steps: [200, 500]', a list of values each.")
        if both := [one for one in given if one in axes]:
            raise ValueError(f"grid: {both[0]} is given twice; give all of its values together.")
        # As a single item, a list has all the values.
        axes |= {one: of[0] if equals and len(of) == 1 and isinstance(of[0], list) else of for one, of in given.items()}
    return axes
