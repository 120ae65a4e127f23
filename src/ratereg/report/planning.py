"""Choose the study that a set of images gets: by fixed rules, none of which looks at a score, and by the time given."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ratereg import measurements
from ratereg.data import Data
from ratereg.models import MLP
from ratereg.models.likelihoods import Likelihood
from ratereg.models.networks import Network
from ratereg.report.resizing import resized
from ratereg.storage import cache_directory, written_file
from ratereg.studies import Study
from ratereg.studies.precision import resolved_precision
from ratereg.studies.run import checked_devices
from ratereg.studies.shard import trainer_of

__all__ = ["BETAS", "NETWORKS", "plan_study"]

BETAS = (3.0, 1.0, 0.1, 0.01, 0.001)
"""The weights of the rate: 1 and 0.1, which the book compares, one above and two below."""

NETWORKS = (MLP(layers=1, width=256), MLP(layers=3, width=256))

LEAST_STEPS, MOST_STEPS = 300, 20_000

LEAST_IMAGES, MOST_IMAGES = 32, 10_000
"""Images of each side: the fewest that are accepted, and how many are kept unless the user sets another limit."""

_TRAINING = 0.6  # share of the time; measuring and drawing take the rest

_MEASUREMENTS = (
    measurements.RateDistortion(),
    measurements.Information(queries=2048),
    measurements.ImportanceWeighted(images=32),
    measurements.Annealed(images=16, temperatures=50),
    measurements.Pictures(count=24),
    measurements.Latents(count=64),
)


def plan_study(
    data: str | Path | Data,
    *,
    minutes: float = 8,
    networks: Sequence[Network] = NETWORKS,
    betas: Sequence[float] = BETAS,
    seeds: int | Sequence[int] = 3,
    steps: int | None = None,
    images: int | None = None,
    size: int | None = None,
    binarize: str | None = None,
    likelihood: str | Likelihood = "bernoulli",
    device: str | torch.device | Sequence[str | torch.device] | None = None,
) -> Study:
    """Return the study that the report of some images is made of.

    There are as many training steps as fit the time, from 300 to 20,000, in two digits. For that the machine is timed
    for some seconds. The time of a step is kept in the cache, so the same call gives the same plan.

    Arguments:
        data: path of a folder of images or of a .npy or .npz file, name of a known set, or a `Data`.
        minutes: time for training and measuring, of which training takes 60%.
        networks: architectures to compare.
        betas: weights of the rate.
        seeds: how many, or which; fewer than three are not enough for a verdict.
        steps: number of training steps, whatever time they take.
        images: largest number of images of each side, chosen at random.
        size: pixels a side that a folder's images are cut and scaled to; see `resized`.
        binarize: "static" or "dynamic" for black and white pixels, as of `Data`.
        likelihood: as of `Study`.
        device: as of `load_or_run`.

    Raises:
        FileNotFoundError: there are no such images.
        StorageError: the cache can't be written.
        ValueError: the images or a setting are refused, or the time is too short.
    """
    if not (isinstance(minutes, int | float) and 0 < minutes < math.inf):
        raise ValueError(f"report: minutes is {minutes!r}; give a positive number.")
    if images is not None and images < LEAST_IMAGES:
        raise ValueError(f"report: images is {images}; give at least {LEAST_IMAGES} of each side.")
    given = data if isinstance(data, Data) else Data(str(data if size is None else resized(data, size)))
    study = Study(
        data=_limited(given if binarize is None else replace(given, binarize=binarize), images or MOST_IMAGES),
        network=networks,
        betas=betas,
        seeds=seeds,
        likelihood=likelihood,
        steps=LEAST_STEPS if steps is None else steps,
        measurements=_MEASUREMENTS,
    )
    if steps is not None:
        return study
    each = _seconds_each(study, checked_devices(device)[0])
    steps = min(MOST_STEPS, int(60 * minutes * _TRAINING / each))
    if steps < LEAST_STEPS:
        least = math.ceil(LEAST_STEPS * each / _TRAINING / 60)
        raise ValueError(
            f"report: minutes is {minutes:g}, and {LEAST_STEPS} training steps of {len(study)} networks and their "
            f"measurements take about {least} minutes here; give more time, smaller images (--size), fewer betas or a "
            "smaller network."
        )
    unit = 10 ** (len(str(steps)) - 2)
    return study.replace(steps=steps // unit * unit)


def _limited(data: Data, most: int) -> Data:
    """Return the data with limits on the images of each side where there are more; refuse too few."""
    images = data.load()
    sides = {"n_train": len(images.train), "n_test": len(images.test)}
    for name, count in sides.items():
        if count < LEAST_IMAGES:
            raise ValueError(
                f"report: {data.source!r} has {count} images for {'training' if name == 'n_train' else 'testing'}; "
                f"give at least {LEAST_IMAGES} of each side, and some hundreds for a meaningful report."
            )
    n_train, n_test = (most if count > most else None for count in sides.values())
    return replace(data, n_train=n_train or data.n_train, n_test=n_test or data.n_test)


def _seconds_each(study: Study, device: torch.device) -> float:
    """Return the seconds of a training step of all members: timed for about a second a network, and kept."""
    kept = cache_directory() / "seconds" / f"{study.digest}-{device.type}.json"
    if kept.is_file():
        return float(json.loads(kept.read_text()))
    images, trainings, seconds = study.axis_data[0].load(), study.trainings(resolved_precision(study, device)), 0.0
    for network in study.axis_networks:
        members = [one for one in trainings if one.network == network]
        trainer = trainer_of(members[:4], images, device)
        trainer.advance(3)
        began = time.monotonic()
        while time.monotonic() < began + 1:
            trainer.advance(trainer.step + 1)
        seconds += (time.monotonic() - began) / (trainer.step - 3) * len(members) / len(members[:4])
    with written_file(kept) as file:
        file.write_text(json.dumps(seconds))
    return seconds
