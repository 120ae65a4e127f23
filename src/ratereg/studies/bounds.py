"""Bounds on the log-likelihood, or the pseudo-evidence, of random images of a partition: what a study keeps of them."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ratereg.evaluation import annealed_importance_sampling, importance_weighted_bound
from ratereg.models import VAE
from ratereg.studies.study import Study

__all__ = ["BOUNDS", "decodings", "likelihood_bounds"]

BOUNDS = ("importance_weighted_bound", "annealed_importance_sampling")
"""The columns, lower bounds in expectation, in nats; higher is better."""

_REPEATS, _CHAINS, _LEAPFROG = 2, 2, 3


def decodings(study: Study) -> int:
    """Return how many latents the bounds of one member decode, each gradient counted as two more."""
    weighted = study.bound_images * study.bound_samples * _REPEATS
    # One pass tunes the step sizes, and one is for the estimate.
    annealed = study.annealed_images * _CHAINS * study.temperatures * _LEAPFROG * 2 * 3
    return 2 * (weighted + annealed)


def likelihood_bounds(
    study: Study, vae: VAE, pixels: UInt8[Tensor, "all pixels"], rows_of: Int64[Tensor, " row"], seed: int
) -> dict[str, float]:
    """Return the bounds that a study asks for, and their standard errors, of one partition of one member.

    The images and the noise depend on the partition alone, so that contrasts between members are paired.

    Arguments:
        study: on how many images, and how.
        vae: an ensemble of one.
        pixels: all images, flattened.
        rows_of: the partition's images.
        seed: of the choice of images and of the noise.
    """
    if not study.bound_images:
        return {}
    generator = torch.Generator().manual_seed(seed)
    count = min(study.bound_images, len(rows_of))
    chosen = rows_of[torch.randperm(len(rows_of), generator=generator)[:count]].to(pixels.device)
    x = pixels[chosen].float().div_(255)
    weighted = importance_weighted_bound(
        vae, x, study.bound_samples, generator, repeats=_REPEATS, population=len(rows_of)
    )
    estimates = {BOUNDS[0]: weighted.bound.item(), f"{BOUNDS[0]}_se": weighted.bound_se.item()}
    if few := min(study.annealed_images, count):
        annealed = annealed_importance_sampling(
            vae,
            x[:few],
            chains=_CHAINS,
            temperatures=study.temperatures,
            leapfrog=_LEAPFROG,
            seed=seed % 2**31,
            population=len(rows_of),
        )
        estimates |= {BOUNDS[1]: annealed.estimate.item(), f"{BOUNDS[1]}_se": annealed.estimate_se.item()}
    return estimates
