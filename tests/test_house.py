"""Facts that several files state agree, imports go down only, and nothing names a machine."""

import ast
import json
import os
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
PACKAGE = ROOT / "src" / "ratereg"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in REQUIREMENTS}


def test_conda_gets_the_exact_versions_of_pip_with_torch_first() -> None:
    python, _, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert pip["pip"] == [*REQUIREMENTS, "--editable ."]
    assert python.removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])
    assert REQUIREMENTS[0].startswith("torch==")


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]])
def test_the_exact_versions_are_installed_and_allowed(line: str) -> None:
    requirement = Requirement(line)
    if requirement.name != PROJECT["name"]:
        version = PINS[canonicalize_name(requirement.name)]
        assert version in requirement.specifier
        assert metadata.version(requirement.name).split("+")[0] == version


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_a_dependency_has_a_lowest_version_which_ci_can_install(line: str) -> None:
    assert [specifier.operator for specifier in Requirement(line).specifier] == [">="]


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert metadata.version("ratereg") == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert json.loads((ROOT / "package.json").read_text())["version"] == version
    assert f"version = {{{version}}}" in (ROOT / "book" / "cite.md").read_text()


def test_the_lock_file_has_a_hash_for_each_package_and_names_no_host() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_hooks_before_a_commit_use_the_exact_versions() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    asked = dict(pin.split("==") for hook in hooks for pin in hook.get("additional_dependencies", []))
    assert {name: version for name, version in asked.items() if PINS.get(name, version) != version} == {}
    assert {"ruff", "codespell", "interrogate"} <= asked.keys() & PINS.keys()


@pytest.mark.parametrize("link", ["_config.yml", "_toc.yml", "notebooks"])
def test_the_book_links_to_the_top(link: str) -> None:
    assert (ROOT / "book" / link).readlink() == Path("..", link)


def test_workflows_run_targets_and_scripts_that_exist_and_may_only_read_by_default() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(file.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
        commands = "\n".join(step["run"] for step in steps if "run" in step)
        assert set(re.findall(r"^make (\w+)", commands, re.MULTILINE)) <= targets
        for path in re.findall(r"(?<!\S)(?:tests|\.ci)/[\w./]+", commands):
            assert (ROOT / path).exists(), f"{file.name} names {path}"
        assert all(os.access(ROOT / path, os.X_OK) for path in re.findall(r"^\.ci/\w+", commands, re.MULTILINE))


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    folder = re.compile(r"(?<![\w.])/(?:root|work|Users/\w+|home/(?!me\b)\w+)/")
    found = []
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in (".npz", ".safetensors", ".csv") and path != Path(__file__):
            found += [(name, match[0]) for match in folder.finditer(path.read_text(errors="replace"))]
    assert found == []


BOTTOM = {"native", "storage"}
RESULTS = BOTTOM | {"studies", "summary", "claims", "plots", "widgets"}
FLOORS = {
    "native": BOTTOM,
    "storage": BOTTOM,
    "data": BOTTOM,
    "models": BOTTOM,
    "training": BOTTOM | {"data", "models"},
    "evaluation": BOTTOM | {"data", "models"},
    "measurements": BOTTOM | {"data", "models", "evaluation"},
    "studies": BOTTOM | {"data", "models", "training", "evaluation", "measurements"},
    # Pictures and sentences are made of results. Claims ask which measurements a study has, and a widget computes
    # densities.
    "summary": RESULTS,
    "claims": RESULTS | {"measurements"},
    "plots": RESULTS,
    "widgets": RESULTS | {"evaluation"},
    # The rooms on top know every floor, and each other only as listed.
    "live": {*RESULTS, "data", "models", "training", "evaluation", "measurements"},
    "report": {*RESULTS, "data", "models", "training", "evaluation", "measurements", "reproduce", "rerun"},
    "rerun": RESULTS,
}


def imports_of(floor: str) -> Iterator[tuple[str, str]]:
    """Yield the files of a floor, each with a module of the package that it imports."""
    module = PACKAGE / f"{floor}.py"
    for path in [module] if module.is_file() else sorted((PACKAGE / floor).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: write the module's whole name"
                inside = node.module == "ratereg"
                names = [f"ratereg.{alias.name}" for alias in node.names] if inside else [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            yield from ((path.name, name) for name in names if name.split(".")[0] == "ratereg")


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_go_down_only(floor: str) -> None:
    found = list(imports_of(floor))
    assert [(file, name) for file, name in found if f"{name}.".split(".")[1] not in {floor, *FLOORS[floor]}] == []


def test_every_room_has_its_floor() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= FLOORS.keys()


def test_the_package_imports_neither_jupyter_nor_plots_before_they_are_used() -> None:
    absent = ["IPython", "distributed", "ipywidgets", "jupytext", "matplotlib", "nbformat", "papermill", "scipy"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import ratereg, ratereg.rerun; ratereg.Study"
    subprocess.run([sys.executable, "-c", code], check=True)
