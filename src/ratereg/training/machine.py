"""What a machine can do: its memory, and how fast it multiplies, moves bytes and starts operations."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ratereg.models import MLP, VAE, Bernoulli
from ratereg.training.counting import counted
from ratereg.training.graph import replayed
from ratereg.training.precision import Precision

__all__ = ["Machine", "measure_machine", "memory_available"]

_SHARE_PLANNED_FOR = 0.6
"""Of a device's memory. The rest is for the system, for other programs, and for what memory in pieces wastes."""

_SECONDS_EACH = 0.2
"""For which a piece of work is repeated; its fastest time counts, as other work on the machine only adds to it."""

_REPEATS = 10
"""Of the work in a run, so that starting threads and programs is shared out, as among the steps of training."""


@dataclass(frozen=True)
class Machine:
    """What a machine was measured to do.

    Attributes:
        multiply_adds: a second, in matrix products of a training step, by precision.
        bandwidth: bytes a second that are read from memory and written to it together.
        passing: bytes a second that operations read and write of what passes between them, mostly from a cache.
        overhead: seconds that an operation takes beside its work.
    """

    multiply_adds: Mapping[Precision, float]
    bandwidth: float
    passing: float
    overhead: float


def measure_machine(device: torch.device, precision: Precision) -> Machine:
    """Measure a device in about two seconds, in float32 and in `precision`, on torch's number of threads.

    As in training, each thread of a CPU works by itself, and all do at once.
    """
    precisions: set[Precision] = {"float32", precision}
    dtype = getattr(torch, precision)
    layers = {one: _layer(device, getattr(torch, one)) for one in precisions}
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    copy, images, small = _copy(device, threads), _images(device, dtype), _small_network(device, dtype)
    return Machine(
        multiply_adds={one: threads * layer.amount / _fastest(layer, device) for one, layer in layers.items()},
        bandwidth=threads * copy.amount / _fastest(copy, device),
        passing=threads * images.amount / _fastest(images, device),
        overhead=_fastest(small, device) / small.amount,
    )


def memory_available(device: torch.device) -> int:
    """Return the bytes that are planned for on a device: a fixed share of all its memory, and not what is free now.

    So a run that is started again is cut as before. On the CPU it is a share of the physical memory, or of the limit
    that the process's control group sets.
    """
    if device.type == "cuda":
        total = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        total = min([_physical_memory(), *_control_group_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])
    return int(total * _SHARE_PLANNED_FOR)


@dataclass(frozen=True)
class _Work:
    """Something to be timed.

    Attributes:
        amount: how much one thread does of it, in what the rate counts.
        made: makes a function that does it, on tensors of its own.
    """

    amount: int
    made: Callable[[], Callable[[], object]]


def _layer(device: torch.device, dtype: torch.dtype) -> _Work:
    """Return a hidden layer of some members, forward and backward: multiply-adds on what a cache holds."""
    members, batch, width = (2, 128, 512) if device.type == "cpu" else (64, 128, 512)

    def made() -> Callable[[], object]:
        generator = torch.Generator().manual_seed(0)
        shapes = ((batch, width), (width, width), (1, width), (batch, width))
        drawn = (torch.randn(members, *shape, generator=generator).to(device, dtype) for shape in shapes)
        x, weight, bias, gradient = drawn
        x.requires_grad_()
        weight.requires_grad_()
        return lambda: torch.autograd.grad(torch.baddbmm(bias, x, weight), [x, weight], gradient)

    return _Work(3 * members * batch * width * width, made)


def _copy(device: torch.device, threads: int) -> _Work:
    """Return a copy of more than a cache holds, in bytes read and written."""
    size = (1 << 25) // threads

    def made() -> Callable[[], object]:
        source, target = torch.zeros(2, size, device=device)
        return lambda: target.copy_(source)

    return _Work(8 * size, made)


def _images(device: torch.device, dtype: torch.dtype) -> _Work:
    """Return what is done with a batch's images before the encoder and after the decoder, in bytes passed on."""

    def made_on(device: torch.device) -> Callable[[], Sequence[Tensor]]:
        shape = (4, 128, 1024)
        images = torch.zeros(shape, dtype=torch.uint8, device=device)
        logits = torch.zeros(shape, dtype=dtype, device=device, requires_grad=True)

        def work() -> Sequence[Tensor]:
            x = images.float().div_(255)
            x.to(dtype)
            return torch.autograd.grad(Bernoulli().distortion(logits, x).sum(), [logits])

        return work

    return _Work(counted(made_on(torch.device("meta"))).passed, lambda: made_on(device))


def _small_network(device: torch.device, dtype: torch.dtype) -> _Work:
    """Return a step, without Adam, of a network of little work, in operations."""

    def made_on(device: torch.device) -> Callable[[], Sequence[Tensor]]:
        vae = VAE(MLP(layers=1, width=64, latent_dim=8), (1, 8, 8), [0]).to(device, dtype)
        weights = list(vae.parameters())
        x, noise = (torch.zeros(1, 128, size, device=device) for size in (64, 8))

        def step() -> Sequence[Tensor]:
            distortion, rate = vae(x, noise)
            return torch.autograd.grad((distortion + rate).sum(), weights)

        return step

    return _Work(counted(made_on(torch.device("meta"))).operations, lambda: made_on(device))


def _fastest(work: _Work, device: torch.device) -> float:
    """Return the seconds of the fastest of many runs.

    On a CPU all threads run it at once. On a GPU it is captured and replayed, as a training step is.
    """

    def repeated() -> Callable[[], None]:
        program = work.made()

        def several() -> None:
            for _ in range(_REPEATS):
                program()

        return several

    if device.type == "cuda":
        return _fastest_of(replayed(repeated(), device), device) / _REPEATS
    threads = torch.get_num_threads()
    programs = [repeated() for _ in range(threads)]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def all_at_once() -> None:
                for running in [pool.submit(program) for program in programs]:
                    running.result()

            return _fastest_of(all_at_once, device) / _REPEATS
    finally:
        # Some of the libraries' numbers of threads are those of the process.
        torch.set_num_threads(threads)


def _fastest_of(run: Callable[[], object], device: torch.device) -> float:
    # The first ones reserve memory and choose algorithms, and on a GPU one of them is captured.
    for _ in range(5 if device.type == "cuda" else 1):
        run()
    fastest, end = math.inf, time.perf_counter() + _SECONDS_EACH
    while time.perf_counter() < end:
        start = _now(device)
        run()
        fastest = min(fastest, _now(device) - start)
    return fastest


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _control_group_limits(groups: Path, mount: Path) -> list[int]:
    """Return the memory limits, in bytes, of the process's control groups and of all above them (versions 1 and 2)."""
    limits = []
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            root, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / place.lstrip("/")
        for file in (above / name for above in (group, *group.parents) if above.is_relative_to(root)):
            # In a container the place may be that of the host, and "max" is no limit.
            if file.is_file() and (limit := file.read_text().strip()).isdigit():
                limits.append(int(limit))
    return limits
