"""A machine that has torch, numpy, pandas, tqdm, jaxtyping and safetensors alone measures what lacks a result."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src"

ABSENT = ["IPython", "PIL", "beartype", "dask", "distributed", "ipywidgets", "jupytext", "matplotlib", "nbformat"]
ABSENT += ["papermill", "scipy", "torchvision", "typer", "rich", "click", "psutil", "yaml"]

BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))
from ratereg.studies import campaign, catalog
from ratereg.studies.campaign import make_results
small = catalog.CATALOG["plane"]["cpu"].replace(
    data=catalog.Data("tetrominoes", n_train=60, n_test=40), steps=3, betas=(1.0, 0.1), seeds=2, latents=4
)
catalog.CATALOG = campaign.CATALOG = {{"plane": {{"cpu": small}}}}
from ratereg import cli
# Every call is over once it has a shard: the time has come to an end when its results are to be kept.
ended, keep = [], campaign.keep
campaign.keep = lambda *shard: (keep(*shard), ended.append(True))
def results(*names, **how):
    return make_results(*names, **how, clock=lambda: 1e9 if ended else 0.0)
cli.make_results = results
runpy.run_module("ratereg", run_name="__main__", alter_sys=True)
"""


def call(tree: Path, cache: Path, *arguments: str) -> str:
    """Run the command from the source tree, with another catalog and without the other packages."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree / "src"), "RATEREG_CACHE": str(cache)}
    environment |= {"OMP_NUM_THREADS": "1", "RATEREG_KERNEL": "0"}
    command = [sys.executable, "-c", BARE, "results", "plane", "--scale", "cpu", "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True, text=True).stdout


def test_calls_on_bare_machines_add_up_to_a_result_in_one_small_archive(tmp_path: Path) -> None:
    tree, archive = tmp_path / "tree", tmp_path / "carried.tar.gz"
    shutil.copytree(SOURCES, tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--minutes", "9", "--archive", str(archive), "--max-members", "2"]
    first = call(tree, tmp_path / "first", *options)
    assert "left: plane at scale cpu, 2 of 4 members" in first
    assert "run the same command again: python -m ratereg results plane" in first
    with tarfile.open(archive) as tar:
        assert {name.partition("/")[0] for name in tar.getnames()} == {"members"}
        assert len({name.split("/")[1] for name in tar.getnames()}) == 2
    second = call(tree, tmp_path / "second", *options)
    assert "2 members of unfinished studies" in second
    assert "Nothing is left." in second
    with tarfile.open(archive) as tar:
        (folder,) = {name.rpartition("/")[0] for name in tar.getnames()}
        assert max(entry.size for entry in tar) < 2_000_000
    assert folder.startswith("results/plane/")
    assert (tree / folder / "provenance.json").is_file()
    assert archive.stat().st_size < 1_000_000
    shutil.rmtree(tree / "results")
    assert f"plane: {tree / folder}" in call(tree, tmp_path / "home", "--archive", str(archive), "--unpack")
    assert (tree / folder / "provenance.json").is_file()
