"""Seconds to render the Tetrominoes as uint8: as it is, on one thread, and with the block's program compiled.

Usage: python benchmarks/render.py [images]
"""

import shutil
import sys
import time
from collections.abc import Callable
from unittest import mock

import torch

from ratereg.data import tetrominoes


def seconds(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main(count: int) -> None:
    threads = torch.get_num_threads()
    factors = tetrominoes.factors()[:: max(1, tetrominoes.COUNT // count)]

    def render() -> torch.Tensor:
        return tetrominoes.render(factors, dtype=torch.uint8)

    def report(name: str) -> torch.Tensor:
        first, _ = seconds(render)
        again, images = seconds(render)
        print(f"{name:<32} {first:>11.2f} {again:>10.2f}")
        return images

    print(f"{len(factors):,} images, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    print(f"{'':<32} {'first call':>11} {'next call':>10}")
    images = report(f"as it is, {threads} threads")
    torch.set_num_threads(1)
    report("as it is, 1 thread")
    torch.set_num_threads(threads)
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        print("compiled: there is no C++ compiler here")
        return
    with mock.patch.object(tetrominoes, "_coverage", torch.compile(tetrominoes._coverage)):
        compiled = report(f"compiled, {threads} threads")
    differ = (compiled != images).sum().item()
    print(f"{differ} of {images.numel():,} values differ between compiled and not")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else tetrominoes.COUNT)
