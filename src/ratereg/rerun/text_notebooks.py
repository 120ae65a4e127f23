"""Text notebooks: reading them, opening them with papermill, and turning MyST into plain Markdown."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["TextNotebookHandler", "plain_markdown", "read_notebook"]

_PREFIX = "jupytext:"


class TextNotebookHandler:
    """Papermill's reader and writer of paths such as `jupytext:notebooks/capacity.md`.

    It is registered in the entry-point group `papermill.io` under the prefix of these paths.
    """

    @staticmethod
    def read(path: str) -> str:
        """Return the notebook as the JSON of an .ipynb file."""
        import nbformat

        return str(nbformat.writes(read_notebook(Path(path.removeprefix(_PREFIX)))))

    @staticmethod
    def write(content: str, path: str) -> None:
        """Write the JSON of a notebook as text, without its outputs."""
        import jupytext
        import nbformat

        jupytext.write(nbformat.reads(content, as_version=4), path.removeprefix(_PREFIX))

    @staticmethod
    def pretty_path(path: str) -> str:
        """Return the path as papermill shows it."""
        return path


def read_notebook(path: Path) -> Any:
    """Return a notebook, from text or from an .ipynb file.

    Raises:
        FileNotFoundError: there is no such notebook.
    """
    import jupytext

    if not path.is_file():
        raise FileNotFoundError(f"notebook is {path}, which is no file; the chapters are in notebooks/.")
    return jupytext.read(path)


def plain_markdown(text: str, role: Callable[[str, str, str | None], str]) -> str:
    """Return MyST as Markdown that any viewer shows, without labels and directives.

    Arguments:
        text: Markdown as MyST has it.
        role: takes the name of a role, its target and its own words (None without any), and returns Markdown instead.
            A link to a label comes as the role "ref", the label of a displayed equation as "eq".
    """

    def replaced(found: re.Match[str]) -> str:
        name, content = found.groups()
        titled = re.fullmatch(r"(.*?)\s*<(.*)>", content, flags=re.DOTALL)
        words, target = titled.groups() if titled else (None, content)
        return role(name, target.lstrip("~!"), words)

    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"^```\{(?!code-cell).*?^```$", "*(The book's site shows more here.)*", text, flags=re.MULTILINE | re.DOTALL
    )
    text = re.sub(
        r"\$\$ *\(([\w-]+)\)", lambda label: rf"\tag{{{role('eq', label[1], None).strip('()')}}}" "\n$$", text
    )
    text = re.sub(r"\{([\w:]+)\}`([^`]+)`", replaced, text)
    return re.sub(r"(?<!!)\[([^\]]+)\]\(([\w-]+)\)", lambda link: role("ref", link[2], link[1]), text)
