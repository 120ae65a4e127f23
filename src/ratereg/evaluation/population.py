"""The mutual information of the population that images come from, bounded from both sides. All in nats.

The empirical mutual information is at most log N by construction. For the population's, the encoder must not have been
trained on the images: then the mixture of m of them is a sample of the true aggregate posterior. With an image's own
component kept it gives a lower bound, at most log m; with the own component left out, an upper bound, which is useless
once encodings no longer overlap. `ratereg.evaluation.bounds` has two that do not saturate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.aggregate import check_posteriors, component_log_prob
from ratereg.evaluation.sampling import sample_posteriors

__all__ = ["InformationBound", "checked_sizes", "population_information"]

_TABLE = 1 << 22
"""Entries of a block of the table of log densities."""


@dataclass(frozen=True, eq=False)
class InformationBound:
    """A bound on the population's mutual information for several numbers of evaluation images, in nats, float64.

    Attributes:
        sizes: how many images were evaluated.
        value: the estimate of the bound.
        standard_error: over the draw of images from the population, and of latents.
        ceiling: what the bound cannot exceed, log m where the own component is kept, else infinity.
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
        mean: of q(z|x) for independent images of the population; leading axes are optional and share the noise.
        log_var: like `mean`.
        generator: the source of noise and of the groups, on the CPU; None takes torch's global one.
        sizes: numbers of images, each at least 2; None for powers of two up to all images.
        draws: samples of z per image.

    Returns:
        The lower bound (own component kept, ceiling log m) and the upper bound (own component left out).

    Raises:
        ValueError: shapes do not agree, a size is impossible, `draws` is below 1, or a value is NaN or infinite.

    Source: Poole et al. (2019), the bounds for a known conditional density, and its leave-one-out form.
    """
    check_posteriors(mean, log_var)
    images = mean.shape[-2]
    chosen = checked_sizes("population_information", sizes, images, least=2)
    if draws < 1:
        raise ValueError(f"population_information: draws is {draws}; give at least 1.")
    order = torch.randperm(images, generator=generator).to(mean.device)
    mean, log_var = mean[..., order, :].double(), log_var[..., order, :].double()
    z, own = sample_posteriors(mean, log_var, torch.arange(images, device=mean.device), draws, generator)
    own = own.sum(-1)
    values: list[list[Tensor]] = [[], []]
    errors: list[list[Tensor]] = [[], []]
    for size in chosen:
        groups = [slice(start, start + size) for start in range(0, images - size + 1, size)]
        terms = [_influences(z[..., g, :], own[..., g], mean[..., g, :], log_var[..., g, :]) for g in groups]
        for side in (0, 1):
            value, influence = (torch.stack([term[part][side] for term in terms]) for part in (0, 1))
            values[side].append(value.mean(0))
            errors[side].append((influence.var(-1) / size).sum(0).sqrt() / len(groups))
    ceilings = torch.tensor([[math.log(size) for size in chosen], [math.inf] * len(chosen)], dtype=torch.float64)
    lower, upper = (
        InformationBound(chosen, torch.stack(values[side]), torch.stack(errors[side]), ceilings[side])
        for side in (0, 1)
    )
    return lower, upper


def _influences(
    z: Float64[Tensor, "*lead draw image latent"],
    own: Float64[Tensor, "*lead draw image"],
    mean: Float64[Tensor, "*lead image latent"],
    log_var: Float64[Tensor, "*lead image latent"],
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return both estimates of one group, and what each image adds to them as a query and as a component.

    More weight on a component lowers log q(z)'s share of all others: to first order by its mean responsibility.
    """
    draws, images = own.shape[-2:]
    terms = own.new_empty(2, *own.shape)
    responsibility = own.new_zeros(2, *own.shape[:-2], images)
    block = max(1, _TABLE // images)
    for start in range(0, images, block):
        here = torch.arange(start, min(start + block, images), device=own.device)
        for draw in range(draws):
            kept = component_log_prob(z[..., draw, here, :], mean, log_var)
            left_out = kept.clone()
            left_out[..., here - start, here] = -math.inf
            for side, table in enumerate((kept, left_out)):
                total = table.logsumexp(-1)
                terms[side][..., draw, here] = own[..., draw, here] - total + math.log(images - side)
                responsibility[side] += table.sub_(total.unsqueeze(-1)).exp_().sum(-2) / draws
    by_image = terms.mean(-2)
    influence = by_image - responsibility
    return (by_image[0].mean(-1), by_image[1].mean(-1)), (influence[0], influence[1])


def checked_sizes(caller: str, sizes: Sequence[int] | None, images: int, *, least: int) -> tuple[int, ...]:
    """Return the sizes, by default the powers of two from `least` up to `images` and `images` itself.

    Raises:
        ValueError: there are fewer than `least` images, or a size is not from `least` to `images`.
    """
    if images < least:
        raise ValueError(f"{caller}: there are {images} images; give at least {least}.")
    if sizes is None:
        powers = [2**k for k in range(1, images.bit_length()) if least <= 2**k < images]
        return (*powers, images)
    for size in sizes:
        if not least <= size <= images:
            raise ValueError(
                f"{caller}: sizes holds {size}; give numbers from {least} to {images}, the images there are."
            )
    if len(sizes) == 0:
        raise ValueError(f"{caller}: sizes is empty; give at least one number of images.")
    return tuple(int(size) for size in sizes)
