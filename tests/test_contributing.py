"""Data, a prior, a study and a chapter are added to a copy of the tree, as CONTRIBUTING.md says it, to the letter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def section(title: str) -> str:
    return GUIDE.partition(f"\n### {title}\n")[2].partition("\n### ")[0]


def blocks(title: str, kind: str = "") -> list[str]:
    """The blocks of code under a heading; a block's fence is as long where it ends as where it begins."""
    return [
        block
        for _, language, block in re.findall(r"^(`{3,})(\w*)\n(.*?)^\1$", section(title), re.M | re.S)
        if language == kind
    ]


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has not one {old!r}"
    file.write_text(text.replace(old, new))


class Tree:
    """A copy of what the steps need, with its own cache."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("src", "results", "notebooks", "book", "tests"):
            ignored = shutil.ignore_patterns("__pycache__", "site", "_build")
            shutil.copytree(ROOT / name, root / name, ignore=ignored, symlinks=True)
        for name in ("pyproject.toml", "_toc.yml", "CITATION.cff"):
            shutil.copy2(ROOT / name, root / name)
        self.environment = os.environ | {"PYTHONPATH": str(root / "src"), "RATEREG_CACHE": str(root / "cache")}

    def run(self, line: str) -> str:
        """Run a command of the guide, and return what it says."""
        program, _, rest = line.partition(" ")
        modules = {"ratereg": "-m ratereg", "pytest": "-m pytest -p no:cacheprovider", "python": ""}
        command = f"{sys.executable} {modules[program]} {rest}"
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.root,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}"
        return done.stdout

    def lint(self) -> None:
        ruff = Path(sys.executable).with_name("ruff")
        for command in (["check"], ["format", "--check"]):
            subprocess.run([ruff, *command, "src"], cwd=self.root, check=True)


@pytest.fixture(scope="module")
def with_data(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("tree") / "ratereg")
    module, named = blocks("A data set", "python")
    (tree.root / "src/ratereg/data/disks.py").write_text(module)
    imported, made = filter(None, named.splitlines())
    sources = tree.root / "src/ratereg/data/sources.py"
    replace(sources, "from ratereg.data import splits, tetrominoes", imported)
    replace(sources, '_MADE = {"tetrominoes": tetrominoes.images}', made)
    return tree


@pytest.fixture(scope="module")
def with_study(with_data: Tree) -> Tree:
    (entry,) = blocks("A study", "python")
    replace(
        with_data.root / "src/ratereg/studies/catalog.py",
        '    {\n        "capacity": {',
        f'    {{\n{entry}        "capacity": {{',
    )
    return with_data


def test_a_data_set_is_added(with_data: Tree) -> None:
    (command,) = re.findall(r"^Look at it: `(python -c .*?)`\.", section("A data set"), re.MULTILINE)
    assert re.search(r"torch.Size\(\[\d+, 1, 16, 16\]\)", with_data.run(command))
    refused = "python -c \"import ratereg; ratereg.data.load('disk')\" 2>&1 || true"
    assert "did you mean 'disks'" in with_data.run(refused)
    with_data.lint()


def test_a_prior_is_added_trained_and_saved(with_data: Tree) -> None:
    module, exported, program = blocks("A prior", "python")
    priors = with_data.root / "src/ratereg/models/priors"
    (priors / "vamp.py").write_text(module)
    imported, names = filter(None, exported.splitlines())
    with_import = (priors / "__init__.py").read_text().replace("\n__all__", f"{imported}\n\n__all__", 1)
    (priors / "__init__.py").write_text(re.sub(r"^__all__ = .*", names, with_import, flags=re.MULTILINE))
    (with_data.root / "try_it.py").write_text(program)
    shown = with_data.run("python try_it.py")
    assert "vamp prior" in shown
    assert "NaN" not in shown
    assert "torch.Size([1, 5, 3, 32, 32])" in shown
    with_data.lint()


def test_a_study_is_added_run_reduced_and_measured(with_study: Tree) -> None:
    reduced, measured, listed = blocks("A study")[0].splitlines()
    assert "at step 100" in with_study.run(reduced)
    assert "Nothing is left." in with_study.run(measured)
    line = with_study.run(listed).splitlines()[0]
    assert re.match(r"disks +cpu +6 members, +300 steps   results/disks/\w+$", line)
    folder = with_study.root / line.split()[-1]
    assert max(file.stat().st_size for file in folder.iterdir()) < 2_000_000
    with_study.lint()


def test_a_chapter_is_added_rerun_and_checked(with_study: Tree) -> None:
    root = with_study.root
    (chapter,) = blocks("A chapter", "markdown")
    (check,) = blocks("A chapter", "python")
    reduced, place = blocks("A chapter", "yaml")
    (root / "notebooks/disks.md").write_text(chapter)
    replace(
        root / "tests/notebooks/test_notebooks.py",
        "\nOF_THEIR_NAME = (\n",
        f"\n{check}\n\nOF_THEIR_NAME = (\n    disks,\n",
    )
    with (root / "notebooks/reduced.yaml").open("a") as file:
        file.write(reduced)
    replace(root / "_toc.yml", "      - file: notebooks/tetrominoes\n", f"      - file: notebooks/tetrominoes\n{place}")
    following, mapped = blocks("A chapter", "text")
    before = root / "notebooks/tetrominoes.md"
    before.write_text(re.sub(r"^\*\*Next\.\*\* .*\n", lambda _: following, before.read_text(), flags=re.MULTILINE))
    with (root / "book/index.md").open("a") as file:
        file.write(f"\n{mapped}")
    rerun, test, build = blocks("A chapter")[0].splitlines()
    assert "written: reruns/disks" in with_study.run(rerun)
    assert "6 passed" in with_study.run(test)
    assert build == "make book"


def test_the_map_names_what_is_there_and_all_that_is_there() -> None:
    drawn = GUIDE.partition("\n## The map of the house\n")[2].partition("```\n")[2].partition("```")[0]
    command = ["git", "ls-files", "-z"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    top = {name.partition("/")[0] for name in tracked if name} - {".gitignore", "src"}
    assert [name for name in sorted(top) if not re.search(rf"(^|\s){re.escape(name)}(/|\s|$)", drawn)] == []
    firsts = [line.split()[0] for line in drawn.splitlines()]
    assert [name for name in firsts if not (ROOT / name).exists()] == []
