"""Shards and exact densities on a real local scheduler with two worker processes, some of them killed."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import distributed
import pandas as pd
import pytest
import torch
from ratereg.studies.worker import PREFIX, run_on_worker, versions

from ratereg.evaluation.aggregate import aggregate_log_prob
from ratereg.evaluation.information import decompose_rate
from ratereg.studies import MLP, Data, Results, Study, cluster
from ratereg.studies.cluster import connected, on_cluster
from ratereg.studies.shard import Shard, run_shard
from ratereg.studies.spread import aggregate_log_prob_on
from ratereg.training.interruption import Stopped

STUDY = Study(
    Data("tetrominoes", n_train=200, n_test=100),
    MLP(1, 16, 2),
    betas=[1.0, 0.1],
    seeds=3,
    steps=150,
    batch_size=16,
    trajectory_images=32,
    queries=16,
    final_queries=64,
    precision="float32",
)


@pytest.fixture(scope="module")
def workers_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def client(workers_cache: Path) -> Iterator[distributed.Client]:
    """A client of a scheduler with two worker processes of a thread each, whose cache is not that of this process."""
    settings = {
        # By default half a minute is given to reach a worker that was killed.
        "distributed.comm.timeouts.connect": "2s",
        # Each step is told, also by a worker that takes the place of a killed one.
        "distributed.worker.preload": ["from ratereg.studies import worker; worker._SECONDS_BETWEEN_REPORTS = 0.0"],
    }
    with (
        dask.config.set(settings),
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
def one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shards(study: Study) -> list[Shard]:
    return [Shard(study, tuple(one for one in study.members if one.seed == seed)) for seed in study.axis_seeds]


def alone(shard: Shard) -> Results:
    device = torch.device("cpu")
    return run_shard(shard, device, checkpoint_seconds=1e9, report=lambda steps: None, stop=lambda: False)


def run(
    scheduler: str | distributed.Client,
    study: Study,
    report: Callable[[int], None] = lambda steps: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[Shard, Results]:
    # A checkpoint as often as one can be kept, which is a few times a second.
    return dict(on_cluster(shards(study), scheduler, checkpoint_seconds=0, report=report, stop=stop))


@contextmanager
def killer(client: distributed.Client, begun: Callable[[str], bool]) -> Iterator[list[str]]:
    """Meanwhile kill the process of a worker with a task for which `begun` is true, and yield a list for its key."""
    pids, killed, over = client.run(os.getpid), list[str](), threading.Event()

    def look() -> None:
        while not killed and not over.wait(0.05):
            for address, keys in client.processing().items():
                for key in keys:
                    if not killed and address in pids and begun(key):
                        os.kill(pids[address], signal.SIGKILL)
                        killed.append(key)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_study_survives_a_killed_worker_and_has_the_numbers_of_one_process(
    client: distributed.Client, workers_cache: Path
) -> None:
    study = STUDY.replace(steps=600, seeds=2)
    said: dict[str, list[int]] = {f"{PREFIX}{shard.digest}": [] for shard in shards(study)}

    def hear(key: str, event: tuple[float, dict[str, Any]]) -> None:
        said[key].append(event[1]["made"])

    for key in said:
        client.subscribe_topic(key, functools.partial(hear, key))
    made: list[int] = []
    with killer(client, lambda key: len(said.get(key, [])) >= 4) as killed:
        done = run(client.scheduler.address, study, made.append)
    for key in said:
        client.unsubscribe_topic(key)

    (key,) = killed
    # Where less is told than before, another worker began. What was told before the last time was kept by then.
    assert said[key][2] > said[key][1] > said[key][0]
    threes = zip(said[key], said[key][1:], said[key][2:], strict=False)
    assert all(after >= min(before, last) for before, last, after in threes)
    assert sum(made) == len(study) * study.steps
    assert sorted(shard.digest for shard in done) == sorted(shard.digest for shard in shards(study))
    for shard, results in done.items():
        pd.testing.assert_frame_equal(results.table, alone(shard).table, check_exact=True)
    # What is kept by the client is not kept by the workers.
    assert not list(workers_cache.rglob("checkpoint*"))


def test_a_stopped_run_is_saved_on_the_workers_and_goes_on(client: distributed.Client, workers_cache: Path) -> None:
    made = [0, 0]

    def count(steps: int) -> None:
        made[0] += steps

    with pytest.raises(Stopped, match="of 150, and saved"):
        run(client, STUDY.replace(seeds=2, betas=[2.0]), count, lambda: made[0] > 0)
    # Saved, and not under way any more.
    assert not any(client.processing().values())
    assert list(workers_cache.rglob("checkpoint"))

    done = run(client, STUDY.replace(seeds=2, betas=[2.0]))
    for shard, results in done.items():
        pd.testing.assert_frame_equal(results.table, alone(shard).table, check_exact=True)


def test_a_worker_saves_and_ends_when_its_client_is_gone(client: distributed.Client, workers_cache: Path) -> None:
    (shard,) = shards(STUDY.replace(steps=10**6, seeds=1))
    key, begun = f"{PREFIX}{shard.digest}", threading.Event()
    checkpoint = workers_cache / "shards" / shard.digest / "checkpoint"
    client.subscribe_topic(key, lambda event: begun.set())
    with connected(client.scheduler.address) as other:
        future = other.submit(run_on_worker, shard, 1e9, versions(), key=key)
        assert begun.wait(60)
        assert not checkpoint.exists()
    assert future.status == "cancelled"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert checkpoint.exists()
    client.unsubscribe_topic(key)


def test_what_a_shard_raises_comes_by_its_message(client: distributed.Client, tmp_path: Path) -> None:
    missing = STUDY.replace(data=Data(str(tmp_path / "missing.npy")))
    with pytest.raises(FileNotFoundError, match=r"missing\.npy' is not there") as raised:
        run(client, missing)
    assert raised.value.__notes__ == ["It was raised on the cluster, by missing.npy default, 1 x 16."]
    assert not any(client.processing().values())


def test_other_versions_and_other_data_on_a_worker_are_refused(
    client: distributed.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(cluster, "versions", lambda: {"torch": "1.0"})
        with pytest.raises(RuntimeError, match=rf"has torch {torch.__version__.split('+')[0]}, and this process 1\.0"):
            run(client, STUDY)
    monkeypatch.setattr(Shard, "digest", "of what only this process has")
    with pytest.raises(ValueError, match="is not that of this process"):
        run(client, STUDY.replace(seeds=1))


class Dying:
    """A future of a shard that one worker after another dies over."""

    status = "error"

    def __init__(self) -> None:
        self.retries = 0

    def exception(self) -> Exception:
        return distributed.KilledWorker("a key", None, 3)

    def retry(self) -> None:
        self.retries += 1

    def add_done_callback(self, callback: object) -> None:
        pass


def test_a_shard_is_given_up_when_workers_die_and_it_does_not_get_on(client: distributed.Client) -> None:
    (shard,) = shards(STUDY.replace(seeds=1))
    dispatch = cluster._Dispatch(client, [shard], 1, lambda steps: None)
    (key,) = dispatch.shards
    future = dispatch.futures[key] = Dying()
    dispatch._advance(key, 10)
    assert dispatch._take(key) is None
    assert future.retries == 1
    with pytest.raises(RuntimeError, match="died during tetrominoes"):
        dispatch._take(key)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 1)
    with pytest.raises(ConnectionError, match=r"'tcp://127\.0\.0\.1:9', which does not answer within 1 s"):
        run("tcp://127.0.0.1:9", STUDY)
    with pytest.raises(ValueError, match=r"scheduler is 'nowhere'.*such as 'tcp://host:8786'"):
        run("nowhere", STUDY)


def test_a_scheduler_without_workers_is_waited_at_and_that_is_said() -> None:
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        began = time.monotonic()
        with pytest.warns(UserWarning, match="has no worker; waiting"), pytest.raises(Stopped, match="after step 0"):
            run(empty.scheduler_address, STUDY, stop=lambda: time.monotonic() > began + 1)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"'distributed'; install the extra `cluster`"):
        run("tcp://127.0.0.1:9", STUDY)


def test_dask_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, ratereg.studies.cluster, ratereg.studies.spread\n"
        "assert not {'dask', 'distributed'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("leave", [False, True])
def test_a_spread_density_is_that_of_one_process(client: distributed.Client, leave: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    z, mean, log_var = (torch.randn(2, count, 3, generator=generator) for count in (500, 900, 900))
    left_out = torch.randint(900, (500,), generator=generator) if leave else None
    spread = aggregate_log_prob_on(client, z, mean, log_var, left_out=left_out, block=400)
    torch.testing.assert_close(spread, aggregate_log_prob(z, mean, log_var, left_out=left_out), rtol=0, atol=5e-6)


def test_a_spread_information_estimate_survives_a_killed_worker(client: distributed.Client) -> None:
    generator = torch.Generator().manual_seed(1)
    mean, log_var = torch.randn(4000, 5, generator=generator), torch.randn(4000, 5, generator=generator) - 2
    client.wait_for_workers(2)
    on_workers = functools.partial(aggregate_log_prob_on, client, block=250)
    with killer(client, lambda key: "of_a_block" in key) as killed:
        spread = decompose_rate(mean, log_var, torch.Generator().manual_seed(2), aggregate=on_workers)
    one = decompose_rate(mean, log_var, torch.Generator().manual_seed(2))
    assert killed
    for name in ("mutual_information", "marginal_kl", "mutual_information_se", "mutual_information_mc"):
        torch.testing.assert_close(getattr(spread, name), getattr(one, name), rtol=0, atol=5e-6)


def test_blocks_below_one_are_refused(client: distributed.Client) -> None:
    with pytest.raises(ValueError, match="block is 0"):
        aggregate_log_prob_on(client, torch.zeros(1, 2), torch.zeros(3, 2), torch.zeros(3, 2), block=0)
