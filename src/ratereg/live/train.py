"""The training of a small ensemble, step by step: a generator that tells how far it is, and can be stopped."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from ratereg.measurements import Information, Measured, RateDistortion
from ratereg.studies import Results, Study
from ratereg.studies.assemble import Facts, identified, member_rows
from ratereg.studies.precision import resolved_precision
from ratereg.studies.provenance import environment
from ratereg.studies.shard import trainer_of

__all__ = ["Progress", "check_watchable", "look_steps", "train"]

_CPU = torch.device("cpu")

# Trainers set the process's number of threads, so several take turns, a fifth of a second each.
_TURN = threading.Lock()

_QUICK = (RateDistortion(images=256), Information(images=256, queries=128))
"""Measured during training: on so few images that training has most of the time."""


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        study: study that is trained.
        state: "training", "measuring", and at the end "finished" or "stopped".
        step: number of steps made.
        speed: member-steps a second, without the time of measuring.
        looks: for each step looked at its rows of a result's table; only those of the last step are of all images.
        results: at the end, those of a study of as many steps as were made; else None.
    """

    study: Study
    state: str = "training"
    step: int = 0
    speed: float = 0.0
    looks: list[pd.DataFrame] = field(default_factory=list)
    results: Results | None = None


def check_watchable(study: Study) -> None:
    """Raise ValueError for a study that is not one ensemble, or whose learning rate changes.

    With a constant learning rate, members that are stopped are those of a study of fewer steps.
    """
    for name, axis in (("data", study.axis_data), ("network", study.axis_networks), ("prior", study.axis_priors)):
        if len(axis) > 1:
            raise ValueError(f"watch: study has {len(axis)} values of {name}; give one, to be trained together.")
    if study.schedule != "constant":
        raise ValueError(
            f"watch: study.schedule is {study.schedule!r}; give 'constant', with which a training may "
            "be stopped at any step."
        )


def look_steps(steps: int) -> list[int]:
    """Return the steps after which a training is looked at: densely at first, then after each tenth of it."""
    first = np.geomspace(1, steps, 9)
    return sorted({round(step) for step in (*first, *np.linspace(steps / 10, steps, 10))} - {0})


def train(study: Study, stopping: Callable[[], bool]) -> Iterator[Progress]:
    """Train the members of a study on the CPU as one ensemble, and yield the progress some times a second.

    The numbers are those of `ratereg.load_or_run`. When `stopping`, called between steps, returns True, what has been
    trained is measured.

    Raises:
        FloatingPointError: all networks have diverged.
        ValueError: the data are refused.
    """
    progress, precision = Progress(study), resolved_precision(study, _CPU)
    yield progress
    images = study.axis_data[0].load()
    facts, trainer = Facts.of(images), trainer_of(study.trainings(precision), images, _CPU)
    seconds = 0.0

    def look(study: Study, found: Sequence[Measured]) -> None:
        """Note the rows of measurements at this step, as those of a study's table."""
        diverged_at = [None if at < 0 else at for at in trainer.diverged_at.tolist()]
        rows = []
        for member, own in enumerate(member_rows(found, diverged_at)):
            training = study.trainings(precision)[member]
            at_step = [{"step": trainer.step, **row} for row in own]
            rows += identified(at_step, training, member, facts, diverged_at[member])
        # A run that was stopped where it had been looked at is measured there again, on all images.
        kept = [one for one in progress.looks if one["step"].iloc[0] != trainer.step]
        progress.looks = [*kept, pd.DataFrame(rows)]

    for step in look_steps(study.steps):
        while trainer.step < step and not stopping():
            with _TURN:
                began = time.monotonic()
                trainer.advance(step, lambda made: True)
                seconds += time.monotonic() - began
            progress.step, progress.speed = trainer.step, trainer.step * len(study) / max(seconds, 1e-9)
            yield progress
        if stopping():
            break
        if (trainer.diverged_at >= 0).all():
            raise FloatingPointError(
                f"All networks have diverged by step {trainer.step}: their losses are no longer finite. "
                f"Choose a smaller learning rate than {study.learning_rate:g}."
            )
        if step < study.steps:
            look(study, [one(trainer.vae, images) for one in _QUICK])
            yield progress
    if trainer.step:
        progress.state = "measuring"
        yield progress
        ended = study.replace(steps=trainer.step)
        found = [one(trainer.vae, images) for one in study.measurements]
        look(ended, found)
        arrays = {name: values for one in found for name, values in one.arrays.items()}
        arrays["member_dataset"] = np.zeros(len(study), dtype=int)
        table = pd.concat(progress.looks).sort_values(["member", "step", "partition"], ascending=[True, True, False])
        provenance = environment(_CPU) | {"precision": precision, "members": len(study)}
        provenance |= {"seconds": round(seconds), "steps": trainer.step}
        progress.results = Results(ended, table.reset_index(drop=True), arrays, provenance)
    progress.state = "finished" if trainer.step == study.steps else "stopped"
    yield progress
