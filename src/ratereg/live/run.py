"""A training that can be looked at and stopped while it goes on, in a thread of its own."""

import contextvars
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ratereg.measurements import Information, RateDistortion
from ratereg.models import VAE
from ratereg.studies import Results, Study
from ratereg.studies.assemble import Facts, identity_of, joined_rows
from ratereg.studies.precision import resolved_precision
from ratereg.studies.provenance import environment
from ratereg.training import Trainer

__all__ = ["Run", "look_steps"]

_CPU = torch.device("cpu")

# Trainers set the process's number of threads, so several take turns, a fifth of a second each.
_TURN = threading.Lock()

_QUICK = (RateDistortion(images=256), Information(images=256, queries=128))
"""Measured while it trains: on so few images that training has most of the time."""

_WELL = {"diverged_at": math.nan, "failure": math.nan}


def look_steps(steps: int) -> list[int]:
    """Return the steps after which a training is looked at: densely at first, then after each tenth of it."""
    first = np.geomspace(1, steps, 9)
    return sorted({round(step) for step in (*first, *np.linspace(steps / 10, steps, 10))} - {0})


class Run:
    """The members of a study of one data set, network and prior, trained on the CPU as one ensemble, in a thread.

    Several runs of a process take turns.

    Arguments:
        study: study to train; its learning rate is constant, so after a stop the members are those of a study of fewer
            steps.
        show: function called in that thread with the run when there is something new to show.

    Attributes:
        state: "waiting", "training", "measuring", and at the end "finished", "stopped", "failed" or "dropped".
        step: number of steps made.
        speed: member-steps a second, without the time of measuring.
        looks: for each step looked at its rows of a result's table; only those of the last step are of all images.
        results: at the end, those of a study of as many steps as were made; else None.
        error: exception that ended the run, if the state is "failed".

    Raises:
        ValueError: the study has several data sets, networks or priors, or a learning rate that changes.
    """

    def __init__(self, study: Study, show: Callable[["Run"], None]) -> None:
        for name, axis in (("data", study.axis_data), ("network", study.axis_networks), ("prior", study.axis_priors)):
            if len(axis) > 1:
                raise ValueError(f"watch: study has {len(axis)} values of {name}; give one, to be trained together.")
        if study.schedule != "constant":
            raise ValueError(
                f"watch: study.schedule is {study.schedule!r}; give 'constant', with which a training may be stopped "
                "at any step."
            )
        self.study, self.show = study, show
        self.state, self.step, self.speed = "waiting", 0, 0.0
        self.looks: list[pd.DataFrame] = []
        self.results: Results | None = None
        self.error: Exception | None = None
        self._stopping = self._dropped = False
        # Not the thread's own: an interrupt while a thread is waited for makes Python take it for ended.
        self._ended = threading.Event()
        # A front end knows by the context which cell or click a message belongs to.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="ratereg.live")

    def start(self) -> None:
        """Begin, and return at once."""
        self._thread.start()

    def stop(self, *, drop: bool = False) -> None:
        """Ask for the end after the step that is under way; the members are measured then, unless dropped."""
        self._dropped = self._dropped or drop
        self._stopping = True

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end, or for some seconds; return whether the run has ended."""
        return self._ended.wait(seconds)

    @property
    def lost(self) -> dict[float, int]:
        """The step at which each beta's members diverged, for those of which one did."""
        if not self.looks:
            return {}
        first = self.looks[-1].dropna(subset=["diverged_at"]).groupby("beta")["diverged_at"].min()
        return dict(zip(first.index.astype(float), first.astype(int), strict=True))

    def _work(self) -> None:
        try:
            try:
                state = self._train()
            except Exception as error:
                self.error, state = error, "failed"
            # A process that ends has nobody to show it to, and the pools of threads that trainers use refuse to begin.
            self._tell(state if threading.main_thread().is_alive() else "dropped")
        finally:
            self._ended.set()

    def _tell(self, state: str) -> None:
        self.state = state
        if not self._dropped and state != "dropped":
            self.show(self)

    def _asked(self) -> bool:
        return self._stopping or not threading.main_thread().is_alive()

    def _train(self) -> str:
        if self._asked():
            return "stopped"
        self._tell("training")
        study = self.study
        self._precision = resolved_precision(study, _CPU)
        self._images = images = study.axis_data[0].load()
        seeds = [member.seed for member in study.members]
        self._vae = VAE(
            study.axis_networks[0], images.image_shape, seeds, study.chosen_likelihood, study.axis_priors[0]
        )
        self._trainer = trainer = Trainer(
            self._vae,
            (images.pixels if images.gray is None else images.gray).flatten(1),
            images.train,
            betas=[member.beta for member in study.members],
            seeds=seeds,
            batch_size=study.batch_size,
            learning_rate=study.learning_rate,
            warm_up=study.warm_up,
            precision=self._precision,
            binarize=images.binarize == "dynamic",
        )
        seconds = 0.0
        for look in look_steps(study.steps):
            while self.step < look and not self._asked():
                with _TURN:
                    began = time.monotonic()
                    trainer.advance(look, lambda made: True)
                    seconds += time.monotonic() - began
                self.step, self.speed = trainer.step, trainer.step * len(study) / max(seconds, 1e-9)
                self._tell("training")
            if self._asked():
                break
            if look < study.steps:
                self._look(study, [one(self._vae, images).rows for one in _QUICK])
            if (trainer.diverged_at >= 0).all():
                raise FloatingPointError(
                    f"All networks have diverged by step {self.step}: their losses are no longer finite. Choose "
                    f"a smaller learning rate than {study.learning_rate:g}."
                )
        if self._dropped or self.step == 0 or not threading.main_thread().is_alive():
            return "stopped"
        self._tell("measuring")
        ended = study.replace(steps=self.step)
        arrays = self._measure(ended)
        table = pd.concat(self.looks).sort_values(["member", "step", "partition"], ascending=[True, True, False])
        provenance = environment(_CPU) | {"precision": self._precision, "members": len(study)}
        provenance |= {"seconds": round(seconds), "steps": self.step}
        self.results = Results(ended, table.reset_index(drop=True), arrays, provenance)
        return "finished" if self.step == study.steps else "stopped"

    def _measure(self, ended: Study) -> dict[str, np.ndarray]:
        """Measure the members of a study at its last step, each by itself as a study does; return the arrays."""
        alone = [self._vae.only(slice(index, index + 1)) for index in range(len(ended))]
        found = [[one(member, self._images) for member in alone] for one in ended.measurements]
        self._look(
            ended,
            [[row | {"member": index} for index, part in enumerate(parts) for row in part.rows] for parts in found],
        )
        arrays: dict[str, np.ndarray] = {"member_dataset": np.zeros(len(ended), dtype=int)}
        for parts in found:
            for name, values in parts[0].arrays.items():
                stacks = [values] if name == "test_originals" else [part.arrays[name] for part in parts]
                arrays[name] = np.concatenate(stacks)
        return arrays

    def _look(self, study: Study, found: Sequence[Sequence[dict[str, Any]]]) -> None:
        """Note the rows of measurements at this step, as those of a study's table; NaN for members that diverged."""
        facts, rows = Facts.of(self._images), []
        for index, at in enumerate(self._trainer.diverged_at.tolist()):
            identity = identity_of(study.trainings(self._precision)[index], index, facts)
            for row in joined_rows([[row for row in measured if row["member"] == index] for measured in found]):
                if at >= 0:
                    row = {
                        name: math.nan if isinstance(value, float) and name != "log_n" else value
                        for name, value in row.items()
                    }
                failure = {"diverged_at": float(at), "failure": f"diverged at step {at}"} if at >= 0 else _WELL
                rows.append(identity | {"step": self.step} | row | failure)
        # A run that was stopped where it had been looked at is measured there again, on all images.
        self.looks = [*(look for look in self.looks if look["step"].iloc[0] != self.step), pd.DataFrame(rows)]
        self._tell(self.state)
