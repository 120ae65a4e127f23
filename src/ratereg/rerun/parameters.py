"""The parameters of a notebook: what the cell tagged `parameters` assigns and declares, and values for them."""

import ast
import io
import tokenize
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratereg.rerun.declarations import Parameter, declared
from ratereg.rerun.text_notebooks import read_notebook

__all__ = ["checked", "describe_parameters", "parameters_of"]


def parameters_of(notebook: str | Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name: what the cell tagged `parameters` assigns.

    What a value may be is declared in the comment behind the default, as the chapters do:
    `steps = 300  # type: int (at least 1) training steps`. One that is not declared takes the type of its default.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: it has no such cell, a value there is no plain Python value, or a declaration can't be read.
    """
    cells = [cell for cell in read_notebook(Path(notebook)).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"notebook: {notebook} has {len(cells)} cells tagged 'parameters'; one is needed.")
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise ValueError(f"notebook: the cell tagged 'parameters' of {notebook} is no Python: {error}.") from None
    comments = _comments(cells[0].source)
    parameters = {}
    for statement in statements:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(target, ast.Name)):
            raise ValueError(
                f"notebook: the cell tagged 'parameters' of {notebook} has the line {ast.unparse(statement)!r}; it may "
                "only assign, one name a line."
            )
        try:
            value = ast.literal_eval(statement.value)
        except ValueError:
            shown = ast.unparse(statement.value)
            raise ValueError(
                f"notebook: the parameter {target.id} of {notebook} is {shown}; use a plain value."
            ) from None
        try:
            parameters[target.id] = declared(target.id, value, comments.get(statement.end_lineno or 0, ""))
        except ValueError as error:
            raise ValueError(f"notebook: in {notebook}, {error}") from None
    return parameters


def describe_parameters(notebook: str | Path) -> str:
    """Return a table, as text, of a notebook's parameters: defaults, types, ranges, and what they are.

    Raises:
        FileNotFoundError, ValueError: as for `parameters_of`.
    """
    rows = [("parameter", "default", "type", "range", "what it is")]
    rows += [(one.name, repr(one.default), one.type, one.range, one.help) for one in parameters_of(notebook).values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def checked(notebook: str | Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all of a notebook's parameters, of which some are given and the others are the defaults.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: there is no such parameter, or a value is of the wrong type or out of range; the message lists all.
    """
    known = parameters_of(notebook)
    try:
        if unknown := [name for name in parameters if name not in known]:
            raise ValueError(f"{notebook} has no {', '.join(unknown)}.")
        values = {name: one.read(parameters.get(name, one.default)) for name, one in known.items()}
        for name, one in known.items():
            one.check(values[name], values)
    except ValueError as error:
        raise ValueError(f"parameters: {error} There are:\n{describe_parameters(notebook)}") from None
    return values


def _comments(source: str) -> dict[int, str]:
    """Return the comments of a cell by their lines."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
