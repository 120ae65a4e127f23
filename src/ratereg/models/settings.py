"""Networks, likelihoods and priors as settings for JSON, and back."""

import functools
import hashlib
import importlib
import inspect
import warnings
from types import CodeType
from typing import Any

from ratereg.models.likelihoods import Likelihood
from ratereg.models.networks import Network
from ratereg.models.priors import Prior

__all__ = ["from_settings", "to_settings"]


def to_settings(value: Any) -> Any:
    """Return a value ready for JSON: numbers, texts and lists as they are, objects by the arguments that make them.

    A network, likelihood or prior becomes {"type": ..., and the arguments of its constructor that differ from their
    defaults}, each read from the attribute of its name. The type is the name of a class of this package, else
    "module:Class" with "code", a digest of its methods: weights and results of an edited class are not reused.

    Raises:
        ValueError: the value is of another kind, an object does not keep its constructor's arguments, or its class
            can't be imported by name.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_settings(one) for one in value]
    kind = type(value)
    if not _is_part_of_a_model(kind):
        raise ValueError(f"{value!r} is no setting; give numbers, texts, a network, a likelihood or a prior.")
    own = _own_classes().get(kind.__name__) is kind
    if not own and "<locals>" in kind.__qualname__:
        raise ValueError(f"{kind.__qualname__} is defined inside of a function; define it at the top of a module.")
    settings: dict[str, Any] = {"type": kind.__name__}
    if not own:
        settings = {"type": f"{kind.__module__}:{kind.__qualname__}", "code": _code(kind)}  # type: ignore[arg-type]
    for name, parameter in inspect.signature(kind).parameters.items():
        if not hasattr(value, name):
            raise ValueError(f"{kind.__qualname__} does not keep its argument {name!r}; keep it as an attribute.")
        if getattr(value, name) != parameter.default:
            settings[name] = to_settings(getattr(value, name))
    return settings


def from_settings(settings: Any) -> Any:
    """Return the value whose `to_settings` these are. The class of a foreign object is imported.

    A warning is given if its code has changed since the settings were written.

    Raises:
        ValueError: there is no such class, it is neither a network, nor a likelihood, nor a prior, or it does not take
            these settings.
    """
    if isinstance(settings, list):
        return [from_settings(one) for one in settings]
    if not isinstance(settings, dict):
        return settings
    kind = _kind(settings.get("type"))
    if "code" in settings and settings["code"] != _code(kind):
        warnings.warn(f"The code of {settings['type']} has changed since these settings were written.", stacklevel=2)
    arguments = {name: from_settings(value) for name, value in settings.items() if name not in ("type", "code")}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{settings['type']} does not take the settings {arguments}: {error}.") from error


def _kind(name: Any) -> type:
    own = _own_classes()
    if isinstance(name, str) and name in own:
        return own[name]
    module, _, qualname = str(name).partition(":")
    try:
        kind: Any = importlib.import_module(module)
        for part in qualname.split("."):
            kind = getattr(kind, part)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = f"give one of {', '.join(own)}, or 'module:Class' of your own"
        if module == "__main__":
            remedy = "it was defined in another program; define it in a module that this program can import"
        raise ValueError(f"type is {name!r}; {remedy}.") from error
    # Settings come from files, so nothing else is called.
    if not _is_part_of_a_model(kind):
        raise ValueError(f"type is {name!r}, which is neither a network, nor a likelihood, nor a prior.")
    found: type = kind
    return found


@functools.cache
def _code(kind: type) -> str:
    """Return a digest of the methods and numbers of a class and of its bases outside of this package.

    Comments and line numbers do not count, since the compiled code is used. The version of Python does.
    """
    own = _own_classes().values()
    parts = []
    for base in kind.__mro__:
        if not _is_part_of_a_model(base) or base in own:
            continue
        for name, value in sorted(vars(base).items()):
            inner = getattr(value, "__func__", getattr(value, "fget", getattr(value, "func", value)))
            function = inspect.unwrap(inner) if callable(inner) else inner
            if hasattr(function, "__code__") and (name in ("__init__", "__call__") or not name.startswith("__")):
                parts.append(f"{name} {_compiled(function.__code__)}")
            elif isinstance(value, bool | int | float | str | tuple) and not name.startswith("__"):
                parts.append(f"{name} {value!r}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _compiled(code: CodeType) -> str:
    """Return the instructions, names and constants of a function."""
    constants = [
        _compiled(one)
        if isinstance(one, CodeType)
        else str(sorted(map(repr, one)))
        if isinstance(one, frozenset)
        else repr(one)
        for one in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


@functools.cache
def _own_classes() -> dict[str, type]:
    """Return the classes that this package exports, which settings name without their module."""
    exported = {
        name: getattr(module, name)
        for module in map(importlib.import_module, ("ratereg.models", "ratereg.models.priors"))
        for name in module.__all__
    }
    return {name: kind for name, kind in exported.items() if _is_part_of_a_model(kind)}


def _is_part_of_a_model(kind: Any) -> bool:
    if not isinstance(kind, type) or kind in (Network, Likelihood, Prior):
        return False
    return issubclass(kind, Prior) or hasattr(kind, "build_encoder") or hasattr(kind, "distortion")
