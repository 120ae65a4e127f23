"""The README is short, its example runs as it stands but for its size, and what it names is there."""

import ast
import re
from pathlib import Path

import pytest

import ratereg
from ratereg.rerun import parameters_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALLER = {
    'split="checkerboard"': 'split="checkerboard", n_train=200, n_test=150',
    "width=256": "width=16",
    "steps=2_000": "steps=4",
}


def test_the_example_trains_six_models_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    (code,) = EXAMPLES
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    results = names["results"]
    assert isinstance(results, ratereg.Results)
    assert results.final["member"].nunique() == 6
    shown = capsys.readouterr().out
    assert "mutual_information" in shown
    assert "marginal_kl" in shown
    assert "<svg" in Path("curves.svg").read_text()


def test_the_readme_is_short_and_what_it_names_is_there() -> None:
    assert len(README.splitlines()) < 85
    links = re.findall(r"\]\((?!https:)([^)]+)\)", README)
    assert "CONTRIBUTING.md" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []
    names = re.findall(r"`ratereg\.(evaluation|models)\.(\w+)`", README)
    assert names
    assert [name for module, name in names if name not in getattr(ratereg, module).__all__] == []


def test_the_commands_of_the_readme_are_targets_and_parameters_that_there_are() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert set(re.findall(r"\bmake (\w+)", README.partition("## Cite it")[0])) <= set(targets[1].split())
    ((notebook, options),) = re.findall(r'make rerun NOTEBOOK=(\S+) PARAMS="([^"]+)"', README)
    given = {name: ast.literal_eval(value) for name, value in re.findall(r"-p (\S+) (\S+)", options)}
    assert set(given) <= set(parameters_of(ROOT / notebook))


def test_the_paper_is_cited_as_in_the_book() -> None:
    fields = re.compile(r"^  (\w+) += (\{.*\}),?$", re.MULTILINE)
    (entry,) = re.findall(r"```bibtex\n@inproceedings\{bozkurt2021rate,\n(.*?)^\}", README, re.DOTALL | re.MULTILINE)
    book = (ROOT / "book" / "references.bib").read_text().partition("@inproceedings{bozkurt2021rate,\n")[2]
    assert dict(fields.findall(entry)).items() <= dict(fields.findall(book.partition("\n}\n")[0])).items()
