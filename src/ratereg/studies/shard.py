"""One shard: trainings of one setting, trained as one ensemble, and everything that is measured of them."""

import hashlib
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ratereg.data import Data, ImageSet
from ratereg.measurements import Information, Measurement, RateDistortion
from ratereg.models import VAE, Network
from ratereg.storage import cache_directory, load_checkpoint, locked, save_checkpoint
from ratereg.studies.assemble import member_rows
from ratereg.studies.measured import TRAJECTORY, is_measured, keep_measured
from ratereg.studies.provenance import environment, joined
from ratereg.training import Stopped, Trainer, store
from ratereg.training.key import Training

__all__ = ["Listener", "Shard", "model_of", "trainer_of", "work_on"]

_RECORDED = (RateDistortion(images=2048), Information(images=2048, queries=512))
"""What is recorded while training: cheap, and the same for every study."""


@dataclass(frozen=True)
class Shard:
    """Trainings of one setting, which are trained together."""

    trainings: tuple[Training, ...]

    @property
    def data(self) -> Data:
        """The images of all members."""
        return self.trainings[0].data

    @property
    def network(self) -> Network:
        """The architecture of all members."""
        return self.trainings[0].network

    @property
    def steps(self) -> int:
        """The training steps of each member."""
        return self.trainings[0].steps

    @cached_property
    def digest(self) -> str:
        """The key of the shard's checkpoint: that of its members, in their order."""
        return hashlib.sha256("".join(one.digest for one in self.trainings).encode()).hexdigest()[:12]

    @property
    def directory(self) -> Path:
        """Where its checkpoint lies while it is under way."""
        return cache_directory() / "shards" / self.digest

    def __len__(self) -> int:
        return len(self.trainings)

    def __str__(self) -> str:
        return f"{Path(self.data.source).name} {self.data.split}, {self.network.label}"


class Listener:
    """Hears how a shard gets on, and says when it is to stop; this one hears nothing and never stops it."""

    def report(self, steps: int) -> None:
        """Take the number of steps made since the last call, summed over members."""

    def describe(self, text: str) -> None:
        """Take a short text about the state, about once a second."""

    def stop(self) -> bool:
        """Return whether the state is to be kept and the work to end."""
        return False

    def at_once(self, step: int, steps: int) -> AbstractContextManager[None]:
        """Return a context in which a wish to stop raises Stopped at once."""
        return nullcontext()


def work_on(
    shard: Shard,
    measurements: Sequence[Measurement],
    device: torch.device,
    *,
    checkpoint_seconds: float,
    listener: Listener,
    wait: float = 0.0,
    with_weights: bool = False,
) -> None:
    """Train those of a shard whose weights are missing, resuming from a checkpoint, and measure what is missing.

    All is kept in the store of this machine.

    Arguments:
        shard: what to train and to measure.
        measurements: what is measured of each member.
        device: to train and measure on.
        checkpoint_seconds: how often the state is kept.
        listener: hears of the progress, and stops it.
        wait: seconds to wait for another process that has the shard under way.
        with_weights: whether the weights are wanted, also of what is measured already.

    Raises:
        Stopped: the listener said so; the state is kept.
        StorageError: the cache can't be written, or another process has the shard under way.
    """
    with locked(cache_directory() / "locks" / shard.digest, wait):
        pending = {one: [wanted for wanted in measurements if not is_measured(one, wanted)] for one in shard.trainings}
        untrained = tuple(
            one
            for one in shard.trainings
            if not store.has(one, TRAJECTORY) or ((with_weights or pending[one]) and not store.has(one))
        )
        images = shard.data.load()
        if untrained:
            # Killed while it kept its members, a shard has all of them in its last checkpoint.
            whole = shard if (shard.directory / "checkpoint").is_file() else Shard(untrained)
            _Run(whole, images, device, checkpoint_seconds, listener).to_the_end()
        for one, wanted in pending.items():
            for measurement in wanted:
                listener.describe(f"measuring {type(measurement).__name__}")
                if listener.stop():
                    raise Stopped(shard.steps, shard.steps)
                with listener.at_once(shard.steps, shard.steps):
                    found = measurement(model_of([one], images.image_shape).to(device), images)
                keep_measured(one, measurement, found, environment(device) | {"precision": one.precision})


def model_of(trainings: Sequence[Training], image_shape: tuple[int, int, int]) -> VAE:
    """Return an ensemble of trainings of one setting's architecture, with their kept weights.

    Raises:
        LookupError: the weights of one are not on this machine.
    """
    first = trainings[0]
    vae = VAE(first.network, image_shape, [one.seed for one in trainings], first.likelihood, first.prior)
    tensors = []
    for one in trainings:
        kept = store.weights(one)
        if kept is None:
            raise LookupError(f"The weights of the training {one.digest} are not on this machine; train it first.")
        tensors.append(kept[0])
    vae.load_state_dict({name: torch.cat([one[name] for one in tensors]) for name in tensors[0]})
    return vae.requires_grad_(False)


def trainer_of(trainings: Sequence[Training], images: ImageSet, device: torch.device) -> Trainer:
    """Return the trainer of an ensemble of one setting, before its first step."""
    first = trainings[0]
    seeds = [one.seed for one in trainings]
    pixels = images.pixels if images.gray is None else images.gray
    return Trainer(
        VAE(first.network, images.image_shape, seeds, first.likelihood, first.prior).to(device),
        pixels.flatten(1).to(device),
        images.train,
        betas=[one.beta for one in trainings],
        seeds=seeds,
        batch_size=first.batch_size,
        learning_rate=first.learning_rate,
        schedule=first.schedule,
        steps=first.steps,
        warm_up=first.warm_up,
        precision=first.precision,  # type: ignore[arg-type]
        binarize=images.binarize == "dynamic",
    )


class _Run:
    """The training of a shard."""

    def __init__(
        self, shard: Shard, images: ImageSet, device: torch.device, checkpoint_seconds: float, listener: Listener
    ) -> None:
        self.shard, self.images, self.device = shard, images, device
        self.checkpoint_seconds, self.listener = checkpoint_seconds, listener
        self.trainer = trainer_of(shard.trainings, images, device)
        self.vae = self.trainer.vae
        self.rows: list[dict[str, Any]] = []
        self.environments = [environment(device) | {"precision": shard.trainings[0].precision}]
        self.seconds = 0.0
        self.checkpoint = shard.directory / "checkpoint"
        kept = load_checkpoint(self.checkpoint)
        if kept is not None:
            state, record = kept
            self.trainer.load_state(state)
            self.rows, self.seconds = record["rows"], record["seconds"]
            self.environments = [*record["environments"], *self.environments]
            listener.report(self.trainer.step * len(shard))
        self.started = self.saved = self.displayed = time.monotonic()

    def to_the_end(self) -> None:
        for step in self.shard.trainings[0].record_steps:
            if self.trainer.step < step:
                self.trainer.advance(step, self._after_steps)
                if self.trainer.step < step:
                    raise Stopped(self.trainer.step, self.shard.steps)
            if step < self.shard.steps and not any(row["step"] == step for row in self.rows):
                self._record(step)
        self._keep(now=True)
        weights = {name: value.detach().cpu() for name, value in self.vae.state_dict().items()}
        provenance = joined(self.environments)
        for index, (training, at) in enumerate(zip(self.shard.trainings, self._diverged_at(), strict=True)):
            seconds = self._seconds_so_far() / len(self.shard)
            record = {"diverged_at": at, "environment": provenance, "seconds": seconds}
            if not store.has(training, TRAJECTORY):
                own = [row for row in self.rows if row["member"] == index]
                rows = [{name: value for name, value in row.items() if name != "member"} for row in own]
                store.keep(training, TRAJECTORY, {}, {"rows": rows, **record})
            store.keep_weights(training, {name: value[index : index + 1] for name, value in weights.items()}, record)
        shutil.rmtree(self.shard.directory, ignore_errors=True)

    def _record(self, step: int) -> None:
        self.listener.describe("recording")
        found = [measurement(self.vae, self.images) for measurement in _RECORDED]
        for index, rows in enumerate(member_rows(found, self._diverged_at())):
            self.rows += [{"member": index, "step": step, **row} for row in rows]
        self._keep()

    def _diverged_at(self) -> list[int | None]:
        return [None if at < 0 else at for at in self.trainer.diverged_at.tolist()]

    def _after_steps(self, made: int) -> bool:
        self.listener.report(made * len(self.shard))
        now = time.monotonic()
        if now - self.displayed > 1:
            self.listener.describe(f"D={self.trainer.distortion.nanmean():.1f}, R={self.trainer.rate.nanmean():.1f}")
            self.displayed = now
        stopping = self.listener.stop()
        self._keep(now=stopping)
        return stopping

    def _keep(self, *, now: bool = False) -> None:
        """Write a checkpoint, if it is time to or `now`."""
        if now or time.monotonic() - self.saved > self.checkpoint_seconds:
            record = {"rows": self.rows, "seconds": self._seconds_so_far(), "environments": self.environments}
            save_checkpoint(self.checkpoint, self.trainer.state(), record)
            self.saved = time.monotonic()

    def _seconds_so_far(self) -> float:
        return self.seconds + time.monotonic() - self.started
