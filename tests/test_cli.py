import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ratereg import CATALOG, cli
from ratereg.data import given
from ratereg.data.arrays import stored
from ratereg.storage import StorageError
from ratereg.studies.outlook import Left
from ratereg.training.interruption import Stopped


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def ratereg(typed: Callable[..., int]) -> Callable[..., int]:
    return typed


def test_studies_are_listed_with_their_scales(ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert ratereg("studies") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, scale] for name in CATALOG for scale in CATALOG[name]]


def test_run_trains_a_variant_and_keeps_it(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    command = ["run", "plane", "--scale", "cpu", "--set", "steps=3", "--set", "betas=1,0.1", "--set", "latents=4"]
    assert ratereg(*command, "--set", "seeds=1", "--device", "cpu") == 0
    shown = capsys.readouterr().out
    assert "step 3" in shown
    (kept,) = (path for path in (cache / "studies").iterdir() if path.is_dir())
    assert str(kept) in shown
    assert (kept / "provenance.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "plain"], "give one of 'capacity'"),
        (["run", "plane", "--scale", "tiny"], "scale is 'tiny'"),
        (["run", "plane", "--set", "step=3"], "no setting 'step'"),
        (["run", "plane", "--set", "steps"], "give NAME=VALUE"),
        (["run", "plane", "--set", "steps=many"], "steps is 'many'"),
        (["run", "plane", "--set", "network=3"], "cannot change 'network'"),
        (["run", "plane", "--set", "steps=3", "--device", "gpu"], "device is 'gpu', which is not here; give 'cpu'"),
        (["run", "plane", "--set", "steps=3", "--device", "cpu,gpu"], "device is 'gpu', which is not here"),
        (["run", "plane", "--set", "steps=3", "--max-members", "many"], "--max-members: invalid int value: 'many'"),
        (["run", "plane", "--set", "likelihood=3"], "likelihood is 3"),
        (["run", "plane", "--set", "precision=[1]"], "precision is [1]"),
        (["run", "plane", "--data", "fashion-mnist"], "--data is 'fashion-mnist'; give NAME=FILE"),
        (["run", "plane", "--data", "tetrominoes=x.npz"], "with the name fashion-mnist or mnist"),
        (["results", "plain"], "give one of 'capacity'"),
        (["results", "--unpack"], "give --archive FILE.tar.gz"),
        (["results", "--unpack", "--archive", "no.tar.gz"], "archive is 'no.tar.gz', which is not there"),
        (["results", "--minutes", "0"], "give a positive number"),
        (["data", "cifar"], "invalid choice: 'cifar'"),
        (["data", "mnist", "--output", "x.gz"], "give a file that ends in .npz"),
        (["rerun", "no.md"], "notebook is no.md, which is no file"),
        (["rum"], "invalid choice: 'rum'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_without_a_traceback(
    arguments: list[str],
    message: str,
    ratereg: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "read_known", lambda name: stored(name, np.zeros((2, 28, 28, 1), dtype=np.uint8)))
    assert ratereg(*arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert shown.splitlines()[-1].startswith("ratereg")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (StorageError("x can't be written: the disk is full. Free space there."), 2, "ratereg: x can't be written"),
        (MemoryError("max_members: too large; give at most 3."), 2, "ratereg: max_members: too large"),
        (ModuleNotFoundError("No module named 'papermill'", name="papermill"), 2, "'.[book]'"),
        (ModuleNotFoundError("No module named 'distributed'", name="distributed.client"), 2, "'.[cluster]'"),
        (Stopped(1200, 5000), 130, "stopped after step 1,200 of 5,000, and all is saved. To go on, run the same"),
        (KeyboardInterrupt(), 130, "The last checkpoints and all finished members are kept in"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_ends_a_run_is_said_in_one_line(
    error: BaseException,
    code: int,
    message: str,
    ratereg: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "load_or_run", fail)
    assert ratereg("run", "plane", "--set", "betas=1, 0.1") == code
    (shown,) = capsys.readouterr().err.splitlines()
    assert message in shown
    assert shown.endswith(": ratereg run plane --set 'betas=1, 0.1'") == (code == 130)


def test_options_reach_the_run(ratereg: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(cli, "load_or_run", lambda study, **how: asked.append({"study": study, **how}))
    monkeypatch.setattr(cli, "_report", lambda _: None)
    options = ["--scheduler", "tcp://here:1", "--device", "cuda:0,cuda:1", "--max-members", "3"]
    assert ratereg("run", "plane", "--scale", "cpu", *options, "--checkpoint-seconds", "9.5") == 0
    assert asked == [
        {
            "study": CATALOG["plane"]["cpu"],
            "scheduler": "tcp://here:1",
            "device": ["cuda:0", "cuda:1"],
            "max_members": 3,
            "checkpoint_seconds": 9.5,
        }
    ]


def test_results_are_asked_for_and_what_is_left_is_said(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def results(*which: object, **how: object) -> list[Left]:
        asked.extend([which, how["seconds"], how["archive"]])
        return [Left("capacity", "full", 120, 240, 840.0), Left("plane", "full", 30, 30, 360.0)]

    monkeypatch.setattr(cli, "make_results", results)
    assert ratereg("results", "capacity", "plane", "--scale", "full", "--minutes", "9", "--archive", "x.tar.gz") == 0
    assert asked == [(["capacity", "plane"], "full"), 540.0, Path("x.tar.gz")]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "left: capacity at scale full, 120 of 240 members, 14 minutes"
    assert "about 20 minutes in all" in lines[2]
    assert lines[2].endswith("ratereg results capacity plane --scale full --minutes 9 --archive x.tar.gz")
    monkeypatch.setattr(cli, "make_results", lambda *_, **__: [])
    assert ratereg("results") == 0
    assert capsys.readouterr().out == "Nothing is left.\n"


def test_given_data_are_known_to_the_run_and_to_its_processes(
    ratereg: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "make_results", lambda *_, **__: [])
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", "before")
    monkeypatch.chdir(tmp_path)
    assert ratereg("results", "--data", "fashion-mnist=there.npz") == 0
    assert os.environ[given.variable("fashion-mnist")] == str(tmp_path / "there.npz")


def test_without_a_command_the_commands_are_listed(
    ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ratereg() == 2
    shown = capsys.readouterr().out
    assert all(f"\n    {command} " in shown for command in ("studies", "run", "results", "data", "rerun", "report"))


@pytest.mark.parametrize("command", ["studies", "run", "results", "data", "rerun", "report"])
def test_help_shows_examples(command: str, ratereg: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert ratereg(command, "--help") == 0
    assert f"\nexamples:\n  ratereg {command}" in capsys.readouterr().out


def test_papermills_pairs_are_understood(ratereg: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("ratereg.rerun.rerun", lambda *arguments: asked.extend(arguments))
    assert ratereg("rerun", "-p", "steps", "200", "a.md", "-p", "betas=[1]", "-p", "shift", "-1", "-o", "b.ipynb") == 0
    assert asked == [Path("a.md"), {"steps": "200", "betas": "[1]", "shift": "-1"}, Path("b.ipynb")]
