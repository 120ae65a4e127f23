"""C compiled at its first use, for the machine that runs it, and kept in the cache.

The environment variable CC names the compiler, else cc, gcc and clang are tried; RATEREG_KERNEL=0 turns C off.
"""

import ctypes
import functools
import hashlib
import itertools
import os
import shlex
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from ratereg.storage import cache_directory

__all__ = ["load"]

# Not -ffast-math: infinite distances have to stay infinite. The sums that may be reordered are marked in the source.
_FLAGS = ["-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fPIC", "-shared"]

# For this very processor; some compilers for ARM do not take the flag.
_TUNINGS: tuple[list[str], ...] = (["-march=native"], [])


def load(source: Path, declare: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL | None:
    """Return the library compiled from a C file, or None where that fails or is turned off.

    The first call compiles, which takes a second. Where that fails, a RuntimeWarning says so once.

    Arguments:
        source: the C file.
        declare: called once with the library, to declare its functions' arguments and results.
    """
    return None if os.environ.get("RATEREG_KERNEL") == "0" else _loaded(source, declare)


@functools.cache
def _loaded(source: Path, declare: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL | None:
    chosen = os.environ.get("CC")
    compilers = [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]
    failures = []
    for compiler, tuning in itertools.product(compilers, _TUNINGS):
        try:
            library = ctypes.CDLL(str(_compiled(source, [*compiler, *tuning])))
        except (OSError, subprocess.SubprocessError) as error:
            failures.append(f"{shlex.join([*compiler, *tuning])}: {error}")
            continue
        declare(library)
        return library
    warnings.warn(
        f"{source.name} was not compiled, so PyTorch does its work, many times slower. Install gcc or clang, or set CC "
        f"to a C compiler; RATEREG_KERNEL=0 chooses PyTorch without this warning. Tried {'; '.join(failures)}.",
        RuntimeWarning,
        stacklevel=4,
    )
    return None


def _compiled(source: Path, compiler: list[str]) -> Path:
    """Return the path of the library in the cache."""

    def run(*arguments: str) -> bytes:
        return subprocess.run([*compiler, *arguments], capture_output=True, check=True, timeout=60).stdout

    # A compiler's macros tell its version and the processor's features: code for one need not run on another.
    macros = run(*_FLAGS, "-dM", "-E", "-xc", os.devnull)
    parts = [source.read_bytes(), macros, shlex.join([*compiler, *_FLAGS]).encode()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    path = cache_directory() / "kernels" / f"{source.stem}-{digest}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when complete, so that a process that compiles at the same time never loads half a file.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, path.name)
            run(*_FLAGS, str(source), "-o", str(part), "-lm")
            os.replace(part, path)
    return path
