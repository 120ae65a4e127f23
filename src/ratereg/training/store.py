"""Store of each training under its digest: the final weights, the record of the run, and its measurements."""

from pathlib import Path
from typing import Any

from torch import Tensor

from ratereg.storage import cache_directory, load_checkpoint, save_checkpoint
from ratereg.training.key import Training

__all__ = ["has", "keep", "keep_weights", "kept", "weights"]

_WEIGHTS = "weights.safetensors"


def keep_weights(training: Training, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Keep the weights of one member, each with a leading axis of 1, and a JSON-able record of the run.

    Raises:
        StorageError: the cache can't be written.
    """
    keep(training, _WEIGHTS, tensors, {"training": training.settings, **record})


def weights(training: Training) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the weights and the record of a training, or None where they are not on this machine."""
    return kept(training, _WEIGHTS)


def has(training: Training, name: str = _WEIGHTS) -> bool:
    """Return whether the weights are there and whole, or what was kept under another name."""
    return kept(training, name) is not None


def keep(training: Training, name: str, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Keep what was measured of a training, by the name of the measurement.

    Raises:
        StorageError: the cache can't be written.
    """
    save_checkpoint(_folder(training) / name, tensors, record)


def kept(training: Training, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `keep` kept under a name, or None where it is not on this machine, or damaged."""
    return load_checkpoint(_folder(training) / name)


def _folder(training: Training) -> Path:
    return cache_directory() / "trainings" / training.digest
