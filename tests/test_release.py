"""A release is complete: its tag is checked, and the installed wheel has the published results."""

import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RELEASE = runpy.run_path(str(ROOT / ".ci" / "release.py"))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the files of a release from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    return folder


def test_an_installed_wheel_has_the_command_the_package_and_all_published_results(dist: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"ratereg"}
    (entry_points,) = installed.glob("ratereg-*.dist-info/entry_points.txt")
    assert "ratereg = ratereg.cli:main" in entry_points.read_text()
    for file in ROOT.glob("results/**/*.*"):
        assert (installed / "ratereg" / "published_results" / file.relative_to(ROOT / "results")).is_file()
    for file in ROOT.glob("src/ratereg/**/*[!c].*[!c]"):
        assert (installed / file.relative_to(ROOT / "src")).is_file()
    environment = os.environ | {"PYTHONPATH": str(installed), "RATEREG_CACHE": str(tmp_path)}
    code = f"import ratereg; assert ratereg.__file__.startswith({str(installed)!r}), ratereg.__file__"
    for program in (["-c", code], ["-c", RELEASE["TRY"]]):
        subprocess.run([sys.executable, *program], cwd=tmp_path, env=environment, check=True)
    command = [sys.executable, "-m", "ratereg", "studies"]
    listed = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    committed = [place.parent.relative_to(ROOT / "results") for place in ROOT.glob("results/*/*/provenance.json")]
    assert sorted(re.findall(r"published_results/(\S+/\w+)", listed)) == sorted(map(str, committed))


def test_the_source_archive_has_what_the_wheel_is_built_from(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    command = ["git", "ls-files", "src", "results"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {*tracked, "pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md"} <= names
    assert [name for name in names if name.startswith((".venv", "node_modules", "book/_build"))] == []


def test_a_tag_is_that_of_the_tree_and_the_changelog_has_its_date(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n")
    assert RELEASE["check"]("v1.2.3", tmp_path) == "1.2.3"
    for tag in ("1.2.3", "v1.2.4", "v1.2.3rc1"):
        with pytest.raises(SystemExit, match=r"tag v1\.2\.3 instead"):
            RELEASE["check"](tag, tmp_path)
    changelog.write_text("# Changelog\n\n## [1.2.3] - unreleased\n\n## [1x2.3] - 2026-01-31\n")
    with pytest.raises(SystemExit, match="give the version its date"):
        RELEASE["check"]("v1.2.3", tmp_path)


def test_the_index_gets_a_readme_whose_links_lead_back() -> None:
    readme = (ROOT / "README.md").read_text()
    whole = RELEASE["with_whole_addresses"](readme, "https://example.org/us/it", "v1.2.3")
    assert "](https://example.org/us/it/raw/v1.2.3/book/_static/figure.svg)" in whole
    assert "](https://example.org/us/it/blob/v1.2.3/CONTRIBUTING.md)" in whole
    assert "](https://arxiv.org/abs/" in whole
    assert re.findall(r"\]\((?!https:)", whole) == []
