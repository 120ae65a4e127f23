"""What training takes is counted as it is, memory is estimated from above, and the machine's rates make seconds."""

import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ratereg.models import MLP, VAE
from ratereg.models.networks import Convolutional, Network
from ratereg.studies import Data, Study
from ratereg.studies import run as studies_run
from ratereg.studies.shard import Shard, run_shard
from ratereg.training import Precision, cost, machine
from ratereg.training.cost import (
    Cost,
    measuring_cost,
    members_that_fit,
    memory_needed,
    predicted_seconds,
    predicted_shard_seconds,
    step_cost,
)
from ratereg.training.counting import counted
from ratereg.training.machine import Machine, measure_machine, memory_available

CPU = torch.device("cpu")
SHAPE = (1, 12, 12)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def sizes_of(network: MLP, pixels: int) -> list[tuple[int, int]]:
    """Return inputs and outputs of each layer, the encoder's first and the decoder's first leading their halves."""
    hidden = [network.width] * network.layers
    halves = [pixels, *hidden, 2 * network.latent_dim], [network.latent_dim, *hidden, pixels]
    return [layer for half in halves for layer in pairwise(half)]


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_of_an_mlp_takes_what_its_layers_say(layers: int, precision: Precision) -> None:
    network, members, batch = MLP(layers, 40, 6), 5, 16
    step = step_cost(network, SHAPE, members=members, batch_size=batch, precision=precision)
    products = [inputs * outputs for inputs, outputs in sizes_of(network, math.prod(SHAPE))]
    biases = sum(outputs for _, outputs in sizes_of(network, math.prod(SHAPE)))
    # Forward, and back to weights and inputs, but not to the images.
    assert step.multiply_adds == members * batch * (3 * sum(products) - products[0])
    size = 4 if precision == "float32" else 2
    moved = size * (3 * sum(products) - products[0] + 2 * biases)
    assert step.weights == members * (moved + 28 * (sum(products) + biases))


@pytest.mark.parametrize("network", [Convolutional(8, 4), MLP(2, 32, 4)], ids=str)
def test_a_step_has_the_products_that_torch_counts_while_one_runs(network: Network) -> None:
    vae = VAE(network, SHAPE, [0])
    x, noise = torch.rand(1, 8, math.prod(SHAPE)), torch.randn(1, 8, network.latent_dim)
    with FlopCounterMode(display=False) as counter:
        distortion, rate = vae(x, noise)
        (distortion + rate).sum().backward()
    one, three = (step_cost(network, SHAPE, members=n, batch_size=8, precision="float32") for n in (1, 3))
    assert one.multiply_adds == counter.get_total_flops() / 2
    assert three.multiply_adds == 3 * one.multiply_adds
    assert three.weights == 3 * one.weights


def test_operations_are_as_many_for_more_members_of_an_mlp_and_move_as_many_times_the_bytes() -> None:
    one, four = (step_cost(MLP(), SHAPE, members=n, batch_size=32, precision="float32") for n in (1, 4))
    assert one.operations == four.operations
    assert four.traffic == pytest.approx(4 * one.traffic, rel=1e-3)


def test_the_bytes_and_the_peak_of_a_program_are_those_of_its_tensors() -> None:
    weight, x = torch.empty(3, 10, 20, device="meta"), torch.empty(1, 5, 10, device="meta")

    def program() -> tuple[torch.Tensor, ...]:
        y = torch.bmm(x.expand(3, 5, 10), weight)
        y.relu_()
        y = y.t() if y.ndim == 2 else y.transpose(1, 2)
        y = y + 1
        del y
        torch.empty(7, device="meta").exp()
        return ()

    count = counted(program, [weight])
    x_bytes, y_bytes = 4 * 50, 4 * 300
    assert count.multiply_adds == 3 * 5 * 10 * 20
    assert count.weights == weight.nbytes
    # An expanded axis is read once, a change in place reads and writes, and a view moves nothing.
    assert count.operations == 5
    assert count.passed == (x_bytes + y_bytes) + 2 * y_bytes + 2 * y_bytes + 28 + 2 * 28
    assert count.peak == x_bytes + 2 * y_bytes


def test_measuring_takes_two_decodings_an_encoding_and_the_pairs() -> None:
    network, images, queries = MLP(1, 32, 4), 4096, 100
    cost = measuring_cost(network, SHAPE, images=images, queries=queries)
    (encoder, decoder) = (
        sum(inputs * outputs for inputs, outputs in half)
        for half in (sizes_of(network, 144)[:2], sizes_of(network, 144)[2:])
    )
    assert cost.precision == "float32"
    assert cost.multiply_adds == images * (encoder + 2 * decoder) + 2 * queries * images * (2 * 4 + 10)
    twice = measuring_cost(network, SHAPE, images=2 * images, queries=0)
    assert (twice.operations, twice.passed) == (2 * cost.operations, 2 * cost.passed)


MEMORY_CASES = [
    (MLP(1, 512, 10), (3, 32, 32), 4, 1000, "float32"),
    (MLP(1, 32, 32), (1, 8, 8), 1, 60_000, "bfloat16"),
    (Convolutional(32, 10), (1, 28, 28), 2, 5000, "float32"),
]


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RATEREG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.usefixtures("compiled_once")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells a process's peak")
@pytest.mark.parametrize(("network", "image_shape", "members", "images", "precision"), MEMORY_CASES, ids=str)
def test_memory_is_estimated_from_above_and_by_less_than_three_times(
    network: Network,
    image_shape: tuple[int, int, int],
    members: int,
    images: int,
    precision: Precision,
    tmp_path: Path,
) -> None:
    arguments = [tmp_path, network, image_shape, members, images, precision]
    command = [sys.executable, str(Path(__file__).with_name("peak_memory.py")), *map(str, arguments)]
    grown = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=100).stdout)
    how = {"batch_size": 128, "precision": precision, "images": images}
    needed = memory_needed(network, image_shape, members=members, **how)  # type: ignore[arg-type]
    assert grown <= needed <= 3 * grown


def test_as_many_members_fit_as_the_estimate_says(monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"batch_size": 64, "precision": "bfloat16", "images": 1000}
    for available in (10**8, 10**9):
        monkeypatch.setattr(cost, "memory_available", lambda device, available=available: available)
        fit = members_that_fit(MLP(), SHAPE, device=CPU, **how)  # type: ignore[arg-type]
        fewer, more = (memory_needed(MLP(), SHAPE, members=n, **how) for n in (fit, fit + 1))  # type: ignore[arg-type]
        assert fewer <= available < more


def test_a_network_of_which_not_one_fits_is_refused_with_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "memory_available", lambda device: 20_000_000)
    with pytest.raises(MemoryError, match=r"takes 0\.\d\d GB for one member, and 0\.02 GB are planned for on cpu"):
        members_that_fit(MLP(), (3, 32, 32), batch_size=128, precision="float32", images=100, device=CPU)


@pytest.mark.parametrize("name", ["members", "batch_size"])
def test_counts_below_one_are_refused(name: str) -> None:
    how = {"members": 1, "batch_size": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0; give at least 1"):
        step_cost(MLP(), SHAPE, precision="float32", **how)  # type: ignore[arg-type]


def test_a_study_too_large_for_the_memory_is_cut_into_shards_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    network = MLP(1, 64, 2)
    study = Study(
        Data(str(tmp_path / "own.npy")), network, (3, 2, 1, 0.1, 0.01), steps=2, batch_size=8, precision="float32"
    )
    how = {"batch_size": 8, "precision": "float32", "images": 60}
    two = memory_needed(network, (1, 8, 8), members=2, **how)  # type: ignore[arg-type]
    monkeypatch.setattr(cost, "memory_available", lambda device: two)
    sizes = []

    def run_and_note(shard: Shard, *arguments: object, **options: object) -> object:
        sizes.append(len(shard))
        return run_shard(shard, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(studies_run, "run_shard", run_and_note)
    results = studies_run.load_or_run(study, device="cpu", progress=False)
    assert sizes == [2, 2, 1]
    assert list(results.final[results.final.partition == "test"].beta) == [3, 2, 1, 0.1, 0.01]


def test_the_memory_planned_for_does_not_depend_on_what_is_free_now() -> None:
    before = memory_available(CPU)
    held = torch.ones(30_000_000)
    assert memory_available(CPU) == before > 0
    assert held.sum() > 0


def test_limits_of_control_groups_are_found_in_both_versions(tmp_path: Path) -> None:
    def limits(groups: str) -> list[int]:
        (tmp_path / "cgroup").write_text(groups)
        return sorted(machine._control_group_limits(tmp_path / "cgroup", tmp_path))

    job = tmp_path / "slurm" / "job"
    job.mkdir(parents=True)
    (job / "memory.max").write_text("max\n")
    (job.parent / "memory.max").write_text("5000\n")
    assert limits("0::/slurm/job\n") == [5000]
    assert limits("0::/the/hosts/name\n") == []
    old = tmp_path / "memory" / "docker"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("7000\n")
    (old.parent / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert limits("3:cpu:/docker\n2:memory,devices:/docker\n0::/\n") == [7000, 9223372036854771712]
    assert machine._control_group_limits(tmp_path / "none", tmp_path) == []


MACHINE = Machine({"float32": 1e9, "bfloat16": 2e9}, bandwidth=4e9, passing=8e9, overhead=1e-5)


def test_seconds_are_those_of_arithmetic_traffic_and_operations_added_up() -> None:
    work = Cost("bfloat16", multiply_adds=4_000_000, weights=8_000_000, passed=24_000_000, operations=50)
    assert predicted_seconds(work, MACHINE) == pytest.approx(2e-3 + 2e-3 + 3e-3 + 0.5e-3)
    assert work.traffic == 32_000_000
    with pytest.raises(KeyError):
        predicted_seconds(work, Machine({"float32": 1e9}, 4e9, 8e9, 1e-5))


def test_a_shard_takes_its_steps_and_the_measuring_of_each_member() -> None:
    network, how = MLP(1, 32, 4), {"batch_size": 16, "precision": "bfloat16"}

    def seconds(members: int, steps: int, measured: list[tuple[int, int]]) -> float:
        return predicted_shard_seconds(
            network,
            SHAPE,
            MACHINE,
            members=members,
            steps=steps,
            measured=measured,
            **how,  # type: ignore[arg-type]
        )

    step = predicted_seconds(step_cost(network, SHAPE, members=3, **how), MACHINE)  # type: ignore[arg-type]
    measuring = predicted_seconds(measuring_cost(network, SHAPE, images=500, queries=10), MACHINE)
    assert seconds(3, 100, []) == pytest.approx(100 * step)
    assert seconds(3, 100, [(500, 10)] * 2) == pytest.approx(100 * step + 3 * 2 * measuring)


def test_a_machine_is_measured_in_float32_and_in_the_precision_asked_for() -> None:
    found = measure_machine(CPU, "bfloat16")
    assert set(found.multiply_adds) == set(PRECISIONS)
    assert all(rate > 1e6 for rate in found.multiply_adds.values())
    assert found.bandwidth > 1e6
    assert found.passing > 1e6
    assert 0 < found.overhead < 1
    assert set(measure_machine(CPU, "float32").multiply_adds) == {"float32"}
