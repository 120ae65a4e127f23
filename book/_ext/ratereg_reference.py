"""The reference that is made of the docstrings: what Sphinx would misread in them is put so that it does not."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# A field `:ivar low, high:` is read as a type `low,` and a name `high`, unless no space divides them.
_SHARED = re.compile(r"^:(ivar|param) (\w+(?:, \w+)+):")
_JOINT = "\u200b"


def read_default_factories(*arguments: Any) -> tuple[str | None, str | None] | None:
    """Write a dataclass's default factory as an ellipsis: Sphinx cannot read a signature with a `<factory>` in it."""
    signature, result = arguments[-2:]
    return (signature.replace("<factory>", "..."), result) if signature else None


def join_names(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep names together that share a line of their docstring."""
    lines[:] = [_SHARED.sub(lambda match: f":{match[1]} {match[2].replace(' ', _JOINT)}:", line) for line in lines]


def part_names(app: Sphinx, doctree: nodes.document) -> None:
    """Put the spaces back between names that were kept together."""
    for text in [text for text in doctree.findall(nodes.Text) if _JOINT in text]:
        text.parent.replace(text, nodes.Text(text.replace(_JOINT, " ")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("autodoc-process-signature", read_default_factories)
    # Napoleon makes the fields at 500.
    app.connect("autodoc-process-docstring", join_names, priority=600)
    app.connect("doctree-read", part_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
