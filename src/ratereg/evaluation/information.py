"""The information terms of the rate: mutual information, and the KL of the aggregate posterior to the prior.

With q(x) uniform over N images, the aggregate posterior q(z) = (1/N) sum_n q(z|x_n) is a Gaussian mixture of N
components, and the rate splits exactly (Hoffman and Johnson, 2016): R = I_q(x;z) + KL(q(z) || p(z)), in nats.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob
from ratereg.evaluation.posteriors import (
    checked_posteriors,
    checked_queries,
    log_prior,
    negative_entropy,
    sample_posteriors,
)
from ratereg.evaluation.standard_errors import steadied, two_stage_error
from ratereg.models import Prior, StandardGaussian

__all__ = ["RateDecomposition", "ReferenceDecomposition", "decompose_rate", "decompose_rate_under"]

Aggregate = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From (z, mean, log_var) to log q(z), as `aggregate_log_prob`."""


@dataclass(frozen=True, eq=False)
class RateDecomposition:
    """The rate and its two parts, in nats, float64, one value per member where there is a member axis.

    `rate = mutual_information + marginal_kl` holds to rounding, and so does the same of the plain Monte Carlo means,
    named `..._mc`, which pair all terms on the same samples.

    Attributes:
        rate: mean over all N images of KL(q(z|x) || p(z)): in closed form, with `rate_se` 0, where the prior has one.
        mutual_information: I_q(x;z).
        marginal_kl: KL(q(z) || p(z)).
        rate_se, mutual_information_se, marginal_kl_se: standard errors.
        rate_mc, mutual_information_mc, marginal_kl_mc: means of log-density ratios over queries and draws; every term
            of `mutual_information_mc` is at most log N.
        log_n: log N, the ceiling of the mutual information.
        queries: how many images were sampled from.
    """

    rate: Float64[Tensor, "*lead"]
    mutual_information: Float64[Tensor, "*lead"]
    marginal_kl: Float64[Tensor, "*lead"]
    rate_se: Float64[Tensor, "*lead"]
    mutual_information_se: Float64[Tensor, "*lead"]
    marginal_kl_se: Float64[Tensor, "*lead"]
    rate_mc: Float64[Tensor, "*lead"]
    mutual_information_mc: Float64[Tensor, "*lead"]
    marginal_kl_mc: Float64[Tensor, "*lead"]
    log_n: float
    queries: int


@dataclass(frozen=True, eq=False)
class ReferenceDecomposition:
    """The rate of one set of images, split by the aggregate posterior of another one, the reference. In nats, float64.

    `rate = information_under_reference + marginal_under_reference` holds to rounding, and so does the same of the Monte
    Carlo means. Neither part is a mutual information or a divergence, and the first has no ceiling.

    Attributes:
        rate, rate_mc, queries: as in `RateDecomposition`.
        information_under_reference: E[log q(z|x) - log q_ref(z)] = I(x;z) + KL(q(z) || q_ref(z)), of the images' own I
            and q(z).
        marginal_under_reference: E[log q_ref(z) - log p(z)] = KL(q(z) || p(z)) - KL(q(z) || q_ref(z)).
        aggregate_divergence: KL(q(z) || q_ref(z)), from the images' own aggregate posterior to the reference's.
        ..._se: standard errors, the reference being given.
    """

    rate: Float64[Tensor, "*lead"]
    information_under_reference: Float64[Tensor, "*lead"]
    marginal_under_reference: Float64[Tensor, "*lead"]
    aggregate_divergence: Float64[Tensor, "*lead"]
    rate_se: Float64[Tensor, "*lead"]
    information_under_reference_se: Float64[Tensor, "*lead"]
    marginal_under_reference_se: Float64[Tensor, "*lead"]
    aggregate_divergence_se: Float64[Tensor, "*lead"]
    rate_mc: Float64[Tensor, "*lead"]
    information_under_reference_mc: Float64[Tensor, "*lead"]
    marginal_under_reference_mc: Float64[Tensor, "*lead"]
    queries: int


@torch.no_grad()
def decompose_rate(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    generator: torch.Generator | None = None,
    *,
    queries: Int64[Tensor, " query"] | None = None,
    draws: int = 2,
    prior: Prior | None = None,
    aggregate: Aggregate = aggregate_log_prob,
) -> RateDecomposition:
    """Split the rate of N diagonal-Gaussian posteriors into mutual information and marginal KL, in nats.

    z is drawn from the posteriors of the queried images, and log q(z) is evaluated over all N components. The
    difference between the sampled and the closed-form rate, whose expectation is 0, serves as a control variate with
    the coefficient that minimizes the variance: near saturation of the mutual information (coefficient 1) the marginal
    KL is then the rate less the sampled information, near collapse (0) it is sampled itself. For a prior without a
    closed-form rate, the negative entropy of q(z|x) takes the rate's place.

    Intervals of 95% covered the truth in 91% to 96% of repetitions, but in about 90% with 30 queries of two draws each.

    Arguments:
        mean: means of q(z|x_n) for all N images.
        log_var: log-variances of q(z|x_n).
        generator: source of the noise.
        queries: rows of the images to draw z for; None for all of them.
        draws: samples of z per queried image, at least 2.
        prior: p(z), whose members are those of the leading axes; None for the standard Gaussian.
        aggregate: function from (z, mean, log_var) to log q(z), like `aggregate_log_prob`; another one may spread it
            over a cluster.

    Raises:
        ValueError: an argument does not fit the others, there is no image or no query, or `draws` is below 2.

    Source: Hoffman and Johnson (2016), ELBO surgery, for the split.

    Example:
        >>> mean, log_var = torch.randn(1000, 10), torch.full((1000, 10), -4.0)  # q(z|x) of 1,000 images
        >>> parts = decompose_rate(mean, log_var)
        >>> bool(abs(parts.rate - parts.mutual_information - parts.marginal_kl) < 1e-9)
        True
    """
    terms = _Terms(mean, log_var, generator, queries, draws, prior, aggregate)
    mixture = terms.log_mixture(mean, log_var)
    marginal_kl, marginal_kl_se, information_se = terms.split(mixture)
    return RateDecomposition(
        rate=terms.rate,
        mutual_information=terms.rate - marginal_kl,
        marginal_kl=marginal_kl,
        rate_se=terms.rate_se,
        mutual_information_se=information_se,
        marginal_kl_se=marginal_kl_se,
        rate_mc=terms.sampled_rate.mean((-2, -1)),
        mutual_information_mc=(terms.own - mixture).mean((-2, -1)),
        marginal_kl_mc=(mixture - terms.log_prior).mean((-2, -1)),
        log_n=math.log(terms.images),
        queries=terms.queries,
    )


@torch.no_grad()
def decompose_rate_under(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    reference_mean: Float[Tensor, "*lead component latent"],
    reference_log_var: Float[Tensor, "*lead component latent"],
    generator: torch.Generator | None = None,
    *,
    queries: Int64[Tensor, " query"] | None = None,
    draws: int = 2,
    prior: Prior | None = None,
    aggregate: Aggregate = aggregate_log_prob,
) -> ReferenceDecomposition:
    """Split the rate of some images, say of the test set, by the aggregate posterior of a reference, the training set.

    `reference_mean` and `reference_log_var` are of q(z|x_n) for all images of the reference; the other arguments, and
    the errors, as in `decompose_rate`.
    """
    terms = _Terms(mean, log_var, generator, queries, draws, prior, aggregate)
    reference = terms.log_mixture(reference_mean, reference_log_var)
    marginal, marginal_se, information_se = terms.split(reference)
    divergence, divergence_se, _ = steadied(terms.log_mixture(mean, log_var) - reference, terms.control, terms.images)
    return ReferenceDecomposition(
        rate=terms.rate,
        information_under_reference=terms.rate - marginal,
        marginal_under_reference=marginal,
        aggregate_divergence=divergence,
        rate_se=terms.rate_se,
        information_under_reference_se=information_se,
        marginal_under_reference_se=marginal_se,
        aggregate_divergence_se=divergence_se,
        rate_mc=terms.sampled_rate.mean((-2, -1)),
        information_under_reference_mc=(terms.own - reference).mean((-2, -1)),
        marginal_under_reference_mc=(reference - terms.log_prior).mean((-2, -1)),
        queries=terms.queries,
    )


class _Terms:
    """Samples of the queried posteriors, and the log densities that every split shares, each (*lead, draw, query)."""

    def __init__(
        self,
        mean: Float[Tensor, "*lead image latent"],
        log_var: Float[Tensor, "*lead image latent"],
        generator: torch.Generator | None,
        queries: Int64[Tensor, " query"] | None,
        draws: int,
        prior: Prior | None,
        aggregate: Aggregate,
    ) -> None:
        mean, log_var = checked_posteriors(mean, log_var)
        prior = StandardGaussian() if prior is None else prior
        lead, self.images = mean.shape[:-2], mean.shape[-2]
        self._aggregate = aggregate
        rows = checked_queries(queries, self.images)
        self.queries = len(rows)
        self.z, by_latent = sample_posteriors(mean, log_var, rows, draws, generator)
        self.own = by_latent.sum(-1)
        by_member = self.z.reshape(math.prod(lead), *self.z.shape[-3:])
        self.log_prior = log_prior(prior, by_member).reshape(self.own.shape)
        self.sampled_rate = self.own - self.log_prior
        self.rate_is_exact = prior.closed_form
        if prior.closed_form:
            means, log_vars = (x.double().reshape(math.prod(lead), *x.shape[-2:]) for x in (mean, log_var))
            self.rate = prior.rate(means, log_vars, means).mean(-1).reshape(lead)
            self.rate_se = 0 * self.rate
            self.control = self.sampled_rate - self.rate[..., None, None]
        else:
            self.control = self.own - negative_entropy(log_var).mean(-1)[..., None, None]
            self.rate = (self.sampled_rate - self.control).mean((-2, -1))
            self.rate_se = two_stage_error(self.sampled_rate - self.control, self.images)

    def log_mixture(
        self, mean: Float[Tensor, "*lead component latent"], log_var: Float[Tensor, "*lead component latent"]
    ) -> Float64[Tensor, "*lead draw query"]:
        """Return the log density of the samples under the mixture of some posteriors."""
        values: Tensor = self._aggregate(self.z.flatten(-3, -2), mean, log_var).unflatten(-1, self.own.shape[-2:])
        return values

    def split(
        self, mixture: Float64[Tensor, "*lead draw query"]
    ) -> tuple[Float64[Tensor, "*lead"], Float64[Tensor, "*lead"], Float64[Tensor, "*lead"]]:
        """Return E[log q(z) - log p(z)] for a mixture q, its standard error, and that of the rest of the rate."""
        value, error, coefficient = steadied(mixture - self.log_prior, self.control, self.images)
        if self.rate_is_exact:
            return value, error, error
        # The same samples less the same control: both parts add up to the rate.
        rest = self.own - mixture - (1 - coefficient[..., None, None]) * self.control
        return value, error, two_stage_error(rest, self.images)
