"""C sources of the package, compiled at their first use for the machine they run on.

None is there where there is no C compiler ($CC, else cc, gcc or clang), where the cache cannot be written, or where the
environment says RATEREG_KERNEL=0; then the programs in torch run instead.
"""

import ctypes
import functools
import hashlib
import itertools
import os
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from ratereg.storage import cache_directory

__all__ = ["load", "on_threads"]

_HEADER = Path(__file__).with_name("native.h")

# Not -ffast-math: infinite distances have to stay infinite. The sums that may be reordered are marked in the source.
_FLAGS = ["-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]

# For the very processor; compilers for ARM do not all take it, and can do without.
_TUNINGS: tuple[list[str], ...] = (["-march=native"], [])


def load(source: Path, declare: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL | None:
    """Return the library compiled from `source`, or None; the first call compiles it, in a second.

    Arguments:
        source: a C file; it may include native.h.
        declare: called once with the library, to say what its functions take and return.
    """
    return None if os.environ.get("RATEREG_KERNEL") == "0" else _loaded(source, declare)


def on_threads(work: Callable[[], object], most: int) -> None:
    """Call `work` on torch's number of threads at once, `most` at the most, the calling one among them.

    Each call is to take what is left to do until nothing is, so a thread that comes late changes nothing. They are
    Python's threads: a kernel runs without the interpreter's lock, and no second OpenMP beside torch's.
    """
    others = [_pool(os.getpid()).submit(work) for _ in range(min(most, torch.get_num_threads()) - 1)]
    try:
        work()
    finally:
        for other in others:
            if not other.cancel():
                other.result()


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return a process's pool: a fork has none of its parent's threads. Threads start as they are needed."""
    return ThreadPoolExecutor(1024, thread_name_prefix=f"ratereg-{process}")


@functools.cache
def _loaded(source: Path, declare: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL | None:
    """Load a library, compiled now unless it has been, by such a compiler for such a processor; None if that fails."""
    chosen = os.environ.get("CC")
    compilers = [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]
    for compiler, tuning in itertools.product(compilers, _TUNINGS):
        try:
            library = ctypes.CDLL(str(_compiled(source, [*compiler, *tuning])))
        except (OSError, subprocess.SubprocessError):
            continue
        declare(library)
        return library
    return None


def _compiled(source: Path, compiler: list[str]) -> Path:
    """Return the path of the library in the cache, under a name that tells source, compiler, flags and processor."""

    def run(*arguments: str) -> bytes:
        return subprocess.run([*compiler, *arguments], capture_output=True, check=True, timeout=60).stdout

    flags = [*_FLAGS, f"-I{_HEADER.parent}"]
    parts = [source.read_bytes(), _HEADER.read_bytes(), run("--version"), shlex.join([*compiler, *_FLAGS]).encode()]
    digest = hashlib.sha256(b"\0".join([*parts, _processor().encode()])).hexdigest()[:16]
    path = cache_directory() / "kernels" / f"{source.stem}-{digest}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that of two processes that compile at once neither loads half a file.
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            part = Path(aside, path.name)
            run(*flags, "-fPIC", "-shared", str(source), "-o", str(part), "-lm")
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
