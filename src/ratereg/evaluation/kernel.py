"""The compiled sum over mixture components: mixture.c, compiled at its first use for the machine it runs on.

Whether it runs is `available()`. It does not where there is no C compiler ($CC, else cc, gcc or clang), where the cache
cannot be written, or where the environment says RATEREG_KERNEL=0; then the program in torch runs instead.
"""

import ctypes
import functools
import hashlib
import math
import os
import platform
import shlex
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.storage import cache_directory

__all__ = ["available", "log_sum_of_densities"]

_SOURCE = Path(__file__).with_name("mixture.c")

# Not -ffast-math: infinite distances have to stay infinite. The sums that may be reordered are marked in the source.
_FLAGS = ["-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]

_QUERIES = 4096
"""Queries a call of the kernel works on at the most: so many that laying out the components costs little beside it."""


def available() -> bool:
    """Return whether sums over components run in the compiled kernel; the first call compiles it, in a second."""
    return os.environ.get("RATEREG_KERNEL") != "0" and _library() is not None


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
    library = _library()
    if library is None:
        raise RuntimeError("the kernel could not be compiled here; ask available() first.")
    z, mean, log_var = z.double().contiguous(), mean.double().contiguous(), log_var.double()
    log2e = math.log2(math.e)
    scale = (log_var / -2).exp_().mul_(math.sqrt(log2e / 2)).contiguous()
    constant = (log_var.sum(1) + log_var.shape[1] * math.log(2 * math.pi)) * (log2e / 2)
    # The kernel's float32 starts from a place amid the means, so that those far from the origin lose nothing.
    centre = mean.mean(0)
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
                centre.data_ptr(),
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


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Load the kernel, compiled now unless it has been, by such a compiler for such a processor; None if that fails."""
    chosen = os.environ.get("CC")
    for compiler in [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]:
        try:
            library = ctypes.CDLL(str(_compiled(compiler)))
        except (OSError, subprocess.SubprocessError):
            continue
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        library.log_sum_of_densities.argtypes = [*[pointer] * 7, *[count] * 3]
        library.log_sum_of_densities.restype = ctypes.c_int
        return library
    return None


def _compiled(compiler: list[str]) -> Path:
    """Return the path of the compiled kernel in the cache, under a name that tells source, compiler and processor."""

    def run(*arguments: str) -> bytes:
        return subprocess.run([*compiler, *arguments], capture_output=True, check=True, timeout=60).stdout

    parts = [_SOURCE.read_bytes(), run("--version"), shlex.join([*compiler, *_FLAGS]).encode(), _processor().encode()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    path = cache_directory() / "kernels" / f"mixture-{digest}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that of two processes that compile at once neither loads half a file.
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            part = Path(aside, path.name)
            run(*_FLAGS, "-fPIC", "-shared", str(_SOURCE), "-o", str(part), "-lm")
            os.replace(part, path)
    return path


def _processor() -> str:
    """Return what the processor can do, as far as the system tells: code for one need not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.machine()} {platform.processor()} {features}"
