"""Captions, written in MyST Markdown, as HTML that stands alone: without the book, and without scripts for formulas."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

__all__ = ["paragraphs"]

_ROLES = {"eq": "an equation of the chapter", "numref": "another figure of the chapter", "ref": "the chapter"}
_SYMBOLS = {"ge": "≥", "geq": "≥", "le": "≤", "leq": "≤", "cdot": "·", "times": "×", "pm": "±", "approx": "≈"}
_LOWERED = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_RAISED = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")


def paragraphs(caption: str, records: Mapping[str, Any]) -> list[str]:
    """Return a caption's paragraphs as HTML, with recorded values put in for {glue:text}`name`."""
    from markdown_it import MarkdownIt

    def role(found: re.Match[str]) -> str:
        kind, target = found[1], found[2]
        if kind == "glue:text":
            return _escaped(str(records.get(target, target)))
        return _ROLES.get(kind, _escaped(target))

    text = re.sub(r"\{([\w:]+)\}`([^`]*)`", role, caption)
    text = re.sub(r"\$([^$]+)\$", lambda found: _escaped(_formula(found[1])), text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    markdown = MarkdownIt("commonmark", {"html": False})
    return [markdown.render(part).strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _formula(tex: str) -> str:
    """Return a short formula in Unicode; what has no character of its own stays as it is."""
    text = re.sub(r"\\([A-Za-z]+)\s*", lambda found: _symbol(found[1]), tex)
    text = re.sub(r"_(?:\{([^{}]*)\}|(\w))", lambda found: _moved(found[1] or found[2], _LOWERED, "_"), text)
    text = re.sub(r"\^(?:\{([^{}]*)\}|(\w))", lambda found: _moved(found[1] or found[2], _RAISED, "^"), text)
    return text.replace("-", "−").replace("\\,", " ").replace("\\", "")


def _symbol(command: str) -> str:
    size = "SMALL" if command.islower() else "CAPITAL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {command.upper().replace('LAMBDA', 'LAMDA')}")
    except KeyError:
        # Names such as \log are words; a thin space keeps them from what follows.
        return _SYMBOLS.get(command, f"{command}\N{THIN SPACE}")


def _moved(text: str, table: dict[int, int], mark: str) -> str:
    moved = text.translate(table)
    return moved if all(ord(letter) in table for letter in text) else f"{mark}{text}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
