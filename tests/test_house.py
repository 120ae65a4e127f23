"""What is said in several files is said alike, and the package's floors are kept."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in REQUIREMENTS}
ENVIRONMENT: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())


def test_torch_is_asked_for_first_and_every_version_is_exact() -> None:
    assert REQUIREMENTS[0].startswith("torch==")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in REQUIREMENTS)


def test_conda_gets_the_same_versions() -> None:
    python, _, pip = ENVIRONMENT["dependencies"]
    assert pip["pip"] == [*REQUIREMENTS, "--editable ."]
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("extra", ["", "book", "test"])
def test_the_exact_versions_are_among_those_that_the_package_allows(extra: str) -> None:
    extras = PROJECT["optional-dependencies"]
    for line in extras[extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(line)
        if requirement.name != PROJECT["name"]:
            assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_the_environment_is_that_of_the_exact_versions() -> None:
    for name, version in PINS.items():
        assert metadata.version(name).split("+")[0] == version, name


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert metadata.version("ratereg") == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert json.loads((ROOT / "package.json").read_text())["version"] == version
    newest = re.search(r"^## \[(.*)\]( - \d{4}-\d{2}-\d{2})?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == ("Unreleased" if newest[2] is None else version)


def test_the_lock_file_has_a_hash_for_each_script_package_and_names_no_host() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    root = packages.pop("")
    assert root["dependencies"] == json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in root["dependencies"].values())
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_the_hooks_before_a_commit_have_the_same_versions() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    asked = dict(pin.split("==") for hook in hooks for pin in hook.get("additional_dependencies", []))
    pinned = {name: version for name, version in asked.items() if canonicalize_name(name) in PINS}
    assert pinned.keys() == {"ruff", "codespell", "interrogate"}
    assert pinned == {name: PINS[name] for name in pinned}
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        # Both run the same tools with the same arguments, but that a hook mends what it can.
        if {tool := hook["entry"].split()[0].removeprefix(".venv/bin/")} & {*pinned, "mypy"}:
            command = hook["entry"].removeprefix(".venv/bin/").replace(" --fix", "").replace(" --force-exclude", "")
            assert re.search(rf"^\t\$\(BIN\)/{re.escape(command)}\b", makefile, re.MULTILINE), tool


@pytest.mark.parametrize("link", ["_config.yml", "_toc.yml", "notebooks"])
def test_the_book_links_to_the_top(link: str) -> None:
    assert (ROOT / "book" / link).readlink() == Path("..", link)


def test_make_help_has_a_line_for_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[0] for line in listed.splitlines()] == targets[1].split()


FLOORS = ["data", "models", "training", "evaluation", "studies"]
MAY_IMPORT = {
    "data": {"data"},
    "models": {"models"},
    "training": {"data", "models", "training"},
    "evaluation": {"data", "models", "evaluation"},
    "studies": set(FLOORS),
    # On top, and the one room there that trains.
    "live": {*FLOORS, "plots", "widgets", "live"},
}


def imports_of(floor: str) -> Iterator[tuple[Path, str]]:
    for path in (ROOT / "src" / "ratereg" / floor).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: write the module's whole name"
                names = [node.module or ""] if node.module != "ratereg" else [f"ratereg.{x.name}" for x in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            yield from ((path, name) for name in names if name.split(".")[0] == "ratereg")


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_imports_go_down_only(floor: str) -> None:
    for path, name in imports_of(floor):
        assert name.split(".")[1] in {"native", "storage", *MAY_IMPORT[floor]}, f"{path.name} imports {name}"


def test_the_package_needs_neither_jupyter_nor_plots_until_they_are_used() -> None:
    absent = ["IPython", "ipywidgets", "jupytext", "matplotlib", "nbformat", "papermill", "scipy"]
    absent += ["torchvision", "distributed"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import ratereg, ratereg.rerun; ratereg.Study"
    subprocess.run([sys.executable, "-c", code], check=True)
