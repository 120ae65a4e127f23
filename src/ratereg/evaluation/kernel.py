"""The compiled sum over mixture components; where it is not `available()`, the program in torch runs instead."""

import ctypes
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.native import load

__all__ = ["available", "log_sum_of_densities"]

_SOURCE = Path(__file__).with_name("mixture.c")

_QUERIES = 4096
"""Queries a call of the kernel works on at the most: so many that laying out the components costs little beside it."""


def available() -> bool:
    """Return whether sums over components run in the compiled kernel; the first call compiles it, in a second."""
    return load(_SOURCE, _declare) is not None


def log_sum_of_densities(
    z: Float[Tensor, "query latent"],
    mean: Float[Tensor, "component latent"],
    log_var: Float[Tensor, "component latent"],
    left_out: Int64[Tensor, " query"] | None = None,
) -> Float64[Tensor, " query"]:
    """Return log sum_n q(z|x_n) in nats, on torch's number of threads, all tensors on the CPU.

    Arguments:
        z: where to evaluate.
        mean: of the components.
        log_var: of the components.
        left_out: for each query the row of a component that its sum goes without.

    Raises:
        RuntimeError: the kernel is not available.
        MemoryError: there is no memory for one block of components.
    """
    library = load(_SOURCE, _declare)
    if library is None:
        raise RuntimeError("the kernel could not be compiled here; ask available() first.")
    z, mean, log_var = z.double().contiguous(), mean.double().contiguous(), log_var.double()
    log2e = math.log2(math.e)
    scale = (log_var / -2).exp_().mul_(math.sqrt(log2e / 2)).contiguous()
    constant = (log_var.sum(1) + log_var.shape[1] * math.log(2 * math.pi)) * (log2e / 2)
    # The kernel's float32 starts from a place amid the means, so that those far from the origin lose nothing.
    center = mean.mean(0)
    skipped = None if left_out is None else left_out.contiguous()
    out = torch.empty(len(z), dtype=torch.float64)
    threads = torch.get_num_threads()
    rounds = max(1, math.ceil(len(z) / (threads * _QUERIES)))
    size = max(1, math.ceil(len(z) / (threads * rounds)))

    def work(start: int) -> int:
        rows = slice(start, start + size)
        return int(
            library.log_sum_of_densities(
                z[rows].data_ptr(),
                mean.data_ptr(),
                scale.data_ptr(),
                constant.data_ptr(),
                center.data_ptr(),
                None if skipped is None else skipped[rows].data_ptr(),
                out[rows].data_ptr(),
                len(out[rows]),
                *mean.shape,
            )
        )

    # Threads of Python's: the kernel runs without the interpreter's lock, and no second OpenMP beside torch's.
    with ThreadPoolExecutor(threads) as pool:
        if any(pool.map(work, range(0, len(z), size))):
            raise MemoryError(f"There is no memory for a block of components with {mean.shape[1]} latent dimensions.")
    return out


def _declare(library: ctypes.CDLL) -> None:
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    library.log_sum_of_densities.argtypes = [*[pointer] * 7, *[count] * 3]
    library.log_sum_of_densities.restype = ctypes.c_int
