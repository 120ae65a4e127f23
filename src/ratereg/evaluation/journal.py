"""What a long computation has done so far: kept in a file, so that it can go on, and shown in a progress bar."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor
from tqdm.auto import tqdm

from ratereg.storage import load_checkpoint, save_checkpoint

__all__ = ["Journal", "digest"]

_TOLERANCE = 1e-4
"""Relative difference that other threads or another device may make in the fingerprint of one model."""


class Journal:
    """The state of a computation of several phases, saved every so often and when a phase ends.

    Arguments:
        path: the file; None keeps nothing.
        settings: all that determines the outcome, JSON-able.
        fingerprint: values that tell another model from this one.
        seconds: between saves.
        total: steps of all phases together, for the bar.
        progress: whether to show a bar.

    Raises:
        ValueError: the file holds the state of other settings or of another model, or `seconds` is negative.
    """

    def __init__(
        self,
        path: Path | None,
        settings: dict[str, Any],
        fingerprint: Float64[Tensor, "..."],
        *,
        seconds: float,
        total: int,
        progress: bool,
    ) -> None:
        if not seconds >= 0:
            raise ValueError(f"checkpoint_seconds is {seconds!r}; give the seconds between saves, 0 or more.")
        self._path, self._seconds, self._saved = path, seconds, time.monotonic()
        self._device = fingerprint.device
        self._settings: dict[str, Any] = json.loads(json.dumps(settings))
        self._steps: dict[str, int] = {}
        self._tensors = {"fingerprint": fingerprint}
        if path is not None and (found := load_checkpoint(path)) is not None:
            self._take(path, *found)
        self._bar = tqdm(total=total, initial=sum(self._steps.values()), disable=not progress, unit="step")

    def _take(self, path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        known, ours = record.get("settings", {}), self._settings
        other = sorted(name for name in known.keys() | ours.keys() if known.get(name) != ours.get(name))
        fingerprint = self._tensors["fingerprint"].cpu()
        alike = "fingerprint" in tensors and tensors["fingerprint"].shape == fingerprint.shape
        if not other and not (
            alike and torch.allclose(tensors["fingerprint"], fingerprint, rtol=_TOLERANCE, equal_nan=True)
        ):
            other = ["model"]
        if other:
            raise ValueError(
                f"checkpoint {str(path)!r} is of another computation: {', '.join(other)} differs; "
                "remove the file, or name another one."
            )
        self._steps, self._tensors = record["steps"], tensors

    def restore(self, phase: str) -> tuple[int, dict[str, Tensor]] | None:
        """Return the steps made in `phase` and its state then, or None where it has not begun."""
        if phase not in self._steps:
            return None
        prefix = f"{phase}/"
        state = {
            name.removeprefix(prefix): tensor.to(self._device)
            for name, tensor in self._tensors.items()
            if name.startswith(prefix)
        }
        return self._steps[phase], state

    def record(self, phase: str, step: int, state: dict[str, Tensor], *, last: bool) -> None:
        """Note that `phase` has made `step` steps, and save where that is due."""
        self._bar.set_description(phase, refresh=False)
        self._bar.update(1)
        if self._path is not None and (last or time.monotonic() - self._saved >= self._seconds):
            self._tensors |= {f"{phase}/{name}": tensor for name, tensor in state.items()}
            self._steps[phase] = step
            save_checkpoint(self._path, self._tensors, {"settings": self._settings, "steps": self._steps})
            self._saved = time.monotonic()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def digest(tensor: Shaped[Tensor, "..."]) -> str:
    """Return a digest of a tensor's values, type and shape."""
    described = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return hashlib.sha256(described + tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
