"""Shards on two processes of one machine, which are stopped, killed, or lose their parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from ratereg import MLP, Data, Study
from ratereg.measurements import Annealed
from ratereg.studies.devices import work_on_devices
from ratereg.studies.plan import plan
from ratereg.studies.run import run
from ratereg.studies.shard import Listener, Shard
from ratereg.training import Stopped, store

STUDY = Study(
    Data("tetrominoes", n_train=100, n_test=50),
    MLP(1, 16, 2),
    betas=[1.0, 0.1],
    seeds=2,
    steps=60,
    batch_size=16,
    precision="float32",
)
TWO = [torch.device("cpu")] * 2


def shards(study: Study) -> list[Shard]:
    return plan(study.trainings("float32"), lambda _: len(study.axis_betas))


class Counting(Listener):
    """Counts the steps, and stops after the first ones if it is to."""

    def __init__(self, stops: bool = False) -> None:
        self.made, self.stops = 0, stops

    def report(self, steps: int) -> None:
        self.made += steps

    def stop(self) -> bool:
        return self.stops and self.made > 0


def test_a_stopped_run_is_saved_resumed_and_ends_with_the_numbers_of_one_process(cache: Path, tmp_path: Path) -> None:
    study = STUDY.replace(steps=4000)
    with pytest.raises(Stopped, match="and saved"):
        work_on_devices(shards(study), (), TWO, checkpoint_seconds=1e9, listener=Counting(stops=True))
    assert not multiprocessing.active_children()
    assert list(cache.rglob("checkpoint"))
    two = run(STUDY, tmp_path / "two", device=["cpu", "cpu"], progress=False)
    assert two.provenance["threads"] == 1
    assert not multiprocessing.active_children()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        os.environ["RATEREG_CACHE"] = str(tmp_path / "other")
        one = run(STUDY, tmp_path / "one", progress=False, max_members=2)
    finally:
        torch.set_num_threads(before)
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)


def test_a_wish_to_stop_cuts_measurements_short(cache: Path) -> None:
    class Waiting(Listener):
        def stop(self) -> bool:
            return len(list((cache / "trainings").glob("*/weights*"))) == len(STUDY)

    began = time.monotonic()
    # An hour and more of annealing.
    with pytest.raises(Stopped):
        work_on_devices(shards(STUDY), (Annealed(temperatures=10**7),), TWO, checkpoint_seconds=1e9, listener=Waiting())
    assert time.monotonic() - began < 300
    assert not list(cache.rglob("Annealed*"))


def test_what_a_shard_raises_comes_by_its_message(cache: Path) -> None:
    (cache / "shards").mkdir(parents=True)
    (cache / "trainings").write_text("a file where a folder is to be")
    with pytest.raises(OSError, match="trainings"):
        work_on_devices(shards(STUDY), (), TWO, checkpoint_seconds=1e9, listener=Counting())
    assert not multiprocessing.active_children()


def test_a_killed_process_is_told_and_the_others_are_saved(cache: Path) -> None:
    class Killing(Listener):
        killed: int | None = None

        def report(self, steps: int) -> None:
            there = list((cache / "shards").glob("*/checkpoint"))
            if self.killed is None and len(there) == 2:
                self.killed = multiprocessing.active_children()[0].pid
                os.kill(self.killed, signal.SIGKILL)

    listener, long = Killing(), shards(STUDY.replace(steps=10**6))
    with pytest.raises(RuntimeError, match=r"was killed.*resumed from the last checkpoint"):
        work_on_devices(long, (), TWO, checkpoint_seconds=0, listener=listener)
    assert listener.killed
    assert not multiprocessing.active_children()
    assert len(list(cache.rglob("checkpoint"))) == 2


PROGRAM = """
from pathlib import Path
from ratereg.studies import Study
from ratereg.studies.run import run
from ratereg.training import Stopped
if __name__ == "__main__":
    try:
        run(Study.from_settings(SETTINGS), Path("FOLDER"), device=["cpu", "cpu"], progress=False)
    except Stopped as error:
        print(error)
"""


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_no_process_outlives_its_parent_and_each_saves_before_it_ends(cache: Path, tmp_path: Path, how: str) -> None:
    program = PROGRAM.replace("SETTINGS", repr(STUDY.replace(steps=10**6).settings))
    (tmp_path / "program.py").write_text(program.replace("FOLDER", str(tmp_path / "result")))
    with subprocess.Popen(
        [sys.executable, tmp_path / "program.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        # Both have begun when both hold the locks of their shards.
        while len(list((cache / "locks").glob("*.holder"))) < 3:
            assert parent.poll() is None
        children = psutil.Process(parent.pid).children(recursive=True)
        if how == "killed":
            parent.kill()
        else:
            # As a terminal does at Ctrl-C, to all of the group.
            os.killpg(parent.pid, signal.SIGINT)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive
        said, _ = parent.communicate(timeout=60)
    if how == "interrupted":
        assert parent.returncode == 0
        assert "and saved" in said
    assert len(list(cache.rglob("checkpoint"))) == 2
    assert not any(store.has(one) for one in STUDY.replace(steps=10**6).trainings("float32"))
