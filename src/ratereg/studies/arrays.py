"""A result's arrays on disk: `arrays.npz`, and where that would be too large for git, further files beside it.

Each file holds a run of rows of each array, and the first one names the others, so that a missing one is noticed.
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

__all__ = ["FILE_LIMIT", "load_arrays", "save_arrays"]

FILE_LIMIT = 2_000_000
"""Bytes; the files of a result stay below that, unless a single member's rows are larger."""

_FIRST = "arrays.npz"
_OTHERS = "other_files"


def save_arrays(directory: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, none named "other_files", to as few files as stay below `FILE_LIMIT`."""
    most = max(map(len, arrays.values()), default=1)
    files = [_packed(arrays)]
    # Each array is cut alike, so compressed parts are about equally large, and a few tries find their number.
    number = math.ceil(len(files[0]) / FILE_LIMIT)
    while max(map(len, files)) >= FILE_LIMIT and len(files) < most:
        files = _cut(arrays, min(number, most))
        number += 1
    for place, content in zip(_names(len(files)), files, strict=True):
        (directory / place).write_bytes(content)


def load_arrays(directory: Path) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote.

    Raises:
        FileNotFoundError: a file is missing.
    """
    arrays = _read(directory / _FIRST)
    others = arrays.pop(_OTHERS, np.array([], dtype=str)).tolist()
    missing = [name for name in others if not (directory / name).is_file()]
    if missing:
        raise FileNotFoundError(f"Results: {directory} lacks {', '.join(missing)}; give a whole result directory.")
    parts = [arrays, *(_read(directory / name) for name in others)]
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in arrays}


def _names(number: int) -> list[str]:
    return [_FIRST, *(f"arrays-{one}.npz" for one in range(2, number + 1))]


def _cut(arrays: Mapping[str, np.ndarray], number: int) -> list[bytes]:
    """Cut each array into `number` runs of rows; a part lacks those that have no row for it, the first lacks none."""
    cuts = {name: np.array_split(values, number) for name, values in arrays.items()}
    parts = [{name: runs[k] for name, runs in cuts.items() if k == 0 or len(runs[k])} for k in range(number)]
    parts[0][_OTHERS] = np.array(_names(number)[1:])
    return [_packed(part) for part in parts]


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **dict(arrays))
    return content.getvalue()


def _read(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
