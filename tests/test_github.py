"""The workflows ask for little, end in time, and run what there is; the forms are complete."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(set(GITHUB.glob("ISSUE_TEMPLATE/*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"})
# What a job may have beyond reading: the site is deployed, the branch of executed notebooks is written, and the package
# index is told who asks.
WRITES = {
    ("pages", "deploy"): {"pages", "id-token"},
    ("pages", "notebooks"): {"contents"},
    ("release", "publish"): {"id-token"},
}


def read(file: Path) -> dict[str, Any]:
    # YAML 1.1 takes the key "on" for true.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(file.read_text()).items()}


each_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


@each_workflow
def test_a_workflow_may_read_alone_but_where_it_must_write(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        writes = {what for what, how in job.get("permissions", {}).items() if how == "write"}
        assert writes == WRITES.get((file.stem, name), set())
    assert "secrets." not in file.read_text()


@each_workflow
def test_a_workflow_ends_in_time_and_knows_of_others_of_its_kind(file: Path) -> None:
    workflow = read(file)
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert "uses" in job or 0 < job["timeout-minutes"] <= 90, name
        for step in job.get("steps", []):
            assert ("uses" in step) != ("run" in step), step


@each_workflow
def test_a_workflow_uses_versions_and_runs_what_there_is(file: Path) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    jobs = read(file)["jobs"].values()
    used = [part["uses"] for job in jobs for part in (job, *job.get("steps", [])) if "uses" in part]
    for one in used:
        if one.startswith("./"):
            assert "workflow_call" in read(ROOT / one)["on"]
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+|[0-9a-f]{40})", one), one
    commands = "\n".join(step["run"] for job in jobs for step in job.get("steps", []) if "run" in step)
    # Packages that are installed are no targets.
    assert set(re.findall(r"^make (\w+)", commands, re.MULTILINE)) <= set(targets[1].split())
    scripts = re.findall(r"\.ci/[\w.]+", commands)
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
    assert all(os.access(ROOT / script, os.X_OK) for script in re.findall(r"^\.ci/[\w.]+", commands, re.MULTILINE))
    for job in jobs:
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= read(file)["jobs"].keys()


def test_tests_run_on_linux_and_on_macos_and_before_a_release() -> None:
    jobs = read(GITHUB / "workflows/ci.yml")["jobs"]
    assert {job["runs-on"].partition("-")[0] for job in jobs.values()} == {"ubuntu", "macos"}
    assert all(job["steps"][-1] == {"run": ".ci/run"} for job in jobs.values())
    release = read(GITHUB / "workflows/release.yml")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    assert release["jobs"]["tests"]["uses"] == "./.github/workflows/ci.yml"
    assert set(release["jobs"]["publish"]["needs"]) == {"tests", "build"}


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_a_form_says_what_it_is_for_and_asks(file: Path) -> None:
    form = read(file)
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked) > 0
    assert all(part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_dependencies_of_every_kind_are_watched_and_torch_is_raised_by_hand() -> None:
    updates = {one["package-ecosystem"]: one for one in read(GITHUB / "dependabot.yml")["updates"]}
    assert updates.keys() == {"pip", "npm", "github-actions"}
    by_hand = {one["dependency-name"] for one in updates["pip"]["ignore"]}
    assert {"torch", "torchvision", "jupyter-book"} <= by_hand
