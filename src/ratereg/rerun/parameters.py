"""Parameters of a notebook, as papermill reads them from the cell tagged `parameters`, and values for them.

The comment behind a default declares its type, and then says what it is and which values make sense:

    steps = None  # type: int (at least 1) training steps (None: as published)
    seeds = 3     # type: int|list[int] how many seeds, or the seeds

Types are int, float, bool, str, lists of these, and several types with | between. None may be given where it is the
default. Names and types are checked before a notebook runs; ranges are checked by what the notebook calls.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratereg.rerun.text_notebooks import read_notebook

__all__ = ["Parameter", "checked", "describe_parameters", "parameters_of"]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook, with its default, and the rest of the comment as `help`.

    `kinds` are the types that a value may have, such as "int" or "list[float]"; none if any will do.
    """

    name: str
    default: Any
    kinds: tuple[str, ...] = ()
    help: str = ""

    @property
    def type(self) -> str:
        """The types in words."""
        return " or ".join([*self.kinds, "None"] if self.default is None else self.kinds)

    def read(self, value: Any) -> Any:
        """Return a value with the parameter's type; a string is read as at a terminal: "200", "[1.0, 0.1]", "1, 0.1".

        Raises:
            ValueError: it has another type.
        """
        plain = _literal(value) if isinstance(value, str) else value
        plain = list(plain) if isinstance(plain, tuple) else plain
        if not self.kinds or (plain is None and self.default is None):
            return plain
        for kind in self.kinds:
            # A word may look like a number and still be text.
            for one in (plain, value):
                try:
                    return _as(kind, one)
                except TypeError:
                    continue
        raise ValueError(f"{self.name} is {value!r}; give {self.type}.")


def parameters_of(notebook: str | Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name: what the cell tagged `parameters` assigns.

    One whose type is not declared has the type of its default.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: it has no such cell, or a default is no plain Python value.
    """
    from papermill import inspect_notebook

    parameters = {}
    for name, one in inspect_notebook(read_notebook(Path(notebook))).items():
        try:
            default = ast.literal_eval(one["default"])
        except (ValueError, SyntaxError):
            raise ValueError(
                f"notebook: the parameter {name} of {notebook} is {one['default']}; use a plain value."
            ) from None
        declared = one["inferred_type_name"]
        if declared == "None":
            declared = "" if default is None else type(default).__name__.replace("tuple", "list")
        parameters[name] = Parameter(name, default, tuple(filter(None, declared.split("|"))), one["help"])
    if not parameters:
        raise ValueError(f"notebook: {notebook} has no cell tagged 'parameters' that assigns any; one is needed.")
    return parameters


def describe_parameters(notebook: str | Path) -> str:
    """Return a line for each of a notebook's parameters: its default, its types, and what it is.

    Raises:
        FileNotFoundError, ValueError: as for `parameters_of`.
    """
    known = parameters_of(notebook).values()
    return "\n".join(f"{one.name} = {one.default!r}  # {one.type or 'any'}: {one.help}" for one in known)


def checked(notebook: str | Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all of a notebook's parameters, of which some are given and the others are the defaults.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: there is no such parameter, or a value has the wrong type; the message lists all parameters.
    """
    known = parameters_of(notebook)
    try:
        if unknown := [name for name in parameters if name not in known]:
            raise ValueError(f"{notebook} has no {', '.join(unknown)}.")
        given = {name: known[name].read(value) for name, value in parameters.items()}
    except ValueError as error:
        raise ValueError(f"parameters: {error} There are:\n{describe_parameters(notebook)}") from None
    return {name: given.get(name, one.default) for name, one in known.items()}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _as(kind: str, value: Any) -> Any:
    """Return a value as of that type, or raise TypeError."""
    if kind.startswith("list[") and isinstance(value, list):
        return [_as(kind.removeprefix("list[").removesuffix("]"), one) for one in value]
    if kind == "float" and type(value) is int:
        return float(value)
    if type(value).__name__ != kind:
        raise TypeError
    return value
