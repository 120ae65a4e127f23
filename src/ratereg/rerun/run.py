"""Executing a notebook with values for its parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratereg.rerun.parameters import checked
from ratereg.rerun.text_notebooks import read_notebook
from ratereg.storage import check_writable, written_file

__all__ = ["execute", "rerun"]


def rerun(notebook: str | Path, parameters: Mapping[str, Any], output: str | Path | None = None) -> Path:
    """Execute a notebook with some of its parameters changed, and return the path of the executed notebook.

    Arguments:
        notebook: a text notebook (or an .ipynb file).
        parameters: new values by name; a string is read as a Python value, as at a terminal: "200", "[1.0, 0.1]".
        output: an .ipynb file to write; by default reruns/<name of the notebook>.ipynb.

    Raises:
        FileNotFoundError: there is no such notebook; nothing has been run.
        ValueError: it has no parameter of such a name, or a value has the wrong type; nothing has been run.
        StorageError: the output's folder can't be written to; nothing has been run.
        papermill.PapermillExecutionError: a cell failed, for example because a value is out of range; nothing has been
            written.
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
    """Execute a notebook in its own folder and write it atomically, with a note in its metadata.

    Raises:
        papermill.PapermillExecutionError: a cell failed.
        StorageError: the file can't be written.
    """
    import nbformat
    import papermill

    node = read_notebook(notebook)
    node.metadata["ratereg"] = dict(note)
    executed = papermill.execute_notebook(node, None, dict(parameters), cwd=notebook.parent)
    with written_file(output) as file:
        nbformat.write(executed, file)
