"""The book's text keeps its promises: questions, closings, one notation, numbered equations, references."""

import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file

ROOT = Path(__file__).parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
FILES = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
CHAPTERS = [file for file in FILES if file.startswith("notebooks/")]
PAGES = [TOC["root"], *FILES]
CELL = re.compile(r"^(`{3,})\{code-cell\}.*?^\1$", re.DOTALL | re.MULTILINE)
DISPLAYED = re.compile(r"^\$\$\n(.*?)^\$\$([^\n]*)$", re.DOTALL | re.MULTILINE)


def page(file: str) -> str:
    return (ROOT / "book" / f"{file}.md").read_text()


def prose(file: str) -> str:
    """Return the text of a page without its head and its code."""
    return CELL.sub("", re.sub(r"\A---\n.*?^---\n", "", page(file), flags=re.DOTALL | re.MULTILINE))


def label(file: str) -> str:
    """Return the name by which other pages link to a page."""
    found = re.search(r"^\(([\w-]+)\)=\n# ", page(file), re.MULTILINE)
    assert found, f"{file} has no label"
    return found[1]


EVERYTHING = "\n".join(map(page, PAGES))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_opens_with_its_question_and_links_to_the_notation(chapter: str) -> None:
    _, _, opening = prose(chapter).partition("\n# ")
    title, question, expectation, symbols, *_ = (part.strip() for part in opening.split("\n\n"))
    assert title
    assert question.startswith("**The question.**")
    assert "?" in question
    assert expectation.startswith("**What to expect.**")
    assert symbols == "Symbols are those of [the notation](notation)."


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_closes_with_what_it_shows_and_what_it_does_not(chapter: str) -> None:
    headings = re.findall(r"^## (.*)$", prose(chapter), re.MULTILINE)
    shown, not_shown = headings.index("What it shows"), headings.index("What it does not show")
    assert shown < not_shown
    # Only a text about the paper, and things to try, may come between and after.
    assert set(headings[shown:]) <= {"What it shows", "What the paper says", "What it does not show", "Things to try"}


@pytest.mark.parametrize(("chapter", "following"), list(zip(CHAPTERS, [*CHAPTERS[1:], None], strict=True)))
def test_a_chapter_ends_with_what_the_next_one_asks(chapter: str, following: str | None) -> None:
    last = prose(chapter).strip().split("\n\n")[-1]
    assert last.startswith("**Next.**")
    if following:
        name = label(following)
        assert f"]({name})" in last or f"{{ref}}`{name}`" in last, f"{chapter} should lead on to {following}"


@pytest.mark.parametrize("file", PAGES)
def test_every_displayed_equation_has_a_name_and_is_referred_to(file: str) -> None:
    for body, tail in DISPLAYED.findall(prose(file)):
        name = re.fullmatch(r" \((eq-[\w-]+)\)", tail)
        assert name, f"the equation {body.strip()[:60]!r} has no name"
        assert f"{{eq}}`{name[1]}`" in EVERYTHING, f"nothing refers to {name[1]}"


def test_chapters_are_numbered_so_that_a_number_of_an_equation_belongs_to_one_chapter() -> None:
    for part in TOC["parts"]:
        has_chapters = any(chapter["file"] in CHAPTERS for chapter in part["chapters"])
        assert bool(part.get("numbered")) == has_chapters, part["caption"]


def test_no_two_equations_or_figures_have_one_name() -> None:
    names = re.findall(r"^\$\$ \((eq-[\w-]+)\)$|^\s+name: (fig-[\w-]+)$", EVERYTHING, re.MULTILINE)
    assert not [name for name, count in Counter(map("".join, names)).items() if count > 1]


@pytest.mark.parametrize("file", [TOC["root"], *CHAPTERS])
def test_every_named_figure_is_referred_to_on_its_page(file: str) -> None:
    for name in re.findall(r"^\s+name: (fig-[\w-]+)$", page(file), re.MULTILINE):
        assert f"{{numref}}`{name}`" in page(file), f"{file} does not refer to {name}"


# --- the notation

# What a formula has besides its symbols: layout, relations and operators.
LAYOUT = """
aligned approx bar begin big Big bigg Bigg cap cdot cos dot dots end exp det frac ge geq hat in infty int le left ll log
mathbb mathbf mathcal mathit mathrm max mid min ne overline pm pmatrix prod qquad quad right sim sin sqrt sum text
textstyle tfrac tilde times to top underbrace Vert widehat
"""
COMMANDS = set(LAYOUT.split())
NO_SYMBOLS = {"e", "d", "Pr", "diag", "tr", "area", "Uniform"}


def atoms(formula: str) -> set[str]:
    """Return the letters, named letters and words of a formula: `D`, `\\beta`, `ELBO`."""
    formula = re.sub(r"\\(?:begin|end)\{[^}]*\}", " ", formula)
    formula = re.sub(r"\\text\{[^}]*\}|_\\text\{[^}]*\}", " ", formula)
    words = set(re.findall(r"\\(?:mathrm|mathit|mathcal|mathbb|mathbf)\{([^}]*)\}", formula))
    formula = re.sub(r"\\(?:mathrm|mathit|mathcal|mathbb|mathbf)\{[^}]*\}", " ", formula)
    commands = {f"\\{name}" for name in re.findall(r"\\([A-Za-z]+)", formula) if name not in COMMANDS}
    letters = set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", formula)))
    return words | commands | letters


def formulas(file: str) -> list[str]:
    """Return all formulas of a page."""
    text = re.sub(r"(`+)[^`]+\1", "", prose(file))
    return [body for body, _ in DISPLAYED.findall(text)] + re.findall(r"\$([^$]+)\$", DISPLAYED.sub("", text))


ROWS = re.findall(r"^\| \$(.+?)\$ \| (.+?) \|(.*?)\| (.+) \|$", page("notation"), re.MULTILINE)
LISTED = set().union(*(atoms(formula) for formula in formulas("notation")))


def test_a_symbol_is_listed_once_and_says_where_it_is_defined() -> None:
    assert len(ROWS) > 80
    assert not [symbol for symbol, count in Counter(row[0] for row in ROWS).items() if count > 1]
    for symbol, meaning, _, place in ROWS:
        assert meaning.strip(), symbol
        assert re.search(r"\{eq\}`eq-[\w-]+`|\]\([\w-]+\)", place), f"{symbol} does not say where it is defined"


@pytest.mark.parametrize("symbol", [row[0] for row in ROWS])
def test_a_listed_symbol_is_used_in_some_chapter(symbol: str) -> None:
    wanted = symbol.replace("(\\cdot \\Vert \\cdot)", "").replace("(\\cdot)", "(")
    used = " ".join(formula for chapter in CHAPTERS for formula in formulas(chapter))

    def bare(text: str) -> str:
        # A table's cells cannot hold the bars that formulas have.
        return re.sub(r"\\(?:big|Big|bigg|Bigg)(?=[^a-z])|\\[,;! ]|\s", "", text).replace(r"\Vert", r"\|")

    assert bare(wanted) in bare(used)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapters_symbols_are_on_the_page_of_the_notation(chapter: str) -> None:
    used = set().union(*(atoms(formula) for formula in formulas(chapter)))
    assert used <= LISTED | NO_SYMBOLS, f"not on the page: {sorted(used - LISTED - NO_SYMBOLS)}"


# --- the references

REFERENCES = parse_file(ROOT / "book" / "references.bib").entries
CITED = {key for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", EVERYTHING) for key in re.split(r",\s*", keys)}


def test_every_reference_can_be_looked_up_and_is_cited() -> None:
    for key, entry in REFERENCES.items():
        assert set(entry.fields) & {"doi", "eprint", "url"}, f"{key} has no DOI, arXiv identifier or address"
        assert re.fullmatch(r"\d{4}\.\d{4,5}|[\w.-]+/\d{7}", entry.fields.get("eprint", "0000.0000")), key
        assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields.get("doi", "10.0000/0")), key
        assert key in CITED, f"{key} is cited nowhere"
    assert set(REFERENCES) >= CITED


def test_the_page_on_citing_has_the_facts_of_the_citation_file() -> None:
    facts, cited = yaml.safe_load((ROOT / "CITATION.cff").read_text()), page("cite")
    assert f"title   = {{{facts['title']}}}" in cited
    assert f"version = {{{facts['version']}}}" in cited
    (paper,) = facts["references"]
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in re.sub(r"\s+", " ", cited)
    assert re.sub(r"\s+", " ", paper["collection-title"]) in re.sub(r"\s+", " ", cited)
    for value in (paper["title"], paper["url"], f"{paper['start']}--{paper['end']}", str(paper["volume"])):
        assert f"{{{value}}}" in cited
        assert value in REFERENCES["bozkurt2021rate"].fields.values()


# --- the glossary

TERMS = re.findall(r"^(\S.*)$", page("glossary").split("```{glossary}\n")[1].split("```")[0], re.MULTILINE)


def test_terms_are_in_order_and_every_word_that_is_linked_is_explained() -> None:
    assert sorted(TERMS, key=str.lower) == TERMS
    linked = re.findall(r"\{term\}`(?:[^`<]*<)?([^`<>]+?)>?`", EVERYTHING)
    assert {name.strip().lower() for name in linked} <= {term.lower() for term in TERMS}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_links_words_to_the_glossary(chapter: str) -> None:
    assert "{term}`" in prose(chapter)


# --- how long it takes


def test_minutes_are_counted_from_words_without_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    minutes_of = import_module("reading_time").minutes_of
    chapter = tmp_path / "chapter.md"
    cell = "```{code-cell} ipython3\n" + "word " * 5000 + "\n```\n"
    chapter.write_text(
        "---\nkernel: " + "word " * 900 + "\n---\n\n" + "word " * 600 + "\n\n" + cell + "\n" + "word " * 400
    )
    assert minutes_of(chapter) == 5


def test_the_readers_map_leads_to_every_chapter() -> None:
    index = page(TOC["root"])
    for chapter in CHAPTERS:
        name = label(chapter)
        assert f"]({name})" in index or f"{{ref}}`{name}`" in index, f"the index does not lead to {chapter}"
        assert f"minutes.{Path(chapter).name}" in index
