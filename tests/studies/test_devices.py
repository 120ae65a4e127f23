"""Shards on several devices of one machine, of which the CPU stands for each."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from ratereg.studies import MLP, Data, Results, Study
from ratereg.studies.devices import on_devices
from ratereg.studies.shard import Shard, run_shard
from ratereg.training.interruption import Stopped

STUDY = Study(
    Data("tetrominoes", n_train=200, n_test=100),
    MLP(1, 16, 2),
    betas=[1.0, 0.1],
    seeds=3,
    steps=60,
    batch_size=16,
    trajectory_images=32,
    queries=16,
    final_queries=64,
    precision="float32",
)
TWO = [torch.device("cpu")] * 2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def shards(study: Study) -> list[Shard]:
    return [Shard(study, tuple(one for one in study.members if one.seed == seed)) for seed in study.axis_seeds]


def alone(shard: Shard) -> Results:
    torch.set_num_threads(1)
    try:
        return run_shard(shard, TWO[0], checkpoint_seconds=1e9, report=lambda steps: None, stop=lambda: False)
    finally:
        torch.set_num_threads(2)


def test_a_stopped_run_is_saved_goes_on_and_ends_with_the_numbers_of_one_process(cache: Path) -> None:
    made = [0, 0]

    def count(steps: int) -> None:
        made[0] += steps

    with pytest.raises(Stopped, match="of 60, and saved"):
        list(on_devices(shards(STUDY), TWO, checkpoint_seconds=1e9, report=count, stop=lambda: made[0] > 0))
    assert not multiprocessing.active_children()
    assert list(cache.rglob("checkpoint"))

    def count_again(steps: int) -> None:
        made[1] += steps

    done = dict(on_devices(shards(STUDY), TWO, checkpoint_seconds=1e9, report=count_again, stop=lambda: False))
    assert not multiprocessing.active_children()
    assert made[1] == len(STUDY) * STUDY.steps
    assert sorted(shard.digest for shard in done) == sorted(shard.digest for shard in shards(STUDY))
    for shard, results in done.items():
        assert results.provenance["threads"] == 1
        pd.testing.assert_frame_equal(results.table, alone(shard).table, check_exact=True)


def test_what_a_shard_raises_comes_by_its_message(tmp_path: Path) -> None:
    missing = STUDY.replace(data=Data(str(tmp_path / "missing.npy")))
    with pytest.raises(FileNotFoundError, match=r"missing\.npy") as raised:
        list(on_devices(shards(missing), TWO, checkpoint_seconds=1e9, report=lambda steps: None, stop=lambda: False))
    assert raised.value.__notes__ == ["It was raised in the process of cpu, by missing.npy default, 1 x 16."]
    assert not multiprocessing.active_children()


def test_a_killed_process_is_told_and_the_others_are_saved(cache: Path) -> None:
    killed: list[int] = []

    def kill(steps: int) -> None:
        if not killed and len(list(cache.rglob("checkpoint"))) == 2:
            child = multiprocessing.active_children()[0]
            assert child.pid
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)

    long = shards(STUDY.replace(steps=10**6))[:2]
    with pytest.raises(RuntimeError, match=r"cpu was killed by SIGKILL during tetrominoes.* goes on there"):
        list(on_devices(long, TWO, checkpoint_seconds=0, report=kill, stop=lambda: False))
    assert killed
    assert not multiprocessing.active_children()
    assert len(list(cache.rglob("checkpoint"))) == 2


def test_no_device_is_refused_and_no_shard_is_no_work() -> None:
    def run(shards: list[Shard], devices: list[torch.device]) -> list[tuple[Shard, Results]]:
        return list(on_devices(shards, devices, checkpoint_seconds=1, report=lambda steps: None, stop=lambda: False))

    with pytest.raises(ValueError, match="devices is empty"):
        run(shards(STUDY), [])
    assert run([], TWO) == []


PROGRAM = """
import sys, torch
from ratereg.studies import Study
from ratereg.studies.devices import on_devices
from ratereg.studies.shard import Shard
from ratereg.training.interruption import Stopped, interruptible
study = Study.from_settings(SETTINGS)
shards = [Shard(study, tuple(one for one in study.members if one.seed == seed)) for seed in (0, 1)]
report = lambda steps: print(steps, flush=True)
with interruptible() as interrupted:
    try:
        list(on_devices(shards, [torch.device("cpu")] * 2, checkpoint_seconds=1e9, report=report, stop=interrupted))
    except Stopped as error:
        print(error)
"""


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_no_process_outlives_its_parent_and_each_saves_before_it_ends(cache: Path, how: str) -> None:
    settings = STUDY.replace(steps=10**6, seeds=2).settings
    program = PROGRAM.replace("SETTINGS", repr(settings))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout
        assert parent.stderr
        made = [int(parent.stdout.readline())]
        # Until both have begun, which the second one's steps beside the first one's do not tell.
        while len(children := training(parent.pid)) < 2:
            made.append(int(parent.stdout.readline()))
        assert not list(cache.rglob("checkpoint"))
        if how == "killed":
            parent.kill()
        else:
            # As a terminal does at Ctrl-C, to all of the group.
            os.killpg(parent.pid, signal.SIGINT)
        gone, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
        assert len(gone) == 2
        said, complaints = parent.communicate(timeout=30)
    if how == "interrupted":
        assert parent.returncode == 0
        assert "of 1000000, and saved" in said
    assert "Traceback" not in complaints
    assert list(cache.rglob("checkpoint"))


def training(parent: int) -> list[psutil.Process]:
    """Return the processes that a parent spawned to train, without the one that tracks resources."""
    return [child for child in psutil.Process(parent).children() if "spawn_main" in " ".join(child.cmdline())]
