"""A run that is killed and started again ends as if nothing had happened."""

import random
import shutil
import time
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from children import child, train
from ratereg.models import MLP
from ratereg.studies import Data, Results, Study

KILLS = 8


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of four shards of two members; measuring takes about as long as training."""
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (1500, 8, 8), dtype=np.uint8))
    return Study(
        Data(str(tmp_path / "images.npy")),
        [MLP(1, 32, 4), MLP(2, 32, 4)],
        betas=[1.0, 0.01],
        seeds=2,
        steps=200,
        batch_size=32,
        precision="float32",
    )


def test_killed_at_random_moments_a_run_ends_with_the_same_table_and_arrays(study: Study, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with child(train, study, cache) as (_, connection):
        assert connection.recv() == "begins"
        began = time.monotonic()
        assert connection.recv() == "has ended"
        seconds = time.monotonic() - began
    undisturbed = Results.load(cache / "result")
    assert len(undisturbed.final) == 2 * len(study)

    moments = random.Random(0)
    kills = went_on = 0
    while kills < KILLS:
        # Where a run ends before it has been killed often enough, another one begins.
        _forget(cache)
        while not (cache / "result").exists():
            went_on += any((cache / "shards").glob("*/checkpoint"))
            with child(train, study, cache) as (process, connection):
                trains = connection.recv() == "begins"
                dies = trains and kills < KILLS and not connection.poll(moments.uniform(0, seconds / 6))
                if dies:
                    process.kill()
                    kills += 1
                process.join()
                assert dies or process.exitcode == 0
        _assert_equal(Results.load(cache / "result"), undisturbed)
    assert went_on > KILLS // 4


def test_killed_while_it_keeps_what_it_trained_a_run_ends_with_the_same_table(study: Study, tmp_path: Path) -> None:
    study = study.replace(network=study.axis_networks[0], seeds=1, steps=20)
    cache = tmp_path / "cache"
    with child(train, study, cache) as (process, _):
        process.join()
    undisturbed = Results.load(cache / "result")
    for dies_at in count():
        _forget(cache)
        with child(train, study, cache, 0.0, dies_at) as (process, _):
            process.join()
            if process.exitcode == 0:
                break
        with child(train, study, cache) as (process, _):
            process.join()
            assert process.exitcode == 0, dies_at
        _assert_equal(Results.load(cache / "result"), undisturbed)
    assert dies_at >= len(study)


def _forget(cache: Path) -> None:
    """Remove all but the compiled kernels."""
    for name in ("result", "trainings", "shards", "studies"):
        shutil.rmtree(cache / name, ignore_errors=True)


def _assert_equal(results: Results, others: Results) -> None:
    pd.testing.assert_frame_equal(results.table, others.table, check_exact=True)
    assert results.arrays.keys() == others.arrays.keys()
    for name, values in others.arrays.items():
        np.testing.assert_array_equal(results.arrays[name], values, err_msg=name)
