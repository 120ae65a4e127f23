"""Results that no training made, with every column and array of a study's: values are functions of a row's place."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ratereg import Results, Study
from ratereg.data.splits import checked_share
from ratereg.studies.catalog import identify
from ratereg.studies.fresh import fresh_sizes

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
    rows: list[dict[str, Any]] = []
    for index, member in enumerate(study.members):
        n_train, n_test = _counts(member.data)
        binarized = f", {member.data.binarize} binarization" if member.data.binarize else ""
        where = {
            "member": index,
            "dataset": member.data.source + binarized,
            "split": member.data.split,
            "share": math.nan if member.data.share is None else member.data.share,
            "n_train": n_train,
            "n_test": n_test,
            "network": member.network.name,
            "layers": member.network.layers,
            "width": member.network.width,
            "latent_dim": member.network.latent_dim,
            "prior": "gaussian",
            "likelihood": "bernoulli",
            "beta": member.beta,
            "seed": member.seed,
        }
        for step in study.record_steps:
            last = step == study.steps
            for partition, available in (("train", n_train), ("test", n_test)):
                count = available if last else min(available, study.trajectory_images)
                at = where | {"partition": partition, "step": step, "steps": study.steps}
                d, r = distortion(**at), rate(**at)
                bound = bound_gap(**at) - d - r if last and study.bound_images else math.nan
                row = where | {"step": step, "partition": partition} | _information(r, count)
                row |= {"distortion": d, "distortion_se": 0.1, "negative_elbo": d + r, "negative_elbo_se": 0.1}
                row |= {"importance_weighted_bound": bound - 1, "importance_weighted_bound_se": 1.0}
                annealed = bound if study.annealed_images else math.nan
                rows.append(row | {"annealed_importance_sampling": annealed, "annealed_importance_sampling_se": 1.0})
        if study.fresh_images:
            at = where | {"partition": "test", "step": study.steps, "steps": study.steps}
            for size in fresh_sizes(study.fresh_images):
                row = where | {"step": study.steps, "partition": "fresh"} | _information(rate(**at), size)
                if size == study.fresh_images:
                    row |= {"information_lower_bound": 0.6 * rate(**at), "information_lower_bound_se": 0.1}
                    row |= {"information_upper_bound": 0.9 * rate(**at), "information_upper_bound_se": 0.1}
                rows.append(row)
    table = pd.DataFrame(rows).assign(diverged_at=math.nan)
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
    shape, members = (study.pictures, channels, side, side), len(study)
    latents = max(network.latent_dim for network in study.axis_networks)
    arrays: dict[str, np.ndarray] = {
        "test_originals": generator.integers(0, 256, (len(study.axis_data), *shape), dtype=np.uint8),
        "test_reconstructions": generator.integers(0, 256, (members, *shape), dtype=np.uint8),
        "member_dataset": np.array([study.axis_data.index(member.data) for member in study.members]),
    }
    for name in ("train_mean", "train_log_var", "test_mean", "test_log_var"):
        arrays[name] = generator.normal(size=(members, study.latents, latents)).astype(np.float32)
    if study.distances:
        distance = np.linspace(0.05, 0.25, study.distances)
        last = table[(table["step"] == study.steps) & (table["partition"] == "test")].set_index("member")
        arrays["distance"] = np.tile(distance, (members, 1))
        arrays["distance_distortion"] = last["distortion"].loc[range(members)].to_numpy()[:, None] + 50 * distance
    return arrays
