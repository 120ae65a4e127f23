"""Time, accuracy and memory of log q(z) over all components: the kernel, the PyTorch fallback, the usual way, KeOps.

The kernel sums the whole table in each round. The others do so for as many queries as take about three seconds, and
their seconds are scaled to all queries. What a compiler needs is not counted.

Usage: python benchmarks/information.py [components, also the number of queries]
"""

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from unittest import mock

import torch
from torch import Tensor

from ratereg.evaluation import kernel
from ratereg.evaluation.aggregate import aggregate_log_prob

LATENT, ROUNDS, SECONDS = 10, 3, 3
SIZE, ALL_IMAGES = 60_000, 163_840

Density = Callable[[Tensor, Tensor, Tensor], Tensor]

# The peak of this process alone: what getrusage tells begins with the parent's.
MEMORY = """
import re, sys, time, torch
from ratereg.evaluation.aggregate import aggregate_log_prob
def megabytes(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000
mean = torch.randn(int(sys.argv[1]), 10)
log_var = torch.full_like(mean, -2.0)
aggregate_log_prob(mean[:8], mean[:8], log_var[:8])
before, start = megabytes("VmRSS"), time.perf_counter()
aggregate_log_prob(mean, mean, log_var)
print(f"{megabytes('VmHWM') - before:.0f} MB, {time.perf_counter() - start:.1f} s")
"""


def posteriors(count: int, sigma: float, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Return z, mean and log_var: float32 means ~ N(0, 1), widths about sigma, one z drawn from each, in float64."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(count, LATENT, generator=generator)
    log_var = 2 * math.log(sigma) + torch.randn(count, LATENT, generator=generator) / 10
    noise = torch.randn(count, LATENT, generator=generator, dtype=torch.float64)
    z = mean + (log_var.double() / 2).exp() * noise
    return z.to(device), mean.to(device), log_var.to(device)


def ours(use_kernel: bool) -> Density:
    def density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        with mock.patch.dict(os.environ, RATEREG_KERNEL="1" if use_kernel else "0"):
            return aggregate_log_prob(z, mean, log_var)

    return density


def usual(batch: int) -> Density:
    """Return the usual way: in float32, broadcast a batch of queries against all components, and logsumexp."""

    def density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        components = torch.distributions.Normal(mean, (log_var / 2).exp())
        sums = [components.log_prob(part[:, None]).sum(-1).logsumexp(1) for part in z.float().split(batch)]
        return torch.cat(sums) - math.log(len(mean))

    return density


def keops(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    from pykeops.torch import LazyTensor

    constant = (log_var + math.log(2 * math.pi)).sum(1) / 2
    query, center, scale = (LazyTensor(each) for each in (z.float()[:, None], mean[None], (-log_var / 2).exp()[None]))
    square = ((query - center) * scale).square().sum(-1)
    return (square * -0.5 - LazyTensor(constant[None, :, None])).logsumexp(dim=1)[:, 0] - math.log(len(mean))


def seconds(work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def brute_force(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    components = torch.distributions.Normal(mean.double(), (log_var.double() / 2).exp())
    return torch.stack([components.log_prob(one).sum(-1).logsumexp(0) for one in z]) - math.log(len(mean))


def contestants(z: Tensor, mean: Tensor, log_var: Tensor) -> dict[str, Density]:
    """Return the programs to compare, the usual one in batches of the size that is best for it, and in those of 64."""
    sizes = [batch for batch in (1, 2, 4, 8, 16, 32, 64) if batch <= len(z)]

    def cost(batch: int) -> float:
        return min(seconds(lambda: usual(batch)(z[:batch], mean, log_var)) for _ in range(3)) / batch

    best = min(sizes, key=cost)
    programs: dict[str, Density] = {"the kernel": ours(True)} if kernel.available() else {}
    programs["the PyTorch fallback"] = ours(False)
    # The first is the reference; the other is what one would write without trying.
    for batch in (best, min(64, len(z))):
        programs[f"the usual way, {batch} queries at once"] = usual(batch)
    if find_spec("pykeops"):
        import pykeops

        pykeops.set_verbose(False)
        programs["KeOps, float32"] = keops
    return programs


def compare(count: int, sigma: float) -> None:
    z, mean, log_var = posteriors(count, sigma)
    programs = contestants(z, mean, log_var)
    few = slice(min(count, 64))
    truth = brute_force(z[few], mean, log_var)
    errors, queries = {}, {}
    for name, program in programs.items():
        errors[name] = (program(z[few], mean, log_var) - truth).abs().max().item()
        pace = seconds(lambda program=program: program(z[few], mean, log_var)) / len(truth)
        queries[name] = count if name == "the kernel" else min(count, max(len(truth), int(SECONDS / pace)))
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            part = z[: queries[name]]
            once = seconds(lambda program=program, part=part: program(part, mean, log_var))
            taken[name].append(once * count / len(part))

    print(f"\n{count:,} queries x {count:,} components, {LATENT} dimensions, sigma {sigma}: {ROUNDS} rounds in turn")
    print(f"{'':<36} {'queries':>8} {'min s':>9} {'median s':>9} {'G pairs/s':>10} {'speed':>7} {'error':>9}")
    # Ratios are those of the fastest rounds: other work on the machine only adds time.
    fastest = {name: min(times) for name, times in taken.items()}
    reference = next(name for name in programs if name.startswith("the usual way"))
    for name, times in taken.items():
        pairs, speed = count**2 / fastest[name] / 1e9, fastest[reference] / fastest[name]
        timing = f"{fastest[name]:>9.2f} {statistics.median(times):>9.2f} {pairs:>10.4f} {speed:>6.1f}x"
        print(f"{name:<36} {queries[name]:>8,} {timing} {errors[name]:>9.1e}")
    if "the kernel" in programs:
        for name in (name for name in programs if name != "the kernel"):
            print(f"the kernel is {fastest[name] / fastest['the kernel']:.1f} times as fast as {name}")


def main(count: int) -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    print(f"the kernel {'runs' if kernel.available() else 'does not run: no C compiler, or no cache to write to'}")
    if not find_spec("pykeops"):
        print("KeOps is not installed: pip install -r benchmarks/requirements.txt")
    for sigma in (0.4, 0.01):
        compare(count, sigma)

    images = ALL_IMAGES if count == SIZE else count
    print(f"\nmemory over the inputs, {images:,} x {images:,}:")
    for name, switch in {"the kernel": "1", "the PyTorch fallback": "0"}.items():
        if sys.platform != "linux":
            print(f"{name:<36} not measured (Linux alone tells)")
            continue
        environment = os.environ | {"RATEREG_KERNEL": switch}
        command = [sys.executable, "-c", MEMORY, str(images)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        print(f"{name:<36} {run.stdout.strip()}")

    if not torch.cuda.is_available():
        print("\nGPU: not measured (none here)")
        return
    tensors = posteriors(images, 0.4, "cuda")

    def on_gpu() -> Tensor:
        return aggregate_log_prob(*tensors).cpu()

    on_gpu()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    best = min(seconds(on_gpu) for _ in range(ROUNDS))
    peak = (torch.cuda.max_memory_allocated() - held) / 1e6
    print(
        f"\nGPU: {torch.cuda.get_device_name()}, {images:,} x {images:,}: {best:.2f} s, {peak:.0f} MB over the inputs"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SIZE)
