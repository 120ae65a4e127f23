"""One shard: members of one data set and one network, trained as one ensemble and measured along the way."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ratereg.data import ImageSet
from ratereg.models import VAE
from ratereg.models.networks import Network
from ratereg.storage import cache_directory, load_checkpoint, locked, save_checkpoint
from ratereg.studies.measure import keepsakes, measure
from ratereg.studies.provenance import environment, joined
from ratereg.studies.results import Results
from ratereg.studies.study import Data, Member, Study
from ratereg.training import Precision, Trainer, best_precision
from ratereg.training.cost import members_that_fit
from ratereg.training.interruption import Stopped

__all__ = ["Shard", "chosen_precision", "run_shard"]

_SECONDS_BETWEEN_DISPLAYS = 1.0


@dataclass(frozen=True)
class Shard:
    """Members of a study that are trained together.

    Arguments:
        study: whose settings they have.
        members: some of its members, all of one data set and one network.
    """

    study: Study
    members: tuple[Member, ...]

    @property
    def data(self) -> Data:
        """The images of all members."""
        return self.members[0].data

    @property
    def network(self) -> Network:
        """The architecture of all members."""
        return self.members[0].network

    @cached_property
    def digest(self) -> str:
        """The key of the shard's checkpoint: that of its members, in their order."""
        digests = self.study.member_digests(self.members)
        return hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:12]

    @property
    def directory(self) -> Path:
        """Where its checkpoint lies while it is under way."""
        return cache_directory() / "shards" / self.digest

    def __len__(self) -> int:
        return len(self.members)

    def __str__(self) -> str:
        return f"{Path(self.data.source).name} {self.data.split}, {self.network.layers} x {self.network.width}"


def run_shard(
    shard: Shard,
    device: torch.device,
    *,
    checkpoint_seconds: float,
    report: Callable[[int], None],
    stop: Callable[[], bool],
    describe: Callable[[str], None] | None = None,
    wait: float = 0.0,
) -> Results:
    """Train and measure the members of a shard, going on from its checkpoint if there is one.

    The result's table numbers the members as the shard does.

    Arguments:
        shard: what to train.
        device: to train and measure on.
        checkpoint_seconds: how often the state is kept.
        report: called with the number of steps made, summed over members.
        stop: asked between steps; when it returns True the state is kept and the run ends.
        describe: called with the last losses about once a second.
        wait: seconds to wait for another process that has the shard under way.

    Raises:
        MemoryError: the shard is too large for the device.
        Stopped: `stop` returned True.
        StorageError: the checkpoint can't be written, or another process has the shard under way.
    """
    with locked(cache_directory() / "locks" / shard.digest, wait):
        return _Run(shard, device, checkpoint_seconds, report, stop, describe).to_the_end()


class _Run:
    """A shard under way."""

    def __init__(
        self,
        shard: Shard,
        device: torch.device,
        checkpoint_seconds: float,
        report: Callable[[int], None],
        stop: Callable[[], bool],
        describe: Callable[[str], None] | None,
    ) -> None:
        self.shard, self.study, self.device = shard, shard.study, device
        self.checkpoint_seconds, self.report, self.stop, self.describe = checkpoint_seconds, report, stop, describe
        self.images = images_of(shard.data)
        self.precision = chosen_precision(self.study, device)
        _check_memory(shard, self.images, self.precision, device)
        seeds = [member.seed for member in shard.members]
        self.vae = VAE(shard.network, self.images.image_shape, seeds, self.study.chosen_likelihood).to(device)
        self.pixels = self.images.pixels.flatten(1).to(device)
        self.trainer = Trainer(
            self.vae,
            self.pixels if self.images.gray is None else self.images.gray.flatten(1).to(device),
            self.images.train,
            betas=[member.beta for member in shard.members],
            seeds=seeds,
            batch_size=self.study.batch_size,
            learning_rate=self.study.learning_rate,
            schedule=self.study.schedule,
            steps=self.study.steps,
            precision=self.precision,
            binarize=self.images.binarize == "dynamic",
        )
        self.rows: list[dict[str, Any]] = []
        self.environments = [environment(device) | {"precision": self.precision}]
        self.seconds = 0.0
        self.checkpoint = shard.directory / "checkpoint"
        self._go_on()
        self.started = self.saved = self.displayed = time.monotonic()

    def _go_on(self) -> None:
        kept = load_checkpoint(self.checkpoint)
        if kept is None:
            return
        state, record = kept
        self.trainer.load_state(state)
        self.rows, self.seconds = record["rows"], record["seconds"]
        self.environments = [*record["environments"], *self.environments]
        self.report(self.trainer.step * len(self.shard))

    def to_the_end(self) -> Results:
        for step in self.study.record_steps:
            if self.trainer.step < step:
                self.trainer.advance(step, self._after_steps)
                if self.trainer.step < step:
                    raise Stopped(self.trainer.step, self.study.steps)
            self._measure(step)
        self._keep_weights()
        arrays = keepsakes(self.study, self.vae, self.pixels, self.images)
        provenance = joined(self.environments) | {"seconds": self._seconds_so_far()}
        return Results(self.study, pd.DataFrame(self.rows), arrays, provenance)

    def _after_steps(self, made: int) -> bool:
        self.report(made * len(self.shard))
        now = time.monotonic()
        if self.describe is not None and now - self.displayed > _SECONDS_BETWEEN_DISPLAYS:
            self.describe(f"D={self.trainer.distortion.nanmean():.1f}, R={self.trainer.rate.nanmean():.1f}")
            self.displayed = now
        stopping = self.stop()
        self._keep(now=stopping)
        return stopping

    def _measure(self, step: int) -> None:
        # Member by member, so that a checkpoint never has to wait for the whole ensemble's measuring.
        diverged_at = [None if at < 0 else at for at in self.trainer.diverged_at.tolist()]
        for index in range(len(self.shard)):
            if any((row["member"], row["step"]) == (index, step) for row in self.rows):
                continue
            if self.stop():
                self._keep(now=True)
                raise Stopped(self.trainer.step, self.study.steps)
            rows = measure(
                self.study,
                self.shard.members[index],
                self.vae.only(slice(index, index + 1)),
                self.pixels,
                self.images,
                step=step,
                diverged_at=diverged_at[index],
            )
            self.rows += [{"member": index, **row} for row in rows]
            self._keep()

    def _keep(self, *, now: bool = False) -> None:
        """Write a checkpoint, if it is time to or `now`."""
        if now or time.monotonic() - self.saved > self.checkpoint_seconds:
            record = {"rows": self.rows, "seconds": self._seconds_so_far(), "environments": self.environments}
            save_checkpoint(self.checkpoint, self.trainer.state(), record)
            self.saved = time.monotonic()

    def _keep_weights(self) -> None:
        """Keep each member's final weights, with the settings that it was trained with."""
        diverged_at = self.trainer.diverged_at.tolist()
        digests = self.study.member_digests(self.shard.members)
        for index, (member, digest) in enumerate(digests.items()):
            weights = {name: value[index : index + 1] for name, value in self.vae.state_dict().items()}
            settings = {
                "study": self.study.of(member).settings,
                "content": member.data.content_digest,
                "precision": self.precision,
                "diverged_at": diverged_at[index],
            }
            save_checkpoint(cache_directory() / "weights" / f"{digest}.safetensors", weights, settings)

    def _seconds_so_far(self) -> float:
        return self.seconds + time.monotonic() - self.started


def chosen_precision(study: Study, device: torch.device) -> Precision:
    """Return the precision that a study is trained in on a device."""
    return best_precision(device) if study.precision == "auto" else study.precision  # type: ignore[return-value]


def images_of(one: Data) -> ImageSet:
    """Return the images, which are read once if several shards in turn have them."""
    return _images(one, one.content_digest)


@lru_cache(maxsize=1)
def _images(one: Data, _content: str | None) -> ImageSet:
    return one.load()


def _check_memory(shard: Shard, images: ImageSet, precision: Precision, device: torch.device) -> None:
    fit = members_that_fit(
        shard.network,
        images.image_shape,
        batch_size=shard.study.batch_size,
        precision=precision,
        images=len(images.pixels),
        device=device,
    )
    if len(shard) > fit:
        raise MemoryError(
            f"max_members: a shard of {len(shard)} members of {shard} does not fit into the memory of {device}; "
            f"give at most {fit}."
        )
