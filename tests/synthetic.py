"""Results that no training made, with every column and array of a study's: values are functions of a row's place."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ratereg import Results, Study
from ratereg.data.splits import checked_share
from ratereg.measurements import Annealed, ByDistance, FreshInformation, ImportanceWeighted, Latents, Pictures
from ratereg.studies.assemble import Facts, identity_of
from ratereg.studies.catalog import identify

IMAGES = {"tetrominoes": (163_840, 3, 32), "fashion-mnist": (70_000, 1, 28), "mnist": (70_000, 1, 28)}
OWN_TEST_IMAGES = {"fashion-mnist": 10_000, "mnist": 10_000}


def usual_distortion(beta: float, partition: str, step: int, steps: int, seed: int, layers: int, **_: Any) -> float:
    """Test distortion that is least at the smallest beta, and falls along training; seeds differ a little."""
    learned = 40 * (1 - math.log(1 + step) / math.log(1 + steps))
    return 60 + 5 * (layers == 1) + 12 * min(beta, 3) + (6 if partition == "test" else 0) + learned + 0.2 * seed


def usual_rate(beta: float, step: int, steps: int, **_: Any) -> float:
    """A rate that grows as beta falls, and along training."""
    return (16 - 7 * math.log(beta)) * math.log(1 + step) / math.log(1 + steps)


def synthetic(
    study: Study,
    distortion: Callable[..., float] = usual_distortion,
    rate: Callable[..., float] = usual_rate,
    bound_gap: Callable[..., float] = lambda beta, **_: 2 + 3 * max(0.0, -math.log(beta)),
) -> Results:
    """Return results of a study.

    The functions get, by name, split, share, n_train, network, layers, width, latent_dim, beta, seed, partition, step
    and steps. `bound_gap` is what the ELBO lies below annealed importance sampling's estimate.
    """
    bounds = {ImportanceWeighted: 1.0, Annealed: 0.0}
    rows: list[dict[str, Any]] = []
    for index, training in enumerate(study.trainings("bfloat16" if study.precision == "auto" else study.precision)):
        n_train, n_test = _counts(training.data)
        binarized = f", {training.data.binarize} binarization" if training.data.binarize else ""
        where = identity_of(training, index, Facts(training.data.source + binarized, (1, 1, 1), 0, n_train, n_test))
        for step in study.record_steps:
            last = step == study.steps
            for partition, available in (("train", n_train), ("test", n_test)):
                at = where | {"partition": partition, "step": step}
                d, r = distortion(**at), rate(**at)
                row = where | {"step": step, "partition": partition}
                row |= _information(r, available if last else min(available, 4096))
                row |= {"distortion": d, "distortion_se": 0.1, "negative_elbo": d + r, "negative_elbo_se": 0.1}
                for kind, below in bounds.items():
                    if study.measurement(kind):
                        value = bound_gap(**at) - d - r - below if last else math.nan
                        row |= {kind.columns[0]: value, kind.columns[1]: 1.0 if last else math.nan}
                rows.append(row)
        if fresh := study.measurement(FreshInformation):
            at = where | {"partition": "test", "step": study.steps}
            for size in fresh.sizes:
                row = where | {"step": study.steps, "partition": "fresh"} | _information(rate(**at), size)
                if size == fresh.images:
                    row |= {"information_lower_bound": 0.6 * rate(**at), "information_lower_bound_se": 0.1}
                    row |= {"information_upper_bound": 0.9 * rate(**at), "information_upper_bound_se": 0.1}
                rows.append(row)
    table = pd.DataFrame(rows).assign(diverged_at=math.nan, failure=math.nan)
    identity = identify(study)
    facts = {"study": identity[0], "scale": identity[1]} if identity else {}
    provenance = facts | {
        "date": "2026-01-01",
        "commit": "0" * 12,
        "device": "no device",
        "precision": "bfloat16",
        "seconds": 3600,
        "steps": study.steps,
        "members": len(study),
        "threads": 2,
        "versions": {},
    }
    return Results(study, table, _arrays(study, distortion, table), provenance)


def _counts(data: Any) -> tuple[int, int]:
    count = IMAGES.get(data.source, (10_000, 1, 28))[0]
    if data.split == "cv":
        n_train = round(checked_share(data.share) * count)
        n_test = count - n_train
    elif data.split == "cd":
        n_train = n_test = round(checked_share(data.share) * count / 2)
    else:
        n_test = OWN_TEST_IMAGES.get(data.source, count // 2)
        n_train = count - n_test
    return min(n_train, data.n_train or n_train), min(n_test, data.n_test or n_test)


def _information(rate: float, count: int) -> dict[str, float]:
    information = min(0.9 * rate, math.log(count))
    return {
        "images": count,
        "queries": min(count, 4096),
        "components": count,
        "rate": rate,
        "rate_se": 0.0,
        "mutual_information": information,
        "mutual_information_se": 0.01,
        "marginal_kl": rate - information,
        "marginal_kl_se": 0.01,
        "log_n": math.log(count),
    }


def _arrays(study: Study, distortion: Callable[..., float], table: pd.DataFrame) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    _, channels, side = IMAGES.get(study.axis_data[0].source, (0, 1, 28))
    pictures, kept = study.measurement(Pictures), study.measurement(Latents)
    assert pictures
    assert kept
    shape, members = (pictures.count, channels, side, side), len(study)
    latents = max(network.latent_dim for network in study.axis_networks)
    arrays: dict[str, np.ndarray] = {
        "test_originals": generator.integers(0, 256, (len(study.axis_data), *shape), dtype=np.uint8),
        "test_reconstructions": generator.integers(0, 256, (members, *shape), dtype=np.uint8),
        "member_dataset": np.array([study.axis_data.index(member.data) for member in study.members]),
    }
    for name in ("train_mean", "train_log_var", "test_mean", "test_log_var"):
        arrays[name] = generator.normal(size=(members, kept.count, latents)).astype(np.float32)
    if by_distance := study.measurement(ByDistance):
        distance = np.linspace(0.05, 0.25, by_distance.classes)
        last = table[(table["step"] == study.steps) & (table["partition"] == "test")].set_index("member")
        arrays["distance"] = np.tile(distance, (members, 1))
        arrays["distance_distortion"] = last["distortion"].loc[range(members)].to_numpy()[:, None] + 50 * distance
    return arrays
