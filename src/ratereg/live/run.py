"""A training that can be looked at and stopped while it goes on, in a thread of its own."""

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from ratereg.data import ImageSet
from ratereg.models import VAE
from ratereg.studies import Results, Study
from ratereg.studies.measure import keepsakes, measure
from ratereg.studies.provenance import environment
from ratereg.studies.shard import chosen_precision, images_of
from ratereg.training import Trainer

__all__ = ["Run", "look_steps"]

# Trainers set the process's number of threads, so that several take turns, a fifth of a second each.
_TURN = threading.Lock()

_CPU = torch.device("cpu")


def look_steps(steps: int) -> list[int]:
    """Return the steps after which a training is looked at: densely at first, then after each tenth of it."""
    first = np.geomspace(1, steps, 9)
    return sorted({round(step) for step in (*first, *np.linspace(steps / 10, steps, 10))} - {0})


class Run:
    """The members of a study of one data set and one network, trained on the CPU as one ensemble.

    It trains in a thread of its own, and several runs of a process take turns.

    Arguments:
        study: what to train; its learning rate is constant, so that after a stop the members are those of a study of
            fewer steps.
        show: called in that thread when there is something new to show, with the run.
        after: a run that is to end before this one begins.

    Attributes:
        state: "waiting", "training", "measuring", and at the end "finished", "stopped", "failed" or "dropped".
        step: how many steps have been made.
        speed: member-steps a second, without the time of measuring.
        looks: for each step looked at its rows of a result's table; rates, distortions and information in nats.
        results: at the end, of the study with as many steps as were made; else None.
        error: what went wrong, if the state is "failed".

    Raises:
        ValueError: the study has several data sets or networks, or a learning rate that changes.
    """

    def __init__(self, study: Study, show: Callable[["Run"], None], *, after: "Run | None" = None) -> None:
        for name, axis in (("data", study.axis_data), ("network", study.axis_networks)):
            if len(axis) > 1:
                raise ValueError(f"watch: study has {len(axis)} values of {name}; give one, to be trained together.")
        if study.schedule != "constant":
            raise ValueError(
                f"watch: study.schedule is {study.schedule!r}; give 'constant', with which a training may be stopped "
                "at any step."
            )
        self.study, self.show, self.after = study, show, after
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
        """Ask for the end after the step that is under way; it is measured then, unless it is to be dropped."""
        self._dropped = self._dropped or drop
        self._stopping = True

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end, or for some seconds; return whether it has come."""
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
            if self.after is not None:
                self.after.join()
                self.after = None
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
        study, members = self.study, self.study.members
        images = images_of(study.axis_data[0])
        seeds = [member.seed for member in members]
        vae = VAE(study.axis_networks[0], images.image_shape, seeds, study.chosen_likelihood)
        pixels = images.pixels.flatten(1)
        trainer = Trainer(
            vae,
            pixels if images.gray is None else images.gray.flatten(1),
            images.train,
            betas=[member.beta for member in members],
            seeds=seeds,
            batch_size=study.batch_size,
            learning_rate=study.learning_rate,
            precision=chosen_precision(study, _CPU),
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
                self._look(study, trainer, pixels, images)
            if (trainer.diverged_at >= 0).all():
                raise FloatingPointError(
                    f"All networks have diverged by step {self.step}: their losses are no longer finite. Choose "
                    f"a smaller learning rate than {study.learning_rate:g}."
                )
        if self._dropped or self.step == 0 or not threading.main_thread().is_alive():
            return "stopped"
        self._tell("measuring")
        ended = study.replace(steps=self.step)
        self._look(ended, trainer, pixels, images)
        arrays = keepsakes(ended, vae, pixels, images)
        arrays["member_dataset"] = np.zeros(len(members), dtype=int)
        table = pd.concat(self.looks).sort_values(["member", "step", "partition"], ascending=[True, True, False])
        provenance: dict[str, Any] = environment(_CPU) | {
            "precision": chosen_precision(study, _CPU),
            "seconds": round(seconds, 1),
            "steps": self.step,
            "members": len(members),
        }
        self.results = Results(ended, table.reset_index(drop=True), arrays, provenance)
        return "finished" if self.step == study.steps else "stopped"

    def _look(self, study: Study, trainer: Trainer, pixels: torch.Tensor, images: ImageSet) -> None:
        """Measure all members at this step; on whole partitions if it is the study's last."""
        rows: list[dict[str, Any]] = []
        for index, (member, at) in enumerate(zip(study.members, trainer.diverged_at.tolist(), strict=True)):
            if self._dropped:
                return
            alone = trainer.vae.only(slice(index, index + 1))
            lost = None if at < 0 else at
            measured = measure(study, member, alone, pixels, images, step=trainer.step, diverged_at=lost)
            rows += [{"member": index, **row} for row in measured]
        # A run that was stopped where it had been looked at is measured there again, on all images.
        kept = [look for look in self.looks if look["step"].iloc[0] != trainer.step]
        self.looks = [*kept, pd.DataFrame(rows)]
        self._tell(self.state)
