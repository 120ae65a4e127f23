"""The axes of a grid, as they are given at a terminal: NAME=VALUE,VALUE,... or a YAML file."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["read_axes"]


def read_axes(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Return the axes that are given as NAME=VALUE,VALUE,... or NAME=[VALUE, ...], or as a YAML file of lists.

    Raises:
        ValueError: a text is neither, or a name comes twice.
        FileNotFoundError: there is no such file.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        more = {name.strip(): _values(values)} if equals else _read_yaml(Path(text))
        for one in more:
            if one in axes:
                raise ValueError(f"grid: {one} is given twice; give all of its values together.")
        axes |= more
    return axes


def _values(text: str) -> list[Any]:
    try:
        read = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return [word.strip() for word in text.split(",") if word.strip()]
    return list(read) if isinstance(read, list | tuple) else [read]


def _read_yaml(file: Path) -> dict[str, list[Any]]:
    import yaml

    if not file.is_file():
        raise FileNotFoundError(f"grid is {str(file)!r}; give NAME=VALUE,VALUE,... or a YAML file.")
    try:
        axes = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"grid: {file} is no YAML: {error}") from None
    if not isinstance(axes, dict) or not all(isinstance(values, list) for values in axes.values()):
        raise ValueError(f"grid: {file} has to have lines such as 'steps: [200, 500]', a list of values each.")
    return {str(name): values for name, values in axes.items()}
