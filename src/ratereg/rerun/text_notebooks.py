"""Text notebooks: reading them, and papermill's way to do so."""

import os
from pathlib import Path
from typing import Any

__all__ = ["TextNotebookHandler", "read_notebook"]

_PREFIX = "jupytext:"


class TextNotebookHandler:
    """Papermill's reader and writer of paths such as `jupytext:notebooks/capacity.md`.

    It is registered in the entry-point group `papermill.io`, under the beginning of those paths.
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
    def listdir(path: str) -> list[str]:
        """Return what lies in a folder."""
        return sorted(os.listdir(path.removeprefix(_PREFIX)))

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
