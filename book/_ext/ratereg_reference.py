"""Mends of the reference: docstrings and signatures that Sphinx would misread."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# Sphinx reads a field `:ivar low, high:` as a type `low,` and a name `high`, unless no space divides them.
SHARED = re.compile(r"^:(ivar|param) (\w+(?:, \w+)+):")
JOINT = "\u200b"


def replace_default_factories(*arguments: Any) -> tuple[str | None, str | None] | None:
    """Write a dataclass's default factory as an ellipsis: Sphinx cannot read a signature with a `<factory>` in it."""
    signature, result = arguments[-2:]
    return (signature.replace("<factory>", "..."), result) if signature else None


def join_names(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Join the names that share a line of a docstring."""
    lines[:] = [SHARED.sub(lambda match: f":{match[1]} {match[2].replace(' ', JOINT)}:", line) for line in lines]


def separate_names(app: Sphinx, doctree: nodes.document) -> None:
    """Put the spaces back between names that were joined."""
    for text in [text for text in doctree.findall(nodes.Text) if JOINT in text]:
        text.parent.replace(text, nodes.Text(text.replace(JOINT, " ")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("autodoc-process-signature", replace_default_factories)
    app.connect("autodoc-process-docstring", join_names, priority=600)  # Napoleon makes the fields at 500
    app.connect("doctree-read", separate_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
