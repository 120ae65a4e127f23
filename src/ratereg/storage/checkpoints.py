"""Checkpoints of long computations: tensors and a record, in a safetensors file with a digest of both.

A checkpoint is written atomically, and the previous one is kept.
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

from ratereg.storage.atomic import StorageError, folder_beside, set_default_mode, to_disk

__all__ = ["load_checkpoint", "save_checkpoint", "tensors_digest"]


def save_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `record` to `path`, and keep the checkpoint that was there as the previous one.

    A process killed at any moment leaves a valid checkpoint if there was one.

    Raises:
        StorageError: the disk is full, or the folder can't be written to; the checkpoints there are as they were.
    """
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(record)
    with folder_beside(path) as folder:
        new, kept = folder / "new", folder / "kept"
        save_file(here, new, metadata={"record": text, "digest": tensors_digest(here, text)})
        set_default_mode(new)
        to_disk(new)
        if path.is_file():
            try:
                os.link(path, kept)
            except OSError:  # a file system without links
                shutil.copyfile(path, kept)
        # In this order, as `path` may have been damaged: the previous one is given up when the new one is in place.
        os.replace(new, path)
        if kept.exists():
            os.replace(kept, _previous(path))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the record at `path`, else those of the previous checkpoint, or None without a valid one.

    A warning names a damaged checkpoint, and the one that is used instead.

    Raises:
        StorageError: a checkpoint is there, and can't be opened.
    """
    damaged: list[Path] = []
    for one in (path, _previous(path)):
        try:
            found = _read(one)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if found:
            if one != path:
                state = "damaged" if damaged else "missing"
                warnings.warn(f"checkpoint {path} is {state}; the previous one, {one}, is used.", stacklevel=2)
            return found
        damaged.append(one)
    if damaged:
        named = " and ".join(map(str, damaged))
        warnings.warn(f"checkpoint {named}: cut short or altered, so it is not used.", stacklevel=2)
    return None


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the content of a checkpoint, or None if its digest is not that of its content."""
    try:
        path.open("rb").close()  # safetensors calls every file missing that it can't open
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"{path} can't be read: {reason}. Mend that, or remove it to start again.") from error
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if metadata["digest"] != tensors_digest(tensors, metadata["record"]):
            return None
        return tensors, json.loads(metadata["record"])
    except (SafetensorError, KeyError, OSError):
        return None


def tensors_digest(tensors: dict[str, Tensor], record: str) -> str:
    """Return a digest of the record, and of the tensors' names, types, shapes and values, none of which is copied."""
    digest = hashlib.sha256(record.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), *tensor.shape]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
