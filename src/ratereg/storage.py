"""What is kept on this machine: the cache, and checkpoints of long computations.

A checkpoint is tensors and a small record beside them, in one safetensors file, written aside and renamed.
"""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["cache_directory", "load_checkpoint", "save_checkpoint"]


def cache_directory() -> Path:
    """Return where all that can be made again is kept: $RATEREG_CACHE, else ratereg/ in the user's cache."""
    if chosen := os.environ.get("RATEREG_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ratereg"


def save_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `record` to `path`; a reader finds the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, aside, metadata={"record": json.dumps(record)})
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the record at `path`, or None where there is none, or none that can be read."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, json.loads(file.metadata()["record"])
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
