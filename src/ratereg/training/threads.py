"""Threads that each train some members, as they do on a CPU."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

__all__ = ["threads"]


@contextmanager
def threads(count: int, each: int) -> Iterator[Callable[[Callable[[int], None]], None]]:
    """Yield a function that calls another with 0 to `count` - 1, each in a thread with `each` of torch's threads."""
    before = torch.get_num_threads()

    def call(work: Callable[[int], None], index: int) -> None:
        if torch.get_num_threads() != each:
            torch.set_num_threads(each)
        with _subnormals_flushed():
            work(index)

    if count == 1:
        yield lambda work: call(work, 0)
        return

    def call_all(work: Callable[[int], None]) -> None:
        for done in [pool.submit(call, work, index) for index in range(count)]:
            done.result()

    try:
        with ThreadPoolExecutor(count) as pool:
            yield call_all
    finally:
        # Some of the libraries' numbers of threads are those of the process.
        torch.set_num_threads(before)


@contextmanager
def _subnormals_flushed() -> Iterator[None]:
    """Take subnormal numbers for zero: Adam's moments decay through them, where processors are many times slower."""
    before = bool(torch.tensor(1e-40, dtype=torch.float32, device="cpu") == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
