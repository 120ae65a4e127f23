"""The mutual information of the population that images come from, bounded from both sides. All in nats.

The empirical mutual information is at most log N by construction. For the population's, the encoder must not have been
trained on the images: then the mixture of m of them is a sample of the true aggregate posterior. With an image's own
component kept it gives a lower bound, at most log m; with the own component left out, an upper bound, which is useless
once encodings no longer overlap.

Two bounds do not saturate, however narrow the posteriors: from above, E KL(q(z|x) || m(z)) for any density m, here a
mixture fitted on other images; from below, where the images' factors are known, `ratereg.evaluation.factor_bound`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob, component_log_prob
from ratereg.evaluation.posteriors import check_at_least, checked_posteriors, negative_entropy, sample_posteriors
from ratereg.evaluation.standard_errors import INFINITE, two_stage_error

__all__ = [
    "FittedMarginal",
    "InformationBound",
    "bound_by_size",
    "checked_sizes",
    "fit_marginal",
    "marginal_bound",
    "population_information",
]

_TABLE = 1 << 22
"""Entries of a block of the table of log densities."""

_WIDTHS = tuple(2.0 ** (k / 2) for k in range(-16, 2))
_SAFEGUARD = 0.01


@dataclass(frozen=True, eq=False)
class InformationBound:
    """A bound on the population's mutual information for several numbers of evaluation images, in nats, float64.

    Standard errors are over the draw of images from the population, and of latents. The bound cannot exceed its
    ceiling: log m where the own component is kept, else infinity.
    """

    sizes: tuple[int, ...]
    value: Float64[Tensor, "size *lead"]
    standard_error: Float64[Tensor, "size *lead"]
    ceiling: Float64[Tensor, " size"]


@torch.no_grad()
def population_information(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    generator: torch.Generator | None = None,
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 1,
) -> tuple[InformationBound, InformationBound]:
    """Return a lower and an upper bound on I(x;z) of the population, from images that the encoder was not trained on.

    For each size m the images are cut at random into disjoint groups of m, and the groups' estimates averaged. The
    standard error is that of the mean of independent images; each counts both as a query and as a component of the
    others' mixture (infinitesimal jackknife).

    Arguments:
        mean: means of q(z|x) for independent images of the population.
        log_var: log-variances of q(z|x).
        generator: source of the noise and of the groups.
        sizes: numbers of images, each at least 2; None for powers of two up to all images.
        draws: samples of z per image.

    Raises:
        ValueError: an argument does not fit the others, a size is impossible, or `draws` is below 1.

    Source: Poole et al. (2019), the bounds for a known conditional density, and its leave-one-out form.
    """
    check_at_least(1, draws=draws)
    posteriors = checked_posteriors(mean, log_var, least=2)
    images = mean.shape[-2]
    chosen = checked_sizes(sizes, images)
    order = torch.randperm(images, generator=generator, device="cpu").to(mean.device)
    mean, log_var = (values[..., order, :].double() for values in posteriors)
    z, own = sample_posteriors(mean, log_var, torch.arange(images, device="cpu"), draws, generator)
    own = own.sum(-1)
    values, errors = [], []
    for size in chosen:
        groups = [slice(start, start + size) for start in range(0, images - size + 1, size)]
        terms = [_influences(z[..., g, :], own[..., g], mean[..., g, :], log_var[..., g, :]) for g in groups]
        value, influence = (torch.stack(each) for each in zip(*terms, strict=True))
        values.append(value.mean(0))
        errors.append((influence.var(-1) / size).sum(0).sqrt() / len(groups))
    kept = torch.tensor(chosen, dtype=torch.float64, device="cpu").log()
    ceilings = kept, torch.full_like(kept, math.inf)
    by_side = zip(torch.stack(values, 1), torch.stack(errors, 1), ceilings, strict=True)
    lower, upper = (InformationBound(chosen, *side) for side in by_side)
    return lower, upper


def _influences(
    z: Float64[Tensor, "*lead draw image latent"],
    own: Float64[Tensor, "*lead draw image"],
    mean: Float64[Tensor, "*lead image latent"],
    log_var: Float64[Tensor, "*lead image latent"],
) -> tuple[Float64[Tensor, "2 *lead"], Float64[Tensor, "2 *lead image"]]:
    """Return one group's estimates, own component kept and left out, and what each image adds to them.

    An image counts as a query and as a component: more weight on a component lowers log q(z)'s share of all others, to
    first order by its mean responsibility.
    """
    draws, images = own.shape[-2:]
    terms = own.new_empty(2, *own.shape)
    responsibility = own.new_zeros(2, *own.shape[:-2], images)
    for here in torch.arange(images, device=own.device).split(max(1, _TABLE // images)):
        for draw in range(draws):
            kept = component_log_prob(z[..., draw, here, :], mean, log_var)
            left_out = kept.clone()
            left_out[..., here - here[0], here] = -math.inf
            for side, table in enumerate((kept, left_out)):
                total = table.logsumexp(-1)
                terms[side][..., draw, here] = own[..., draw, here] - total + math.log(images - side)
                responsibility[side] += table.sub_(total.unsqueeze(-1)).exp_().sum(-2) / draws
    by_image = terms.mean(-2)
    return by_image.mean(-1), by_image - responsibility


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
    """Fit a density of z to the posteriors of at least four images: a kernel density estimate.

    The width is the one, of a grid, under which one half of the images describes the other half's latents best, for
    each member by itself. The images must be others than those that a bound is evaluated on.
    """
    posteriors = checked_posteriors(mean, log_var, least=4)
    images = mean.shape[-2]
    order = torch.randperm(images, generator=generator, device="cpu").to(mean.device)
    mean, log_var = (values[..., order, :].double() for values in posteriors)
    half = images // 2
    z, _ = sample_posteriors(mean, log_var, torch.arange(half, images, device="cpu"), 1, generator)
    variance = mean.var(-2) + log_var.exp().mean(-2)
    widths = torch.tensor(_WIDTHS, dtype=torch.float64, device=mean.device)
    scores = []
    for width in widths:
        fitted = _widened(mean[..., :half, :], log_var[..., :half, :], variance, width.expand(mean.shape[:-2]))
        scores.append(fitted.log_prob(z.squeeze(-3)).mean(-1))
    return _widened(mean, log_var, variance, widths[torch.stack(scores).argmax(0)])


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

    The number of evaluation images changes its error only. It is as loose as m is far from the true aggregate
    posterior, KL(q(z) || m(z)) nats, whatever the width of the posteriors. The `marginal` m is from `fit_marginal`, of
    the same leading axes, fitted on other images; there are at least 2 `draws`; and `sizes` take the first ones of the
    images. The other arguments, and the errors, are as in `population_information`.

    Source: Barber and Agakov (2003); Poole et al. (2019), the variational upper bound.
    """
    mean, log_var = checked_posteriors(mean, log_var, least=2)
    chosen = checked_sizes(sizes, mean.shape[-2])
    rows = torch.arange(max(chosen), device="cpu")
    z, _ = sample_posteriors(mean, log_var, rows, draws, generator)
    log_marginal = marginal.log_prob(z.flatten(-3, -2)).unflatten(-1, z.shape[-3:-1])
    return bound_by_size(negative_entropy(log_var[..., : len(rows), :]).unsqueeze(-2) - log_marginal, chosen)


def bound_by_size(terms: Float64[Tensor, "*lead draw image"], sizes: Sequence[int]) -> InformationBound:
    """Return the means of the first images' terms, for each number of images, with errors over the population."""
    first = [terms[..., :size] for size in sizes]
    return InformationBound(
        tuple(sizes),
        torch.stack([some.mean((-2, -1)) for some in first]),
        torch.stack([two_stage_error(some, INFINITE) for some in first]),
        torch.full((len(sizes),), math.inf, dtype=torch.float64, device="cpu"),
    )


def checked_sizes(sizes: Sequence[int] | None, images: int) -> tuple[int, ...]:
    """Return the sizes, by default powers of two and `images`; raise ValueError unless all are from 2 to `images`."""
    if sizes is None:
        return (*(2**k for k in range(1, images.bit_length()) if 2**k < images), images)
    if not sizes or not all(2 <= size <= images for size in sizes):
        raise ValueError(f"sizes is {list(sizes)}; give at least one number from 2 to {images}, the images there are.")
    return tuple(int(size) for size in sizes)
