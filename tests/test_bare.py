"""A machine with torch, numpy, pandas, tqdm, jaxtyping and safetensors only measures a published study."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src"

ABSENT = ["IPython", "PIL", "beartype", "dask", "distributed", "ipywidgets", "jupytext", "matplotlib", "nbformat"]
ABSENT += ["papermill", "scipy", "typer", "rich", "click", "psutil", "yaml"]

BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))
from ratereg.studies import campaign, catalog
small = catalog.CATALOG["plane"]["cpu"].replace(
    data=catalog.Data("tetrominoes", n_train=60, n_test=40), steps=3, betas=(1.0, 0.1), seeds=2
)
catalog.CATALOG = campaign.CATALOG = {{"plane": {{"cpu": small}}}}
runpy.run_module("ratereg", run_name="__main__", alter_sys=True)
"""


def test_a_bare_machine_puts_a_result_into_the_tree_and_into_one_small_archive(tmp_path: Path) -> None:
    tree, archive = tmp_path / "tree", tmp_path / "carried.tar.gz"
    shutil.copytree(SOURCES, tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree / "src"),
        "RATEREG_CACHE": str(tmp_path / "cache"),
    }
    environment |= {"OMP_NUM_THREADS": "1", "RATEREG_KERNEL": "0"}
    command = [sys.executable, "-c", BARE, "results", "plane", "--scale", "cpu", "--device", "cpu"]
    command += ["--minutes", "9", "--archive", str(archive)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = (tree / "results" / "plane").glob("*/provenance.json")
    with tarfile.open(archive) as tar:
        assert made.relative_to(tree).as_posix() in tar.getnames()
        assert max(entry.size for entry in tar) < 2_000_000
    assert archive.stat().st_size < 1_000_000
