"""A training that can be looked at and stopped while it goes on, in a thread of its own."""

import contextvars
import threading
import time
from collections.abc import Callable

import numpy as np
import torch

from ratereg.measurements import Information, RateDistortion
from ratereg.models import VAE
from ratereg.studies import Results, Study
from ratereg.training import Trainer

__all__ = ["Run", "look_steps"]

# Trainers set the process's number of threads, so that several take turns, a fifth of a second each.
_TURN = threading.Lock()

_QUICK = (RateDistortion(images=256), Information(images=256, queries=128))
"""Measured while it trains: on so few images that training has most of the time."""


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
        looks: results at each step looked at, by step; all but those of a finished or stopped run are of few images.
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
        self.looks: dict[int, Results] = {}
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
