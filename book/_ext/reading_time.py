"""How many minutes a chapter takes to read, counted from its words, for pages that say so: `{{ minutes.capacity }}`.

A substitution is a setting: Sphinx reads the pages again when a chapter has got longer, and executes nothing.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

WORDS_A_MINUTE = 200

# The head of a text notebook, and what it has in code cells.
NOT_PROSE = re.compile(r"\A---\n.*?^---\n|^(`{3,})\{code-cell\}.*?^\1$", re.DOTALL | re.MULTILINE)


def minutes_of(page: Path) -> int:
    """Return the minutes that the text of a page takes, without its code, at least one."""
    return max(1, round(len(NOT_PROSE.sub("", page.read_text()).split()) / WORDS_A_MINUTE))


def offer_minutes(app: Sphinx, config: Config) -> None:
    """Let pages say how long each page is."""
    source = Path(app.srcdir)
    pages = sorted([*source.glob("*.md"), *source.glob("notebooks/*.md")])
    config.myst_substitutions |= {
        "words_a_minute": WORDS_A_MINUTE,
        "minutes": {page.stem: minutes_of(page) for page in pages},
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", offer_minutes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
