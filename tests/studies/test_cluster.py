"""Shards and exact densities on a real local scheduler with two worker processes, some of them killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dask
import distributed
import pandas as pd
import pytest
import torch

from ratereg import MLP, Data, Study
from ratereg.evaluation import aggregate_log_prob
from ratereg.studies import cluster
from ratereg.studies.cluster import connected, work_on_cluster
from ratereg.studies.plan import plan
from ratereg.studies.run import run
from ratereg.studies.shard import Listener, Shard
from ratereg.studies.spread import aggregate_log_prob_on
from ratereg.training import Stopped, store

STUDY = Study(
    Data("tetrominoes", n_train=100, n_test=50),
    MLP(1, 16, 2),
    betas=[1.0, 0.1],
    seeds=2,
    steps=300,
    batch_size=16,
    precision="float32",
)


@pytest.fixture(scope="module")
def workers_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def client(workers_cache: Path) -> Iterator[distributed.Client]:
    """A client of a scheduler with two worker processes of a thread each, whose cache is not that of this process."""
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            env={"RATEREG_CACHE": str(workers_cache)},
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shards(study: Study) -> list[Shard]:
    return plan(study.trainings("float32"), lambda _: len(study.axis_betas))


def test_a_study_survives_a_killed_worker_and_has_the_numbers_of_one_process(
    client: distributed.Client, workers_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids, over, killed = client.run(os.getpid), threading.Event(), list[int]()

    def kill() -> None:
        while not killed and not over.wait(0.02):
            if list(workers_cache.rglob("checkpoint")):
                busy = [address for address, keys in client.processing().items() if keys]
                if busy and busy[0] in pids:
                    os.kill(pids[busy[0]], signal.SIGKILL)
                    killed.append(pids[busy[0]])

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        spread = run(STUDY, tmp_path / "a", scheduler=client.scheduler.address, checkpoint_seconds=0, progress=False)
    finally:
        over.set()
        thread.join()
    assert killed
    assert all(store.has(one) for one in spread.trainings)
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "other"))
    alone = run(STUDY, tmp_path / "b", max_members=2, progress=False)
    pd.testing.assert_frame_equal(spread.table, alone.table, check_exact=True)
    assert not list(workers_cache.rglob("checkpoint"))


def test_a_stopped_run_is_saved_on_the_workers(client: distributed.Client, workers_cache: Path) -> None:
    class Stopping(Listener):
        def stop(self) -> bool:
            return bool(list(workers_cache.rglob("checkpoint")))

    long = shards(STUDY.replace(steps=10**6))
    with pytest.raises(Stopped):
        work_on_cluster(long, (), client, checkpoint_seconds=0, listener=Stopping())
    while any(client.processing().values()):
        pass
    assert list(workers_cache.rglob("checkpoint"))


def test_what_a_shard_raises_comes_by_its_message(client: distributed.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_versions", lambda: "torch 0.1")
    with pytest.raises(RuntimeError, match=r"has torch .*, and this process torch 0\.1, so results would differ"):
        work_on_cluster(shards(STUDY), (), client, checkpoint_seconds=1, listener=Listener())


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 0.5)
    with pytest.raises(ConnectionError, match=r"tcp://127\.0\.0\.1:9.*does not answer"), connected("tcp://127.0.0.1:9"):
        pass
    with pytest.raises(ValueError, match="scheduler is 'nonsense://x'"), connected("nonsense://x"):
        pass


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"ratereg\[cluster\]"), connected("tcp://127.0.0.1:9"):
        pass


def test_dask_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys, ratereg.studies.cluster, ratereg.studies.spread\n"
        "assert not {'dask', 'distributed'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("leave", [False, True])
def test_a_spread_density_is_that_of_one_process(client: distributed.Client, leave: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    mean, log_var = torch.randn(2, 300, 3, generator=draw), torch.randn(2, 300, 3, generator=draw) - 4
    z = mean + 0.1 * torch.randn(2, 300, 3, generator=draw)
    left_out = torch.arange(300) if leave else None
    spread = aggregate_log_prob_on(client, z, mean, log_var, left_out=left_out, block=100)
    torch.testing.assert_close(spread, aggregate_log_prob(z, mean, log_var, left_out=left_out), rtol=0, atol=1e-6)
