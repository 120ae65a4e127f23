"""Provenance of a result: commit, versions, device, precision and date."""

import datetime
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ratereg.evaluation import kernel

__all__ = ["environment", "joined"]


def environment(device: torch.device) -> dict[str, Any]:
    """Return the commit, versions and hardware of this process, for `provenance.json`."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("ratereg", "torch", "numpy", "pandas")},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "kernels": kernel.program(device),
    }


def joined(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last of several environments, with the distinct values of the others beside its own.

    A run that was stopped may have gone on another day, at another commit or elsewhere.
    """
    together = dict(environments[-1])
    for key, value in together.items():
        distinct = sorted({name for one in environments if key in one for name in str(one[key]).split("; ")})
        if isinstance(value, str | int) and len(distinct) > 1:
            together[key] = "; ".join(distinct)
    return together


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "source tree"


def _commit() -> str:
    """Return the commit of the source tree this package lies in, marked when the package is changed, or ''."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", "--", Path(__file__).name)  # else it is installed within another project
        commit, changed = git("rev-parse", "--short=12", "HEAD").strip(), git("status", "--porcelain", "--", "..")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}, changed" if changed else commit


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
