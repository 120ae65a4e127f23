"""One shard: the members of one data set and one network, trained as one ensemble and measured along the way."""

import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from ratereg.data import ImageSet
from ratereg.evaluation import decompose_rate, distortion, encode
from ratereg.models import VAE
from ratereg.storage import load_checkpoint, save_checkpoint
from ratereg.studies.provenance import environment, joined
from ratereg.studies.results import Results
from ratereg.studies.study import Study
from ratereg.training import Precision, Trainer, best_precision

__all__ = ["run_shard"]

_DISPLAY_EVERY = 20


def run_shard(
    study: Study, images: ImageSet, device: torch.device, checkpoint: Path, bar: "tqdm[Any]", checkpoint_seconds: float
) -> Results:
    """Train and measure the members of a study of one data set and one network.

    Arguments:
        study: of one data set and one network.
        images: the study's data.
        device: to train and measure on.
        checkpoint: the file that the state of training is kept in; a run goes on from it if it is there.
        bar: advanced by one per member and step.
        checkpoint_seconds: how often the state is kept.
    """
    members = study.members
    seeds, betas = [member.seed for member in members], [member.beta for member in members]
    precision: Precision = best_precision(device) if study.precision == "auto" else study.precision  # type: ignore[assignment]
    vae = VAE(study.axis_networks[0], images.image_shape, seeds, study.chosen_likelihood).to(device)
    pixels = images.pixels.flatten(1).to(device)
    trainer = Trainer(
        vae,
        pixels if images.grey is None else images.grey.flatten(1).to(device),
        images.train,
        betas=betas,
        seeds=seeds,
        batch_size=study.batch_size,
        learning_rate=study.learning_rate,
        precision=precision,
        binarize=images.binarize == "dynamic",
    )
    rows: list[dict[str, Any]] = []
    environments = [environment(device) | {"precision": precision}]
    seconds = 0.0
    saved = load_checkpoint(checkpoint)
    if saved is not None:
        trainer.load_state(saved[0])
        rows, seconds = saved[1]["rows"], saved[1]["seconds"]
        environments = [*saved[1]["environments"], *environments]
        bar.update(trainer.step * len(members))

    clock = started = time.monotonic()

    def after_step(step: int) -> None:
        nonlocal clock
        bar.update(len(members))
        if step % _DISPLAY_EVERY == 0 and not bar.disable:
            bar.set_postfix(D=f"{trainer.distortion.mean():.1f}", R=f"{trainer.rate.mean():.1f}", refresh=False)
        if time.monotonic() - clock > checkpoint_seconds:
            record = {
                "rows": rows,
                "seconds": seconds + time.monotonic() - started,
                "environments": environments,
            }
            save_checkpoint(checkpoint, trainer.state(), record)
            clock = time.monotonic()

    for step in study.record_steps:
        if step > trainer.step:
            trainer.advance(step, after_step)
        if not any(row["step"] == step for row in rows):
            rows += _measure(study, vae, pixels, images, step)
    provenance = joined(environments) | {"seconds": round(seconds + time.monotonic() - started)}
    return Results(study, pd.DataFrame(rows), _keepsakes(study, vae, pixels, images), provenance)


def _measure(
    study: Study, vae: VAE, pixels: UInt8[Tensor, "all pixels"], images: ImageSet, step: int
) -> list[dict[str, Any]]:
    """Return one row per member and partition, measured on whole partitions at the last step, on subsets before.

    A member that has diverged has NaN for its values, and the others are measured as without it.
    """
    last = step == study.steps
    rows = []
    for partition, members_of in (("train", images.train), ("test", images.test)):
        count = len(members_of) if last else min(study.trajectory_images, len(members_of))
        queries = min(study.final_queries if last else study.queries, count)
        # The subset and the noise depend on the partition alone, so that members and steps are compared on equal terms.
        generator = torch.Generator().manual_seed(_fixed_seed(f"evaluation/{partition}"))
        subset = members_of[_sample(len(members_of), count, generator)].to(pixels.device)
        encodings = encode(vae, pixels, subset)
        mean_distortion, distortion_se = distortion(
            vae, pixels, subset, encodings, generator, population=len(members_of)
        )
        alive = (encodings.mean + encodings.log_var).isfinite().all(2).all(1)
        mean, log_var = (values.where(alive[:, None, None], 0) for values in (encodings.mean, encodings.log_var))
        parts = decompose_rate(mean, log_var, generator, queries=_sample(count, queries, generator))
        rate_se = (encodings.rate.var(1) * (1 / count - 1 / len(members_of))).sqrt()
        estimates = {
            "rate": parts.rate,
            "rate_se": rate_se,
            "distortion": mean_distortion,
            "distortion_se": distortion_se,
            "mutual_information": parts.mutual_information,
            "mutual_information_se": parts.mutual_information_se,
            "marginal_kl": parts.marginal_kl,
            "marginal_kl_se": parts.marginal_kl_se,
        }
        for index, member in enumerate(study.members):
            rows.append(
                {
                    "member": index,
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
                    "partition": partition,
                    "images": count,
                    "queries": queries,
                    "components": count,
                    **{name: values[index].item() if alive[index] else math.nan for name, values in estimates.items()},
                    "log_n": parts.log_n,
                }
            )
    return rows


@torch.no_grad()
def _keepsakes(study: Study, vae: VAE, pixels: UInt8[Tensor, "all pixels"], images: ImageSet) -> dict[str, np.ndarray]:
    """Return pictures and posteriors of images drawn at random, for the result's arrays."""
    generator = torch.Generator().manual_seed(_fixed_seed("keepsakes"))
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
    return arrays


def _sample(population: int, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
    if count == population:
        return torch.arange(population)
    return torch.randperm(population, generator=generator)[:count].sort().values


def _fixed_seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
