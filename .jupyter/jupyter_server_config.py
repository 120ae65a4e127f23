"""What a Jupyter server does with the chapters, which are text: `make lab` reads it, and so does Binder.

Jupytext writes a cell's settings as YAML and folds what is long. Here blocks of text, such as the captions, are written
as they were read, so that a chapter that is opened and saved is the same file.
"""

import math
from typing import Any

import yaml
from jupytext import myst


class BlocksKept(myst.CompactDumper):
    """Jupytext's own way of writing, with text of several lines as a block and no line folded."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "width": math.inf})


def text(dumper: yaml.SafeDumper, words: str) -> yaml.ScalarNode:
    """Write text of several lines as a block."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", words, style="|" if "\n" in words else None)


BlocksKept.add_representer(str, text)
myst.CompactDumper = BlocksKept
