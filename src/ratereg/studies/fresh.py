"""What a study keeps of Tetrominoes drawn anew: whether it is the mutual information that saturates, or its ceiling.

The encoder stays as it is, and the number of images in the aggregate posterior grows.
"""

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from ratereg.data import tetrominoes
from ratereg.evaluation import (
    decompose_rate,
    encode,
    factor_bound,
    fit_factors,
    fit_marginal,
    marginal_bound,
)
from ratereg.models import VAE
from ratereg.studies.study import LEAST_FRESH, Study

__all__ = ["EVALUATED", "FITTED", "fresh_estimates", "fresh_sizes"]

FITTED, EVALUATED = 16_384, 4096
"""Images that the population bounds' densities are fitted on, and others that the bounds are evaluated on."""

_REGRESSION_STEPS = 1000


def fresh_sizes(fresh_images: int) -> list[int]:
    """Return the numbers of images in the aggregate posterior: powers of 4 times the least, and the most."""
    sizes = []
    size = LEAST_FRESH
    while size < fresh_images:
        sizes.append(size)
        size *= 4
    return [*sizes, fresh_images]


def fresh_estimates(study: Study, vae: VAE, seed: int) -> list[dict[str, Any]]:
    """Return a row for each number of fresh images: rate, mutual information and marginal KL, with standard errors.

    The last row also has `information_lower_bound` and `information_upper_bound` on the population's mutual
    information, which have no ceiling: from a regression of the factors, and from a fitted marginal density.

    Arguments:
        study: with how many images.
        vae: an ensemble of one, for Tetrominoes.
        seed: of the noise.
    """
    pixels, cube = _fresh(study.fresh_images + FITTED + EVALUATED)
    pixels, cube = pixels.to(vae.device), cube.to(vae.device)
    generator = torch.Generator().manual_seed(seed)
    encodings = encode(vae, pixels, torch.arange(len(pixels), device=vae.device))
    rows = []
    for size in fresh_sizes(study.fresh_images):
        queries = torch.randperm(size, generator=generator)[: study.final_queries].sort().values
        parts = decompose_rate(encodings.mean[:, :size], encodings.log_var[:, :size], generator, queries=queries)
        names = ("rate", "rate_se", "mutual_information", "mutual_information_se", "marginal_kl", "marginal_kl_se")
        estimates = {name: getattr(parts, name).item() for name in names}
        rows.append({"images": size, "queries": len(queries), "components": size, **estimates})
    fitted = slice(study.fresh_images, study.fresh_images + FITTED)
    evaluated = slice(study.fresh_images + FITTED, len(pixels))
    to_fit = (encodings.mean[:, fitted], encodings.log_var[:, fitted])
    to_evaluate = (encodings.mean[:, evaluated], encodings.log_var[:, evaluated])
    sizes = [EVALUATED]
    above = marginal_bound(*to_evaluate, fit_marginal(*to_fit, generator), generator, sizes=sizes)
    regression = fit_factors(*to_fit, cube[fitted], seed=seed % 2**31, steps=_REGRESSION_STEPS)
    below = factor_bound(*to_evaluate, cube[evaluated], regression, generator, sizes=sizes)
    for name, bound in (("information_lower_bound", below), ("information_upper_bound", above)):
        rows[-1] |= {name: bound.value.item(), f"{name}_se": bound.standard_error.item()}
    return rows


@lru_cache(maxsize=1)
def _fresh(count: int) -> tuple[UInt8[Tensor, "image pixels"], Float64[Tensor, "image factor"]]:
    """Return images and their factors in the unit cube; the first ones are the same for every count."""
    factors = tetrominoes.draw_factors(count, seed=0)
    pixels = tetrominoes.render(factors, dtype=torch.uint8).flatten(1)
    return pixels, torch.from_numpy(tetrominoes.unit_cube(factors))
