"""Executing a notebook with values for its parameters."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratereg.rerun.parameters import checked
from ratereg.rerun.text_notebooks import read_notebook
from ratereg.storage.atomic import check_writable, to_disk, writing

__all__ = ["execute", "rerun"]


def rerun(notebook: str | Path, parameters: Mapping[str, Any], output: str | Path | None = None) -> Path:
    """Execute a notebook with some of its parameters changed, and return where the executed notebook is.

    It is written whole or not at all.

    Arguments:
        notebook: a text notebook (or an .ipynb file).
        parameters: new values by name; a string is read as a Python value, as at a terminal: "200", "[1.0, 0.1]".
        output: an .ipynb file to write; by default reruns/<name of the notebook>.ipynb.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: it has no parameter of such a name, or a value is of the wrong type or out of range; nothing has
            been run then.
        StorageError: the output's folder can't be written to; nothing has been run then.
        papermill.PapermillExecutionError: a cell failed; nothing has been written then.
    """
    notebook = Path(notebook)
    values = checked(notebook, parameters)
    output = Path(output) if output else Path("reruns") / f"{notebook.stem}.ipynb"
    if output.suffix != ".ipynb" or output.resolve() == notebook.resolve():
        raise ValueError(f"output is {output}; give another file that ends in .ipynb.")
    check_writable(output.parent)
    execute(notebook, {name: values[name] for name in parameters}, output, {})
    return output


def execute(notebook: Path, parameters: Mapping[str, Any], output: Path, note: Mapping[str, Any]) -> None:
    """Execute a notebook in its own folder and write it, whole or not at all, with a note in its metadata.

    Raises:
        papermill.PapermillExecutionError: a cell failed.
        StorageError: the file can't be written.
    """
    import papermill

    node = read_notebook(notebook)
    node.metadata["ratereg"] = dict(note)
    unfinished = output.with_name(f".{output.stem}.unfinished.ipynb")
    log = logging.getLogger("papermill.translators")
    level = log.level
    # It reads the parameters' cell too, and warns of what it does not understand; that has been checked here.
    log.setLevel(logging.ERROR)
    try:
        with writing(output):
            papermill.execute_notebook(node, unfinished, dict(parameters), cwd=notebook.parent)
            to_disk(unfinished)
            unfinished.replace(output)
    finally:
        log.setLevel(level)
        unfinished.unlink(missing_ok=True)
