"""Text notebooks are read in one place, for papermill, for reruns and for the site."""

from pathlib import Path

import nbformat
import pytest

from ratereg.rerun import TextNotebookHandler
from ratereg.rerun.text_notebooks import plain_markdown, read_notebook

CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.md"))


def test_what_the_handler_writes_it_reads_again_without_outputs(tmp_path: Path) -> None:
    notebook = read_notebook(CHAPTERS[0])
    next(cell for cell in notebook.cells if cell.cell_type == "code").outputs = [
        nbformat.v4.new_output("stream", text="a line")
    ]
    TextNotebookHandler.write(nbformat.writes(notebook), f"jupytext:{tmp_path / 'copy.md'}")
    copy = nbformat.reads(TextNotebookHandler.read(f"jupytext:{tmp_path / 'copy.md'}"), as_version=4)
    assert [cell.source for cell in copy.cells] == [cell.source for cell in notebook.cells]
    assert not any(cell.get("outputs") for cell in copy.cells)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a-label)=\n# Title", "# Title"),
        ("see {eq}`eq-rate` and {numref}`fig-a`", "see <eq|eq-rate|None> and <numref|fig-a|None>"),
        ("{py:class}`its type <~ratereg.Study>`", "<py:class|ratereg.Study|its type>"),
        ("{glue:text}`source`, {term}`rate`", "<glue:text|source|None>, <term|rate|None>"),
        ("the [next chapter](chapter-live)", "the <ref|chapter-live|next chapter>"),
        ("![a picture](picture.png) and [a site](https://a.b)", "![a picture](picture.png) and [a site](https://a.b)"),
        ("$$ a = b $$ (eq-rate)\nafter", "$$ a = b \\tag{<eq|eq-rate|None>}\n$$\nafter"),
        ("```{note}\nwords\n```\nafter", "*(The book's site shows more here.)*\nafter"),
        ("```python\ncode\n```", "```python\ncode\n```"),
        ("$x_{ij}$ stays", "$x_{ij}$ stays"),
    ],
)
def test_myst_becomes_plain_markdown(text: str, expected: str) -> None:
    assert plain_markdown(text, lambda name, target, words: f"<{name}|{target}|{words}>") == expected
