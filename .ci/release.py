"""Makes a release's files: `python .ci/release.py v1.2.3` checks the tag, builds dist/ and tries the wheel.

It needs git, the standard library, and pip for what the build needs. Nothing is uploaded.
"""

import argparse
import os
import re
import subprocess
import tarfile
import tempfile
import tomllib
import venv
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TRY = """
import ratereg
from ratereg.studies.results import published_directory
assert published_directory().name == "published_results", published_directory()
results = ratereg.load_or_run(ratereg.published("capacity"))
print(f"installed, with {len(results.table):,} rows of {results.source}")
"""


def check(tag: str, root: Path = ROOT) -> str:
    """Return the version of the tree if the tag is v and that, and the changelog has it with its date.

    Raises:
        SystemExit: the tag, the version and the changelog do not agree.
    """
    version = str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
    if tag != f"v{version}":
        raise SystemExit(f"The tag is {tag!r}, and pyproject.toml has version {version!r}; tag v{version} instead.")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}$"
    if not re.search(heading, (root / "CHANGELOG.md").read_text(), re.MULTILINE):
        raise SystemExit(f"CHANGELOG.md has no line '## [{version}] - YYYY-MM-DD'; give the version its date.")
    return version


def with_whole_addresses(readme: str, repository: str, tag: str) -> str:
    """Return the README with links into the repository written out, as the package index shows it elsewhere."""
    readme = re.sub(r"(!\[[^\]]*\]\()(?!https?:)", rf"\g<1>{repository}/raw/{tag}/", readme)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:)", rf"\g<1>{repository}/blob/{tag}/", readme)


def build(tag: str) -> None:
    """Build dist/ from what is committed, and try the wheel in an environment of its own."""
    check(tag)
    pins = re.findall(r"^hatchling==\S+$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(tree, filter="data")
        if repository := os.environ.get("GITHUB_REPOSITORY"):
            readme = tree / "README.md"
            address = f"{os.environ['GITHUB_SERVER_URL']}/{repository}"
            readme.write_text(with_whole_addresses(readme.read_text(), address, tag))
        builder = _environment(Path(folder, "builder"))
        subprocess.run([builder, "-m", "pip", "install", "--quiet", *pins], check=True)
        subprocess.run([builder, "-m", "hatchling", "build", "-d", str(ROOT / "dist")], cwd=tree, check=True)
        user = _environment(Path(folder, "user"))
        (wheel,) = (ROOT / "dist").glob(f"ratereg-{tag[1:]}-*.whl")
        subprocess.run([user, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
        subprocess.run([user, "-c", TRY], cwd=folder, check=True)
        subprocess.run([user, "-m", "ratereg", "studies"], cwd=folder, check=True)


def _environment(place: Path) -> str:
    """Make a virtual environment, and return its Python."""
    venv.create(place, with_pip=True)
    return str(place / "bin" / "python")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tag", help="v and the version, as in pyproject.toml")
    build(parser.parse_args().tag)
