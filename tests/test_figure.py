"""The README's figure is the one that the committed results give now."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "book" / "_static" / "figure.svg"
SCRIPT = runpy.run_path(str(ROOT / "book" / "readme_figure.py"))
NUMBER = re.compile(r"-?\d+\.?\d*")


def drawn(svg: str) -> str:
    """The drawing alone: names of parts are digests of numbers, and processors may differ in a number's last digits."""
    return re.sub(r'(id="|#)\w+', r"\1", svg.partition("</metadata>")[2])


def test_the_figure_in_the_readme_is_that_of_the_committed_result(tmp_path: Path) -> None:
    SCRIPT["write"](tmp_path / "figure.svg")
    now, committed = (drawn(path.read_text()) for path in (tmp_path / "figure.svg", COMMITTED))
    hint = "draw it again: make figure"
    assert NUMBER.sub("", now) == NUMBER.sub("", committed), hint
    assert [float(x) for x in NUMBER.findall(now)] == pytest.approx(
        [float(x) for x in NUMBER.findall(committed)], abs=0.02
    ), hint


def test_the_figure_names_the_result_that_it_was_made_from() -> None:
    _, facts = SCRIPT["draw"]()
    metadata = COMMITTED.read_text().partition("</metadata>")[0]
    assert f"<dc:source>{facts['Source']}</dc:source>" in metadata
    assert f"<dc:identifier>{facts['Identifier']}</dc:identifier>" in metadata
    assert (ROOT / str(facts["Source"]) / "table.csv").is_file()


def test_the_figure_is_small_and_shown_with_words() -> None:
    assert COMMITTED.stat().st_size < 250_000
    shown = re.search(r"!\[([^\]]+)\]\(book/_static/figure\.svg\)", (ROOT / "README.md").read_text())
    assert shown
    assert len(shown[1].split()) > 10
