"""What a parameter of a notebook may be, as the comment behind its default declares it.

A declaration is the type as papermill reads it, the limits in parentheses, and what the parameter is:

    steps = None  # type: int (at least 1) training steps (None: as published)
    scale = None  # type: str (full or cpu) the scale of the study
    betas = None  # type: list[float] (each at least 0, distinct) weights of the rate
    seeds = 3     # type: int|list[int] (at least 1, each at least 0, distinct) how many seeds, or the seeds

Types are int, float, bool, str, lists of these, and several of them with | between. None may be given where it is the
default. Limits are separated by commas. Each is `distinct`, `N items`, or what a value may be: a word or number, or
`at least`, `above`, `at most` or `below` a number or another parameter; with `and` and `or` between (`0 or at least
256`). One that begins with `each` is on the items of a list. Numbers must be finite, and lists have an item or more.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Parameter", "declared"]

_KINDS = ("int", "float", "bool", "str")
_DECLARATION = re.compile(r"#\s*type:\s*(\S+)\s*(?:\(([^()]*)\)\s*)?(.*)")
_COMPARISON = re.compile(r"(at least|above|at most|below) (\S+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "at least": operator.ge,
    "above": operator.gt,
    "at most": operator.le,
    "below": operator.lt,
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook.

    Attributes:
        name: its name.
        default: the value that the notebook gives it.
        kinds: the types that a value may have, such as "int" or "list[float]"; none if it is not declared.
        limits: what a value has to be besides.
        help: what it is.
    """

    name: str
    default: Any
    kinds: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    help: str = ""

    @property
    def type(self) -> str:
        """The types in words."""
        return " or ".join([*self.kinds, "None"] if self.default is None else self.kinds)

    @property
    def range(self) -> str:
        """The limits in words."""
        return ", ".join(self.limits)

    def read(self, value: Any) -> Any:
        """Return a value with the parameter's type; a string is read as at a terminal: "200", "[1.0, 0.1]", "1, 0.1".

        Raises:
            ValueError: it has another type, is an empty list, or is not finite.
        """
        plain = _literal(value) if isinstance(value, str) else value
        plain = list(plain) if isinstance(plain, tuple) else plain
        if plain is None and (self.default is None or not self.kinds):
            return None
        kinds = self.kinds or _kinds_of(self.default)
        for kind in kinds:
            read = _as_kind(kind, value if kind == "str" and not isinstance(plain, str) else plain)
            if read is not None:
                return read
        unreadable = plain is value and isinstance(value, str)
        if not kinds and not unreadable and (self.default is None or isinstance(plain, type(self.default))):
            return plain
        raise ValueError(f"{self.name} is {value!r}; {self.wanted}.")

    def check(self, value: Any, values: Mapping[str, Any]) -> None:
        """Refuse a value, of the right type, that is out of range; `values` has those of all parameters.

        Raises:
            ValueError: it is out of range.
        """
        if value is None:
            return
        for limit in self.limits:
            if not _holds(limit, value, values):
                raise ValueError(f"{self.name} is {value!r}; {self.wanted}.")

    @property
    def wanted(self) -> str:
        """What would do, in words."""
        if not self.kinds:
            example = "a Python value, such as 200, [1.0, 0.1] or None"
            return f"give {example if self.default is None else f'a value of the same kind as {self.default!r}'}"
        return f"give {self.type}" + (f" ({self.range})" if self.limits else "")


def declared(name: str, default: Any, comment: str) -> Parameter:
    """Return a parameter as its comment declares it.

    Raises:
        ValueError: the declaration has an unknown type or limit, or a limit on what no value of the type has.
    """
    found = _DECLARATION.fullmatch(comment.strip())
    if not found:
        return Parameter(name, default, help=comment.strip("# "))
    kinds = tuple(found[1].split("|"))
    limits = tuple(limit.strip() for limit in (found[2] or "").split(",") if limit.strip())
    for kind in kinds:
        if (_item_kind(kind) or kind) not in _KINDS:
            raise ValueError(f"{name} is declared as {kind!r}; give {', '.join(_KINDS)}, or list[...] of these.")
    lists = [kind for kind in kinds if _item_kind(kind)]
    for limit in limits:
        of_lists = limit == "distinct" or re.fullmatch(r"each .+|\d+ items?", limit) is not None
        if of_lists and not lists:
            raise ValueError(f"{name} has the limit {limit!r}, which is for lists; declare list[...].")
        if not of_lists and len(lists) == len(kinds):
            raise ValueError(f"{name} has the limit {limit!r}, which is for one value; write 'each {limit}'.")
    return Parameter(name, default, kinds, limits, found[3])


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _item_kind(kind: str) -> str | None:
    return kind[5:-1] if kind.startswith("list[") and kind.endswith("]") else None


def _kinds_of(default: Any) -> tuple[str, ...]:
    """Return the types that go with a default, for a parameter that is not declared; none if any does."""
    if default is None:
        return ()
    if isinstance(default, list | tuple):
        items = {kind for one in default for kind in _kinds_of(one)}
        if items <= {"int", "float"} and items:
            return ("list[float]",) if "float" in items else ("list[int]", "list[float]")
        return tuple(f"list[{kind}]" for kind in sorted(items))
    name = type(default).__name__
    return (name,) if name in _KINDS else ()


def _as_kind(kind: str, value: Any) -> Any:
    """Return a value as of that type, or None if it is not."""
    if (item := _item_kind(kind)) is not None:
        read = [_as_kind(item, one) for one in value] if isinstance(value, list) and value else [None]
        return None if any(one is None for one in read) else read
    if isinstance(value, bool):
        return value if kind == "bool" else None
    if kind == "float" and isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, {"int": int, "str": str}.get(kind, ())) else None


def _holds(limit: str, value: Any, values: Mapping[str, Any]) -> bool:
    if limit == "distinct":
        return not isinstance(value, list) or len(set(value)) == len(value)
    if count := re.fullmatch(r"(\d+) items?", limit):
        return not isinstance(value, list) or len(value) == int(count[1])
    if limit.startswith("each "):
        return not isinstance(value, list) or all(_holds(limit.removeprefix("each "), one, values) for one in value)
    if isinstance(value, list):
        return True
    return any(
        all(_fulfills(condition, value, values) for condition in alternative.split(" and "))
        for alternative in limit.split(" or ")
    )


def _fulfills(condition: str, value: Any, values: Mapping[str, Any]) -> bool:
    comparison = _COMPARISON.fullmatch(condition)
    if not comparison:
        return bool(value == _literal(condition) or value == condition)
    bound = values.get(comparison[2], _literal(comparison[2]))
    # Another parameter that is None has a value that the notebook alone knows.
    return bound is None or _COMPARE[comparison[1]](value, bound)
