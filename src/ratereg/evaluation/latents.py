"""What each latent dimension carries: its rate, whether it is in use, and its part of the marginal KL. All in nats.

The prior is the standard Gaussian throughout: of another prior the latents' own densities need not be known.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob
from ratereg.evaluation.posteriors import checked_posteriors, checked_queries, sample_posteriors
from ratereg.evaluation.standard_errors import steadied

__all__ = ["MarginalKLSplit", "active_units", "rate_per_dimension", "split_marginal_kl"]


def rate_per_dimension(
    mean: Float[Tensor, "*lead image latent"], log_var: Float[Tensor, "*lead image latent"]
) -> Float64[Tensor, "*lead latent"]:
    """Return the rate of each latent dimension to the standard Gaussian, a mean over images, in nats."""
    mean, log_var = (values.double() for values in checked_posteriors(mean, log_var))
    return ((mean.square() + log_var.exp() - 1 - log_var) / 2).mean(-2)


def active_units(mean: Float[Tensor, "*lead image latent"], threshold: float = 0.01) -> Bool[Tensor, "*lead latent"]:
    """Return which latent dimensions are in use: the variance over images of their posterior mean exceeds `threshold`.

    A member with a mean that is NaN, infinite or absurd has none in use.

    Raises:
        ValueError: there are fewer than two images, or `threshold` is negative.

    Source: Burda et al. (2016), section 5.2.
    """
    mean, _ = checked_posteriors(mean, torch.zeros_like(mean), least=2)
    if not threshold >= 0:
        raise ValueError(f"threshold is {threshold}; give a variance, 0 or more.")
    return mean.double().var(-2) > threshold


@dataclass(frozen=True, eq=False)
class MarginalKLSplit:
    """The marginal KL as a total correlation and one divergence per latent dimension, in nats, float64.

    `marginal_kl = total_correlation + dimension_wise_kl.sum(-1)` holds to rounding.

    Attributes:
        total_correlation: KL(q(z) || prod_k q(z_k)), how far the latents are from independent.
        dimension_wise_kl: KL(q(z_k) || p(z_k)) of each latent.
        marginal_kl: KL(q(z) || p(z)).
        total_correlation_se, dimension_wise_kl_se: standard errors.
    """

    total_correlation: Float64[Tensor, "*lead"]
    dimension_wise_kl: Float64[Tensor, "*lead latent"]
    marginal_kl: Float64[Tensor, "*lead"]
    total_correlation_se: Float64[Tensor, "*lead"]
    dimension_wise_kl_se: Float64[Tensor, "*lead latent"]


@torch.no_grad()
def split_marginal_kl(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    generator: torch.Generator | None = None,
    *,
    queries: Int64[Tensor, " query"] | None = None,
    draws: int = 2,
) -> MarginalKLSplit:
    """Split KL(q(z) || p(z)) of N diagonal-Gaussian posteriors and a standard Gaussian prior; see `decompose_rate`.

    Every density of the split is a mixture of all N components. The sampled less the closed-form rate steadies each
    term: that of the latent for its divergence, and that of all latents for the total correlation.

    Raises:
        ValueError: as `decompose_rate`.

    Source: Chen et al. (2018), eq. 2.
    """
    mean, log_var = checked_posteriors(mean, log_var)
    images, latent = mean.shape[-2:]
    z, own = sample_posteriors(mean, log_var, checked_queries(queries, images), draws, generator)

    def aggregate(which: slice) -> Float64[Tensor, "*lead draw query"]:
        values = aggregate_log_prob(z[..., which].flatten(-3, -2), mean[..., which], log_var[..., which])
        unflattened: Tensor = values.unflatten(-1, z.shape[-3:-1])
        return unflattened

    single = torch.stack([aggregate(slice(k, k + 1)) for k in range(latent)])
    log_prior = -(z.square() + math.log(2 * math.pi)).movedim(-1, 0) / 2
    rate = rate_per_dimension(mean, log_var).movedim(-1, 0)
    control = own.movedim(-1, 0) - log_prior - rate[..., None, None]
    dimension_wise, dimension_wise_se, _ = steadied(single - log_prior, control, images)
    correlation, correlation_se, _ = steadied(aggregate(slice(None)) - single.sum(0), control.sum(0), images)
    dimension_wise = dimension_wise.movedim(0, -1)
    return MarginalKLSplit(
        total_correlation=correlation,
        dimension_wise_kl=dimension_wise,
        marginal_kl=correlation + dimension_wise.sum(-1),
        total_correlation_se=correlation_se,
        dimension_wise_kl_se=dimension_wise_se.movedim(0, -1),
    )
