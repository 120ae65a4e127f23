"""Run a chapter again with other settings, and let papermill open the text notebooks by themselves.

papermill, jupytext and nbformat come with the extra `book`.
"""

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["TextNotebookHandler", "parameters_of", "rerun"]

_PREFIX = "jupytext:"


class TextNotebookHandler:
    """Papermill's reader and writer of paths such as `jupytext:notebooks/capacity.md`.

    It is registered in the entry-point group `papermill.io`, under the beginning of those paths.
    """

    @staticmethod
    def read(path: str) -> str:
        """Return the notebook as the JSON of an .ipynb file."""
        import nbformat

        return str(nbformat.writes(_read(Path(path.removeprefix(_PREFIX)))))

    @staticmethod
    def write(content: str, path: str) -> None:
        """Write the JSON of a notebook as text, without its outputs."""
        import jupytext
        import nbformat

        jupytext.write(nbformat.reads(content, as_version=4), path.removeprefix(_PREFIX))

    @staticmethod
    def listdir(path: str) -> list[str]:
        """Return what lies in a folder."""
        return sorted(os.listdir(path.removeprefix(_PREFIX)))

    @staticmethod
    def pretty_path(path: str) -> str:
        """Return the path as papermill shows it."""
        return path


def parameters_of(notebook: str | Path) -> dict[str, Any]:
    """Return the parameters of a notebook and their values: what the cell tagged `parameters` assigns.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: it has no such cell, or a value there is no plain Python value.
    """
    cells = [cell for cell in _read(Path(notebook)).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"notebook: {notebook} has {len(cells)} cells tagged 'parameters'; one is needed.")
    parameters = {}
    for statement in ast.parse(cells[0].source).body:
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
            raise ValueError(f"notebook: the cell tagged 'parameters' of {notebook} does more than assign; it may not.")
        name = ast.unparse(statement.targets[0])
        try:
            parameters[name] = ast.literal_eval(statement.value)
        except ValueError:
            value = ast.unparse(statement.value)
            raise ValueError(f"notebook: the parameter {name} of {notebook} is {value}; use a plain value.") from None
    return parameters


def rerun(notebook: str | Path, parameters: Mapping[str, Any], output: str | Path | None = None) -> Path:
    """Execute a notebook with some of its parameters changed, and return where the executed notebook is.

    It is written whole or not at all.

    Arguments:
        notebook: a text notebook (or an .ipynb file).
        parameters: new values by name; a string is read as a Python value, as at a terminal: "200", "[1.0, 0.1]".
        output: an .ipynb file to write; by default reruns/<name of the notebook>.ipynb.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: it has no parameter of such a name, or a value is not one; nothing has been run then.
        papermill.PapermillExecutionError: a cell failed; nothing has been written then.
    """
    import papermill

    notebook = Path(notebook)
    known = parameters_of(notebook)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"parameters: {notebook} has no {', '.join(unknown)}; it has {', '.join(known)}.")
    values = {name: _value(name, value, known[name]) for name, value in parameters.items()}
    output = Path(output) if output else Path("reruns") / f"{notebook.stem}.ipynb"
    if output.suffix != ".ipynb" or output.resolve() == notebook.resolve():
        raise ValueError(f"output is {output}; give another file that ends in .ipynb.")
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.stem}.unfinished.ipynb")
    try:
        papermill.execute_notebook(_read(notebook), unfinished, values, cwd=notebook.parent)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return output


def _read(path: Path) -> Any:
    import jupytext

    if not path.is_file():
        raise FileNotFoundError(f"notebook is {path}, which is no file; the chapters are in notebooks/.")
    return jupytext.read(path)


def _value(name: str, value: Any, default: Any) -> Any:
    """Return a value of the same kind as the default; any kind may follow None, and None may follow any."""
    read = value
    if isinstance(value, str) and not isinstance(default, str):
        try:
            read = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            example = "200, [1.0, 0.1] or None" if default is None else repr(default)
            raise ValueError(f"parameters: {name} is {value!r}; give a Python value such as {example}.") from None
    # papermill writes lists, not tuples, and 1, 0.1 at a terminal means a list.
    read = list(read) if isinstance(read, tuple) else read
    kinds: dict[type, tuple[type, ...]] = {float: (int, float), tuple: (list,)}
    kind = kinds.get(type(default), (type(default),))
    if None not in (read, default) and (
        not isinstance(read, kind) or isinstance(read, bool) != isinstance(default, bool)
    ):
        raise ValueError(f"parameters: {name} is {value!r}; give a value of the same kind as {default!r}.")
    return read
