"""The compiled sum over mixture components; where it is not `available()`, PyTorch does the same."""

import ctypes
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.native import load

__all__ = ["available", "log_sum_of_densities", "program"]

_SOURCE = Path(__file__).with_name("mixture.c")

_QUERIES = 4096
"""Most queries a call of the kernel works on: so many that laying out the components costs little."""


def available() -> bool:
    """Return whether the kernel is compiled; the first call compiles it, in a second."""
    return load(_SOURCE, _declare) is not None


def program(device: torch.device | str) -> str:
    """Return which program sums mixture components on a device, "mixture.c" or "torch"."""
    return "mixture.c" if torch.device(device).type == "cpu" and available() else "torch"


def log_sum_of_densities(
    z: Float[Tensor, "query latent"],
    mean: Float[Tensor, "component latent"],
    log_var: Float[Tensor, "component latent"],
    left_out: Int64[Tensor, " query"] | None = None,
) -> Float64[Tensor, " query"]:
    """Return log sum_n q(z|x_n) in nats, on PyTorch's number of threads, all tensors on the CPU.

    `left_out` holds for each query the row of a component that its sum omits.

    Raises:
        ValueError: a tensor is not on the CPU, or its type or shape does not fit.
        RuntimeError: the kernel is not available.
        MemoryError: there is no memory for one block of components.
    """
    library = load(_SOURCE, _declare)
    if library is None:
        raise RuntimeError("The kernel is not compiled here; call available() first.")
    z, mean, log_var = (tensor.double().contiguous() for tensor in (z, mean, log_var))
    log2e = math.log2(math.e)
    scale = (log_var / -2).exp_().mul_(math.sqrt(log2e / 2))
    constant = (log_var.sum(1) + log_var.shape[-1] * math.log(2 * math.pi)) * (log2e / 2)
    # The kernel's float32 counts from the middle of the means, so that means far from the origin lose nothing.
    center = mean.mean(0)
    out = torch.empty(len(z), dtype=torch.float64, device="cpu")
    queries, (components, latent) = len(z), mean.shape
    left_out = None if left_out is None else left_out.contiguous()
    shared = [
        _pointer("mean", mean, components, latent),
        _pointer("log_var", scale, components, latent),
        _pointer("log_var", constant, components),
        _pointer("mean", center, latent),
    ]
    size = max(1, min(_QUERIES, math.ceil(queries / torch.get_num_threads())))

    def work(start: int) -> int:
        here = slice(start, min(start + size, queries))
        count = here.stop - start
        z_at, out_at = _pointer("z", z[here], count, latent), _pointer("out", out[here], count)
        left_out_at = None if left_out is None else _pointer("left_out", left_out[here], count)
        return int(library.log_sum_of_densities(z_at, *shared, left_out_at, out_at, count, components, latent))

    # Python's threads: the kernel runs without the interpreter's lock, and needs no OpenMP beside PyTorch's.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        if any(pool.map(work, range(0, queries, size))):
            raise MemoryError(f"There is no memory for a block of components with {latent} latent dimensions.")
    return out


def _pointer(name: str, tensor: Tensor, *shape: int) -> int:
    """Return a tensor's address. Every tensor that the kernel gets passes here.

    Raises ValueError unless it is what the kernel reads: contiguous numbers on the CPU, int64 for `left_out`.
    """
    dtype = torch.int64 if name == "left_out" else torch.float64
    fits = tensor.device.type == "cpu" and tensor.dtype == dtype and tensor.shape == shape
    if not fits or not tensor.is_contiguous():
        raise ValueError(
            f"{name} is {tensor.dtype} {tuple(tensor.shape)} on {tensor.device}; the kernel takes contiguous {dtype} "
            f"{shape} on the CPU."
        )
    return tensor.data_ptr()


def _declare(library: ctypes.CDLL) -> None:
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    library.log_sum_of_densities.argtypes = [*[pointer] * 7, *[count] * 3]
    library.log_sum_of_densities.restype = ctypes.c_int
