"""What a machine can do: its memory, and how fast it multiplies, moves bytes and starts operations."""

import math
import os
import time
from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ratereg.models import MLP, VAE
from ratereg.training.allocator import keep_freed_memory
from ratereg.training.counting import counted
from ratereg.training.graph import replayed
from ratereg.training.precision import Precision

__all__ = ["Machine", "measure_machine", "memory_available"]

_SHARE_PLANNED_FOR = 0.6
"""Of a device's memory. The rest is for the system, for other programs, and for what memory in pieces wastes."""

_SIZES = [1 << power for power in (16, 18, 20, 22, 24, 26, 28)]
"""Bytes moved by the copies that are timed."""

_SECONDS_EACH = 0.1
"""For which a piece of work is repeated; its fastest time counts, as other work on the machine only adds to it."""


@dataclass(frozen=True)
class Machine:
    """What a machine was measured to do.

    Attributes:
        multiply_adds: a second, in matrix products of a training step, by precision.
        copying: seconds that a copy takes, by the bytes that it reads and writes together.
        overhead: seconds that an operation takes beside its work.
    """

    multiply_adds: Mapping[Precision, float]
    copying: Mapping[int, float]
    overhead: float

    @property
    def bandwidth(self) -> float:
        """Bytes a second read from and written to memory, by the largest copy."""
        largest = max(self.copying)
        return largest / self.copying[largest]

    def seconds_to_move(self, size: int) -> float:
        """Return the seconds that an operation takes to move `size` bytes: few of them lie in a cache."""
        sizes = sorted(self.copying)
        if size <= sizes[0]:
            return size / sizes[0] * self.copying[sizes[0]]
        if size >= sizes[-1]:
            return size / self.bandwidth
        after = sizes[bisect(sizes, size)]
        before = sizes[bisect(sizes, size) - 1]
        share = math.log(size / before) / math.log(after / before)
        logarithm = (1 - share) * math.log(self.copying[before]) + share * math.log(self.copying[after])
        return math.exp(logarithm)


def measure_machine(device: torch.device, precision: Precision) -> Machine:
    """Measure a device in about two seconds, with torch's number of threads, in float32 and in `precision`."""
    if device.type == "cpu":
        keep_freed_memory()
    dtypes: dict[Precision, torch.dtype] = {"float32": torch.float32, precision: getattr(torch, precision)}
    return Machine(
        multiply_adds={name: _multiply_adds(device, dtype) for name, dtype in dtypes.items()},
        copying=_copying(device),
        overhead=_overhead(device),
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


def _copying(device: torch.device) -> dict[int, float]:
    def seconds(size: int) -> float:
        source, target = torch.zeros(2, size // 8, device=device)
        return _fastest(lambda: target.copy_(source), device)

    return {size: seconds(size) for size in _SIZES}


def _overhead(device: torch.device) -> float:
    """Time a step of a network so small that its work is nothing."""
    how = (MLP(layers=1, width=16, latent_dim=2), (1, 2, 2), [0])

    def step(vae: VAE) -> Callable[[], list[Tensor]]:
        weights = list(vae.parameters())
        x, noise = (torch.zeros(1, 8, size, device=vae.device) for size in (4, 2))

        def run() -> list[Tensor]:
            distortion, rate = vae(x, noise)
            return list(torch.autograd.grad((distortion + rate).sum(), weights))

        return run

    with torch.device("meta"):
        vae = VAE(*how)
    operations = len(counted(step(vae), list(vae.parameters())).operations)
    return _fastest(step(VAE(*how).to(device)), device) / operations


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
