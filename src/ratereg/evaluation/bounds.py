"""Bounds on the population's mutual information that do not saturate, however narrow the posteriors. All in nats.

Above: E KL(q(z|x) || m(z)) for any density m, here a mixture fitted on other images. Below, where the true factors f of
the images are known: h(f) + E log r(f|z) for any regression r, here a network fitted on other images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob, check_posteriors
from ratereg.evaluation.population import InformationBound, checked_sizes
from ratereg.evaluation.sampling import INFINITE, sample_posteriors, two_stage_covariance

__all__ = ["FittedMarginal", "fit_marginal", "marginal_bound"]

_WIDTHS = tuple(2.0 ** (k / 2) for k in range(-16, 2))
_SAFEGUARD = 0.01


@dataclass(frozen=True, eq=False)
class FittedMarginal:
    """A density m(z): the posteriors of some images, each widened, and a little of one broad Gaussian for the rest.

    Attributes:
        mean, log_var: of the widened posteriors.
        center, spread: mean and standard deviation of the broad Gaussian, of weight 0.01.
        width: how far the posteriors were widened, in standard deviations of the aggregate posterior.
    """

    mean: Float64[Tensor, "*lead component latent"]
    log_var: Float64[Tensor, "*lead component latent"]
    center: Float64[Tensor, "*lead latent"]
    spread: Float64[Tensor, "*lead latent"]
    width: Float64[Tensor, "*lead"]

    def log_prob(self, z: Float[Tensor, "*lead query latent"]) -> Float64[Tensor, "*lead query"]:
        """Return log m(z), in nats."""
        narrow = aggregate_log_prob(z, self.mean, self.log_var)
        scaled = (z.double() - self.center.unsqueeze(-2)) / self.spread.unsqueeze(-2)
        constant = self.spread.log().sum(-1, keepdim=True) + z.shape[-1] * math.log(2 * math.pi) / 2
        broad = -scaled.square().sum(-1) / 2 - constant
        return torch.logaddexp(narrow + math.log1p(-_SAFEGUARD), broad + math.log(_SAFEGUARD))


@torch.no_grad()
def fit_marginal(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    generator: torch.Generator | None = None,
) -> FittedMarginal:
    """Fit a density of z to the posteriors of some images: a kernel density estimate with its width chosen by half.

    The width is the one, of a grid, under which one half of the images describes the other half's latents best. So the
    images must be others than those that a bound is evaluated on.

    Arguments:
        mean: of q(z|x) for at least four images; leading axes are optional, and each has a width of its own.
        log_var: like `mean`.
        generator: the source of noise and of the halves, on the CPU; None takes torch's global one.

    Raises:
        ValueError: shapes do not agree, there are fewer than four images, or a value is NaN or infinite.
    """
    check_posteriors(mean, log_var)
    images = mean.shape[-2]
    if images < 4:
        raise ValueError(f"fit_marginal: mean has {images} images; give at least 4.")
    order = torch.randperm(images, generator=generator).to(mean.device)
    mean, log_var = mean[..., order, :].double(), log_var[..., order, :].double()
    half = images // 2
    z, _ = sample_posteriors(mean, log_var, torch.arange(half, images, device=mean.device), 1, generator)
    variance = mean.var(-2) + log_var.exp().mean(-2)
    candidates = []
    for width in _WIDTHS:
        width_of_all = torch.full(mean.shape[:-2], width, dtype=torch.float64, device=mean.device)
        fitted = _widened(mean[..., :half, :], log_var[..., :half, :], variance, width_of_all)
        candidates.append(fitted.log_prob(z.squeeze(-3)).mean(-1))
    best = torch.stack(candidates).argmax(0)
    return _widened(mean, log_var, variance, torch.tensor(_WIDTHS, dtype=torch.float64, device=mean.device)[best])


def _widened(
    mean: Float64[Tensor, "*lead image latent"],
    log_var: Float64[Tensor, "*lead image latent"],
    variance: Float64[Tensor, "*lead latent"],
    width: Float64[Tensor, "*lead"],
) -> FittedMarginal:
    added = (width.square().unsqueeze(-1) * variance).unsqueeze(-2)
    return FittedMarginal(mean, (log_var.exp() + added).log(), mean.mean(-2), 2 * variance.sqrt(), width)


@torch.no_grad()
def marginal_bound(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    marginal: FittedMarginal,
    generator: torch.Generator | None = None,
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 2,
) -> InformationBound:
    """Return an upper bound on I(x;z) of the population: E KL(q(z|x) || m(z)), by the closed-form entropy of q(z|x).

    The number of evaluation images changes its error alone. It is as loose as m is far from the true aggregate
    posterior, KL(q(z) || m(z)) nats, whatever the width of the posteriors.

    Arguments:
        mean: of q(z|x) for independent images of the population, which `marginal` was not fitted on.
        log_var: like `mean`.
        marginal: the density m, from `fit_marginal`, with the same leading axes.
        generator: the source of noise, on the CPU; None takes torch's global one.
        sizes: numbers of images, the first ones of those given; None for powers of two up to all of them.
        draws: samples of z per image, at least 2.

    Raises:
        ValueError: shapes do not agree, a size is impossible, `draws` is below 2, or a value is NaN or infinite.

    Source: Barber and Agakov (2003); Poole et al. (2019), the variational upper bound.
    """
    check_posteriors(mean, log_var)
    chosen = checked_sizes("marginal_bound", sizes, mean.shape[-2], least=2)
    rows = torch.arange(chosen[-1] if sizes is None else max(chosen), device=mean.device)
    z, _ = sample_posteriors(mean, log_var, rows, draws, generator)
    log_marginal = marginal.log_prob(z.flatten(-3, -2)).unflatten(-1, z.shape[-3:-1])
    negative_entropy = -(log_var[..., rows, :].double() + math.log(2 * math.pi) + 1).sum(-1) / 2
    terms = negative_entropy.unsqueeze(-2) - log_marginal
    return bound_by_size(terms, chosen)


def bound_by_size(terms: Float64[Tensor, "*lead draw image"], sizes: Sequence[int]) -> InformationBound:
    """Return the means of the first images' terms, for each number of images, with errors over the population."""
    first = [terms[..., :size] for size in sizes]
    errors = [two_stage_covariance(some, some, INFINITE).clamp_min(0).sqrt() for some in first]
    return InformationBound(
        tuple(sizes),
        torch.stack([some.mean((-2, -1)) for some in first]),
        torch.stack(errors),
        torch.full((len(sizes),), math.inf, dtype=torch.float64),
    )
