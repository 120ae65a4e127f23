"""What a machine can do: its memory, and how fast it multiplies, moves bytes and starts operations."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ratereg.models import MLP, VAE
from ratereg.training.allocator import keep_freed_memory
from ratereg.training.counting import Count, counted
from ratereg.training.graph import replayed
from ratereg.training.precision import Precision

__all__ = ["Machine", "measure_machine", "memory_available"]

_SHARE_PLANNED_FOR = 0.6
"""Of a device's memory. The rest is for the system, for other programs, and for what memory in pieces wastes."""

_SECONDS_EACH = 0.2
"""For which a piece of work is repeated; its fastest time counts, as other work on the machine only adds to it."""


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
    """Measure a device in about two seconds, with torch's number of threads, in float32 and in `precision`."""
    if device.type == "cpu":
        keep_freed_memory()
    precisions: set[Precision] = {"float32", precision}
    multiply_adds = {one: _multiply_adds(device, getattr(torch, one)) for one in precisions}
    bandwidth = _bandwidth(device)
    # Of a network of little work a step is all overhead, and of one with many pixels and few units it is passing them.
    small, seconds = _step(device, precision, members=1, pixels=64)
    overhead = seconds / small.operations
    large, seconds = _step(device, precision, members=4, pixels=2048)
    others = large.multiply_adds / multiply_adds[precision] + large.weights / bandwidth + large.operations * overhead
    # On a machine that is busy meanwhile the difference of two times can be anything.
    passing = large.passed / max(seconds - others, seconds / 10)
    return Machine(multiply_adds, bandwidth, passing, overhead)


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


def _multiply_adds(device: torch.device, dtype: torch.dtype) -> float:
    """Time a hidden layer of a few members, forward and backward: operands that a cache holds."""
    members, batch, width = (2, 128, 512) if device.type == "cpu" else (64, 128, 512)
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    x, weight = drawn(members, batch, width).requires_grad_(), drawn(members, width, width).requires_grad_()
    bias, gradient = drawn(members, 1, width), drawn(members, batch, width)

    def layer() -> None:
        torch.autograd.grad(torch.baddbmm(bias, x, weight), [x, weight], gradient)

    return 3 * members * batch * width * width / _fastest(layer, device)


def _bandwidth(device: torch.device) -> float:
    source, target = torch.zeros(2, 1 << 25, device=device)
    moved: int = source.nbytes + target.nbytes
    return moved / _fastest(lambda: target.copy_(source), device)


def _step(device: torch.device, precision: Precision, members: int, pixels: int) -> tuple[Count, float]:
    """Count and time a training step, without Adam, of networks with few units."""
    network, image_shape = MLP(layers=1, width=64, latent_dim=8), (1, 1, pixels)

    def program(vae: VAE) -> Callable[[], list[Tensor]]:
        weights = list(vae.parameters())
        x, noise = (torch.zeros(members, 128, size, device=vae.device) for size in (pixels, network.latent_dim))

        def step() -> list[Tensor]:
            distortion, rate = vae(x, noise)
            return list(torch.autograd.grad((distortion + rate).sum(), weights))

        return step

    with torch.device("meta"):
        shapes = VAE(network, image_shape, [0] * members).to(getattr(torch, precision))
    vae = VAE(network, image_shape, [0] * members).to(device, getattr(torch, precision))
    return counted(program(shapes), list(shapes.parameters())), _fastest(program(vae), device)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the fastest of many runs; on a GPU captured and replayed, as a training step is."""
    repeats = 1 if device.type == "cpu" else 20

    def several() -> None:
        for _ in range(repeats):
            work()

    run = replayed(several, device)
    # The first ones reserve memory and choose algorithms, and on a GPU one of them is captured.
    for _ in range(1 if device.type == "cpu" else 5):
        run()
    fastest = math.inf
    end = time.perf_counter() + _SECONDS_EACH
    while time.perf_counter() < end:
        start = _now(device)
        run()
        fastest = min(fastest, _now(device) - start)
    return fastest / repeats


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
