"""Each symbol of the chapters is on the page of the notation, and the reader's map leads to each chapter."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
FILES = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
CHAPTERS = [file for file in FILES if file.startswith("notebooks/")]
HEAD_OR_CELL = re.compile(r"\A---\n.*?^---\n|^(`{3,})\{code-cell\}.*?^\1$", re.DOTALL | re.MULTILINE)
DISPLAYED = re.compile(r"^\$\$\n(.*?)^\$\$", re.DOTALL | re.MULTILINE)

# What a formula has besides its symbols: layout, relations and operators.
LAYOUT = """
    aligned approx bar begin big Big bigg Bigg cap cdot cos dot dots end exp det frac ge geq hat in infty int le left ll
    log mathbb mathbf mathcal mathit mathrm max mid min ne overline pm pmatrix prod qquad quad right sim sin sqrt sum
    text textstyle tfrac tilde times to top underbrace Vert widehat
"""
COMMANDS = set(LAYOUT.split())
NO_SYMBOLS = {"e", "d", "Pr", "diag", "tr", "area", "Uniform"}


def formulas(file: str) -> list[str]:
    text = HEAD_OR_CELL.sub("", (ROOT / "book" / f"{file}.md").read_text())
    text = re.sub(r"(`+)[^`]+\1", "", text)
    return DISPLAYED.findall(text) + re.findall(r"\$([^$]+)\$", DISPLAYED.sub("", text))


def symbols(file: str) -> set[str]:
    """Return the letters, named letters and words of a page's formulas: `D`, `\\beta`, `ELBO`."""
    formula = re.sub(r"\\(?:begin|end)\{[^}]*\}|_?\\text\{[^}]*\}", " ", " ".join(formulas(file)))
    word = re.compile(r"\\(?:mathrm|mathit|mathcal|mathbb|mathbf)\{([^}]*)\}")
    words, formula = set(word.findall(formula)), word.sub(" ", formula)
    commands = {f"\\{name}" for name in re.findall(r"\\([A-Za-z]+)", formula) if name not in COMMANDS}
    return words | commands | set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", formula)))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapters_symbols_are_on_the_page_of_the_notation(chapter: str) -> None:
    assert symbols(chapter) - symbols("notation") - NO_SYMBOLS == set()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_readers_map_leads_to_the_chapter_and_gives_its_minutes(chapter: str) -> None:
    label = re.search(r"^\(([\w-]+)\)=\n# ", (ROOT / "book" / f"{chapter}.md").read_text(), re.MULTILINE)
    index = (ROOT / "book" / "index.md").read_text()
    assert label
    assert f"]({label[1]})" in index or f"{{ref}}`{label[1]}`" in index
    assert f"minutes.{Path(chapter).name}" in index


def test_minutes_are_counted_from_words_without_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    chapter = tmp_path / "chapter.md"
    head = "---\nkernelspec:\n  name: python3\n  display_name: " + "word " * 900 + "\n  language: python\n---\n\n"
    cell = "\n\n```{code-cell} ipython3\n" + "word " * 5000 + "\n```\n\n"
    chapter.write_text(head + "word " * 600 + cell + "word " * 400)
    assert import_module("ratereg_site").minutes(chapter) == 5
