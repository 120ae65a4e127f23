"""Which study a set of images gets: by fixed rules, none of which looks at a score, and by the time there is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ratereg.data import ImageSet
from ratereg.models import MLP, Bernoulli, Gaussian
from ratereg.models.networks import Convolutional
from ratereg.studies import Data, Study
from ratereg.studies.outlook import spoken
from ratereg.studies.pace import paces
from ratereg.studies.run import checked_devices
from ratereg.studies.shard import images_of

__all__ = ["BETAS", "LEAST_IMAGES", "LEAST_STEPS", "MOST_IMAGES", "Plan", "plan_study"]

BETAS = (3.0, 1.0, 0.1, 0.01, 0.001)
"""The weights of the rate: 1 and 0.1, which the book compares, one above and two below."""

WIDTHS = (512, 256, 128)
"""Units a hidden layer, the book's first; a smaller one is taken where the time is too short for `ENOUGH_STEPS`."""

ENOUGH_STEPS, LEAST_STEPS, MOST_STEPS = 2_000, 300, 20_000
"""Training steps that a width must allow for; the fewest that are planned at all; and the most."""

LEAST_IMAGES, MOST_IMAGES = 32, 10_000
"""Images of each side: the fewest that are accepted, and how many are kept unless the user says otherwise."""

_SHARE = 0.9
"""Of the time, what is planned: reading, starting and drawing take the rest."""

_SHARE_OF_MEASURING = 0.4
"""Of the time, the most that measuring may take with the bounds on the likelihood; beyond it they are left out."""

_PROBED_STEPS = 1_000
"""Of the study that the machine's pace is asked for; the plan's steps follow from it."""

_MEASURED = {
    "records": 9,
    "trajectory_images": 2048,
    "queries": 512,
    "final_queries": 2048,
    "pictures": 24,
    "latents": 16,
}
_BOUNDS = {"bound_images": 32, "annealed_images": 16, "temperatures": 50}


@dataclass(frozen=True)
class Plan:
    """A study, and the time that it is expected to take on this machine.

    Attributes:
        study: what is to be trained.
        images: what it learns from.
        seconds: expected for training and measuring all of it; what is kept from an earlier call takes none.
    """

    study: Study
    images: ImageSet
    seconds: float

    def __str__(self) -> str:
        study = self.study
        channels, height, width = self.images.image_shape
        kind = {1: "gray", 3: "RGB"}.get(channels, f"{channels}-channel")
        betas = ", ".join(f"{beta:g}" for beta in study.axis_betas)
        bounds = f"bounds on the likelihood of {study.annealed_images or study.bound_images} images of each side"
        return "\n".join(
            [
                f"images    {len(self.images.train):,} for training and {len(self.images.test):,} for testing, "
                f"{width} x {height}, {kind}",
                f"networks  {'; '.join(map(str, study.axis_networks))}",
                f"weights   beta = {betas}, with {len(study.axis_seeds)} seeds: {len(study)} networks in all",
                f"training  {study.steps:,} steps of {study.batch_size} images, {type(study.likelihood).__name__} "
                f"likelihood; {bounds if study.bound_images else 'no bounds on the likelihood'}",
                f"time      about {spoken(self.seconds)} on this machine, if it does nothing else",
            ]
        )


def plan_study(
    data: str | Path | Data,
    *,
    minutes: float = 8,
    networks: Sequence[MLP | Convolutional] | None = None,
    betas: Sequence[float] = BETAS,
    seeds: int | Sequence[int] = 3,
    steps: int | None = None,
    images: int | None = None,
    likelihood: str | Bernoulli | Gaussian = "bernoulli",
    device: str | torch.device | Sequence[str | torch.device] | None = None,
) -> Plan:
    """Return the study that the report of some images is made of.

    Unless it is told otherwise, it takes one and three hidden layers, of the largest width of 512, 256 and 128 with
    which 2,000 steps fit the time; as many steps as fit, between 300 and 20,000, in two digits; and at most 10,000
    random images of each side. Bounds on the likelihood of 16 images of each side are measured if all measuring takes
    at most 40% of the time. The machine is measured for some seconds, and what was found is kept: the same call gives
    the same plan.

    Arguments:
        data: the path of a folder of images or of a .npy or .npz file, the name of a known set, or a `Data`.
        minutes: for training and measuring.
        networks: instead of those.
        betas: weights of the rate.
        seeds: how many, or which; fewer than three are not enough for a verdict.
        steps: of training, whatever time they take.
        images: keep at most that many of each side, at random.
        likelihood: as of `Study`.
        device: as of `load_or_run`.

    Raises:
        FileNotFoundError: there are no such images.
        MemoryError: not even one network fits into memory.
        StorageError: the cache can't be written.
        ValueError: the images or a setting are refused, or the time is too short.
    """
    if not (isinstance(minutes, int | float) and 0 < minutes < math.inf):
        raise ValueError(f"report: minutes is {minutes!r}; give a positive number.")
    if images is not None and images < LEAST_IMAGES:
        raise ValueError(f"report: images is {images}; give at least {LEAST_IMAGES} of each side.")
    one = _limited(data if isinstance(data, Data) else Data(str(data)), images)
    read = images_of(one)
    widest = [MLP(layers=layers, width=width) for width in WIDTHS for layers in (1, 3)]
    choices = (
        [tuple(networks)] if networks is not None else [tuple(widest[k : k + 2]) for k in range(0, len(widest), 2)]
    )
    devices = checked_devices(device)
    within = 60 * minutes * _SHARE
    for choice in choices:
        last = choice is choices[-1]
        probe = Study(
            data=one,
            network=choice,
            betas=betas,
            seeds=seeds,
            likelihood=likelihood,
            steps=_PROBED_STEPS,
            **_MEASURED,  # type: ignore[arg-type]
        )
        try:
            study, each, measuring = _timed(probe, devices, within)
        except MemoryError:
            if last:
                raise
            continue
        fit = min(MOST_STEPS, _two_digits((within - measuring) / each))
        if steps is not None or fit >= (LEAST_STEPS if last else ENOUGH_STEPS):
            chosen = study.replace(steps=fit if steps is None else steps)
            return Plan(chosen, read, measuring + chosen.steps * each)
    least = spoken((measuring + LEAST_STEPS * each) / _SHARE)
    raise ValueError(
        f"report: minutes is {minutes:g}, and {LEAST_STEPS} training steps of {len(probe)} networks on images of "
        f"{' x '.join(map(str, read.image_shape))} (channels, height, width) take about {least} here; give more "
        "minutes, smaller images (--size), fewer betas or a smaller network."
    )


def _limited(one: Data, most: int | None) -> Data:
    """Return the data with limits on the images of each side where there are more; refuse too few."""
    read = images_of(one)
    sides = {"n_train": len(read.train), "n_test": len(read.test)}
    for name, count in sides.items():
        if count < LEAST_IMAGES:
            raise ValueError(
                f"report: {one.source!r} has {count} images for {'training' if name == 'n_train' else 'testing'}; give "
                f"at least {LEAST_IMAGES} of each side, and some hundreds for a report that says something."
            )
    limit = most or MOST_IMAGES
    n_train, n_test = (limit if count > limit else None for count in sides.values())
    return replace(one, n_train=n_train or one.n_train, n_test=n_test or one.n_test)


def _timed(probe: Study, devices: Sequence[torch.device], within: float) -> tuple[Study, float, float]:
    """Return the study with its bounds, if there is time for them; the seconds of a step of all; and of measuring."""

    def times(study: Study) -> tuple[float, float]:
        found = paces(study, devices[0], devices=len(devices))
        members = [found[member.data, member.network] for member in study.members]
        training, measuring = sum(one.training for one in members), sum(one.measuring for one in members)
        return training / study.steps / len(devices), measuring / len(devices)

    bounded = probe.replace(**_BOUNDS)
    each, measuring = times(bounded)
    return (bounded, each, measuring) if measuring <= _SHARE_OF_MEASURING * within else (probe, *times(probe))


def _two_digits(number: float) -> int:
    """Round down to two digits."""
    if number < 1:
        return 0
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return int(number / unit) * unit
