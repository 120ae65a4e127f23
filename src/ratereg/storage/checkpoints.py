"""Checkpoints of long computations, of which a sound one is there at every moment.

A checkpoint is tensors and a small record beside them, in one safetensors file with a digest of both. It is written
aside and renamed, and the one before it is kept.
"""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ratereg.storage.folders import StorageError, to_disk, writing

__all__ = ["load_checkpoint", "remove_checkpoint", "save_checkpoint"]


def save_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `record` to `path`, and keep what was there as the checkpoint before.

    Killed at any moment, it leaves a sound checkpoint if there was one. One process at a time may save to a path.

    Raises:
        StorageError: the disk is full, or the folder can't be written to; the checkpoints there are as they were.
    """
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(record)
    metadata = {"record": text, "digest": _digest(here, text)}
    aside, kept = (path.with_name(f"{path.name}.{os.getpid()}.{end}.part") for end in ("new", "previous"))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        try:
            # In a folder of its own: safetensors first writes to a file of a name that nobody else would know.
            aside.mkdir()
            new = aside / path.name
            save_file(here, new, metadata=metadata)
            to_disk(new)
            if path.is_file():
                _link(path, kept)
            # In this order, as `path` may have been damaged: the one before is given up when the new one is in place.
            os.replace(new, path)
            if kept.exists():
                os.replace(kept, _previous(path))
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            kept.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the record at `path`, else those of the checkpoint before, or None where none is sound.

    It warns where `path` is not sound, and says what it took instead.

    Raises:
        StorageError: a checkpoint is there, and can't be opened.
    """
    there = [one for one in (path, _previous(path)) if _is_there(one)]
    for one in there:
        found = _read(one)
        if found is not None:
            if one != path:
                state = "is damaged" if path in there else "is missing"
                warnings.warn(f"checkpoint {path} {state}; going on from the one before it, {one}.", stacklevel=2)
            return found
    if there:
        damaged = " and ".join(map(str, there))
        warnings.warn(f"checkpoint {damaged}: cut short or altered, so it is not used.", stacklevel=2)
    return None


def remove_checkpoint(path: Path) -> None:
    """Remove the checkpoint at `path`, and the one before it."""
    with writing(path):
        if path.parent.is_dir():
            _remove_leftovers(path)
            # The one before goes first, so that killed in between the newest is left.
            _previous(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


def _is_there(path: Path) -> bool:
    """Return whether there is a file; safetensors calls every file that it can't open missing, so it is not asked."""
    try:
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"{path} can't be read: {reason}. Mend that, or remove it to begin anew.") from error
    return True


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what a checkpoint holds, or None if its digest is not that of its content."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if metadata["digest"] != _digest(tensors, metadata["record"]):
            return None
        return tensors, json.loads(metadata["record"])
    except (SafetensorError, KeyError, OSError):
        return None


def _digest(tensors: dict[str, Tensor], record: str) -> str:
    """Return a digest of the record, and of the tensors' names, types, shapes and values, none of which is copied."""
    digest = hashlib.sha256(record.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), *tensor.shape]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _link(path: Path, other: Path) -> None:
    """Give a file a second name, or where the file system has no links a copy."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes killed while they saved have left."""
    for leftover in path.parent.glob(f"{path.name.replace('[', '[[]')}.*.part"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
