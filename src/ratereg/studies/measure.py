"""What is measured of a member, and what is kept of it to look at."""

import hashlib
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ratereg.data import ImageSet
from ratereg.evaluation import decompose_rate, encode
from ratereg.evaluation.rate_distortion import distortion_per_draw, mean_over_images
from ratereg.models import VAE
from ratereg.studies.bounds import BOUNDS, likelihood_bounds
from ratereg.studies.distances import distortion_by_distance
from ratereg.studies.fresh import fresh_estimates
from ratereg.studies.study import Member, Study

__all__ = ["keepsakes", "measure"]


def measure(
    study: Study,
    member: Member,
    vae: VAE,
    pixels: UInt8[Tensor, "all pixels"],
    images: ImageSet,
    *,
    step: int,
    diverged_at: int | None,
) -> list[dict[str, Any]]:
    """Return one row per partition, measured on whole partitions at the last step, on subsets before.

    At the last step there are rows of a partition "fresh" too, one for each number of images in its aggregate
    posterior, if the study has fresh images.

    Arguments:
        study: how to measure.
        member: what the rows are of.
        vae: its model, an ensemble of one.
        pixels: all images, flattened, on the device of `vae`.
        images: the same images, and how they are split.
        step: the number of steps made.
        diverged_at: the step at which the member diverged, or None; one that has diverged has NaN for its values.
    """
    last = step == study.steps
    lost = diverged_at is not None
    identity: dict[str, Any] = {
        "dataset": images.name,
        "split": member.data.split,
        "share": math.nan if member.data.share is None else member.data.share,
        "n_train": len(images.train),
        "n_test": len(images.test),
        "network": member.network.name,
        "layers": member.network.layers,
        "width": member.network.width,
        "latent_dim": member.network.latent_dim,
        "prior": study.prior,
        "likelihood": type(study.likelihood).__name__.lower(),
        "beta": member.beta,
        "seed": member.seed,
        "step": step,
    }
    rows: list[dict[str, Any]] = []
    for partition, rows_of in (("train", images.train), ("test", images.test)):
        count = len(rows_of) if last else min(study.trajectory_images, len(rows_of))
        queries = min(study.final_queries if last else study.queries, count)
        estimates = dict(_NOTHING) if lost else _estimates(vae, pixels, rows_of, count, queries, partition)
        if last and not math.isnan(estimates["distortion"]):
            estimates |= likelihood_bounds(study, vae, pixels, rows_of, _seed_of(f"bounds/{partition}"))
        rows.append({"partition": partition, "images": count, "queries": queries, "components": count, **estimates})
    if last and study.fresh_images and not math.isnan(rows[0]["distortion"]):
        rows += [{"partition": "fresh", **one} for one in fresh_estimates(study, vae, _seed_of("fresh"))]
    facts = {"diverged_at": math.nan if diverged_at is None else diverged_at}
    return [identity | row | {"log_n": math.log(row["components"])} | facts for row in rows]


_NOTHING = {
    f"{name}{suffix}": math.nan
    for name in ("rate", "distortion", "negative_elbo", "mutual_information", "marginal_kl", *BOUNDS)
    for suffix in ("", "_se")
}


def _estimates(
    vae: VAE,
    pixels: UInt8[Tensor, "all pixels"],
    rows_of: Int64[Tensor, " row"],
    count: int,
    queries: int,
    partition: str,
) -> dict[str, float]:
    # The subset and the noise depend on the partition alone, so that members and steps are compared on equal terms.
    generator = torch.Generator().manual_seed(_seed_of(f"evaluation/{partition}"))
    subset = rows_of[_sample(len(rows_of), count, generator)].to(pixels.device)
    encodings = encode(vae, pixels, subset)
    if not (encodings.mean + encodings.log_var).isfinite().all():
        return dict(_NOTHING)
    costs = distortion_per_draw(vae, pixels, subset, encodings, generator)
    mean_distortion, distortion_se = mean_over_images(costs, len(rows_of))
    _, elbo_se = mean_over_images(costs + encodings.rate.unsqueeze(1), len(rows_of))
    parts = decompose_rate(encodings.mean, encodings.log_var, generator, queries=_sample(count, queries, generator))
    rate_se = (encodings.rate.var(1) * (1 / count - 1 / len(rows_of))).sqrt()
    estimates = {
        "rate": parts.rate,
        "rate_se": rate_se,
        "distortion": mean_distortion,
        "distortion_se": distortion_se,
        "negative_elbo": parts.rate + mean_distortion,
        "negative_elbo_se": elbo_se,
        "mutual_information": parts.mutual_information,
        "mutual_information_se": parts.mutual_information_se,
        "marginal_kl": parts.marginal_kl,
        "marginal_kl_se": parts.marginal_kl_se,
    }
    return _NOTHING | {name: value.item() for name, value in estimates.items()}


@torch.no_grad()
def keepsakes(study: Study, vae: VAE, pixels: UInt8[Tensor, "all pixels"], images: ImageSet) -> dict[str, np.ndarray]:
    """Return pictures and posteriors of images drawn at random, for the result's arrays."""
    generator = torch.Generator().manual_seed(_seed_of("keepsakes"))
    # A data set's rows may be in an order, so the first ones would be alike.
    shown = images.test[torch.randperm(len(images.test), generator=generator)[: study.pictures]]
    mean = encode(vae, pixels, shown.to(pixels.device)).mean
    reconstructions = vae.likelihood.mean(vae.decode(mean).float()).nan_to_num(0).clamp(0, 1).mul(255).round().byte()
    arrays = {
        "test_originals": images.pixels[shown].unsqueeze(0).numpy(),
        "test_reconstructions": reconstructions.unflatten(2, images.image_shape).cpu().numpy(),
    }
    for partition, members_of in (("train", images.train), ("test", images.test)):
        rows = members_of[torch.randperm(len(members_of), generator=generator)[: study.latents]]
        kept = encode(vae, pixels, rows.to(pixels.device))
        arrays[f"{partition}_mean"] = kept.mean.cpu().numpy()
        arrays[f"{partition}_log_var"] = kept.log_var.cpu().numpy()
    if study.distances:
        arrays |= distortion_by_distance(vae, pixels, images, study.distances, generator)
    return arrays


def _sample(population: int, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
    if count == population:
        return torch.arange(population)
    return torch.randperm(population, generator=generator)[:count].sort().values


def _seed_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
