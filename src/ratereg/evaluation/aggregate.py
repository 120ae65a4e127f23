"""The density of the aggregate posterior, q(z) = (1/N) sum_n q(z|x_n): a Gaussian mixture of N components, in nats.

A mixture too large for a process is spread in blocks of components: where block b has n_b of N components,
log q(z) = log sum_b exp(log q_b(z) + log n_b) - log N, exactly.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation import kernel
from ratereg.evaluation.posteriors import check_left_out, check_mixture, nan_if_absurd
from ratereg.models.pixels import described

__all__ = ["aggregate_log_prob", "block_log_prob", "component_log_prob", "merge_aggregate_log_probs"]

_LARGEST_EXPANDED = 1e4
"""The largest distance, in a component's standard deviations, whose expanded square float64 gets right to 1e-7."""

_LOWEST = torch.finfo(torch.float64).min

_Table = Callable[[Float64[Tensor, "query latent"]], Float64[Tensor, "query component"]]
"""From queries to their log densities under a block of components."""


@torch.no_grad()
def aggregate_log_prob(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
    *,
    left_out: Int64[Tensor, " query"] | None = None,
) -> Float64[Tensor, "*lead query"]:
    """Return log q(z) in nats, q(z) the uniform mixture of all N diagonal Gaussians, as float64.

    On the CPU a kernel compiled at the first use sums the components (`ratereg.evaluation.kernel.available()` says
    whether it does); elsewhere PyTorch does. Both take distances in float64 except, in the kernel, where an error bound
    shows that float32 is right to 1e-4; the two agree to about 1e-6. Memory does not grow with queries x components. A
    query with a value that is NaN or infinite has NaN.

    Arguments:
        z: points to evaluate at.
        mean: means of the components.
        log_var: log-variances of the components.
        left_out: for each query the row of the component that its mixture omits, so that N - 1 remain.

    Raises:
        ValueError: an argument does not fit the others, or there is no component, or only one and that left out.
    """
    check_mixture(z, mean, log_var)
    components = mean.shape[-2]
    if left_out is not None:
        check_left_out(left_out, z.shape[-2], components)
        left_out = left_out.to(z.device)
        components -= 1
    log_sum = kernel.log_sum_of_densities if kernel.program(z.device) == "mixture.c" else _log_sum_of_densities
    out = torch.full((math.prod(z.shape[:-2]), z.shape[-2]), math.nan, dtype=torch.float64, device=z.device)
    for index, member in _members(z, mean, log_var):
        out[index] = log_sum(*member, left_out) - math.log(components)
    return out.reshape(z.shape[:-1]).masked_fill(~z.isfinite().all(-1), math.nan)


@torch.no_grad()
def component_log_prob(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
) -> Float64[Tensor, "*lead query component"]:
    """Return the table of log q(z|x_n) in nats, of every query under every component, as float64.

    The table is whole, so its memory grows with queries x components: give a block of queries at a time. Arguments,
    NaN and errors are as in `aggregate_log_prob`.
    """
    check_mixture(z, mean, log_var)
    shape = (math.prod(z.shape[:-2]), z.shape[-2], mean.shape[-2])
    out = torch.full(shape, math.nan, dtype=torch.float64, device=z.device)
    for index, (points, *posteriors) in _members(z, mean, log_var):
        for rows, table in _blocks(points, *posteriors):
            out[index][:, rows] = table(points.double())
    return out.reshape(*z.shape[:-1], mean.shape[-2]).masked_fill(~z.isfinite().all(-1, keepdim=True), math.nan)


@torch.no_grad()
def block_log_prob(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
    *,
    left_out: Int64[Tensor, " query"] | None = None,
) -> tuple[Float64[Tensor, "*lead query"], Int64[Tensor, " query"]]:
    """Return log q_b(z) in nats of a block of a mixture's components, and how many components each query's block has.

    Arguments and errors are as in `aggregate_log_prob`, except that a row of `left_out` that the block does not have
    (negative, say) leaves the block whole. A block left without any component has density 0, and its logarithm is -inf.
    """
    check_mixture(z, mean, log_var)
    components, queries = mean.shape[-2], z.shape[-2]
    if left_out is None:
        return aggregate_log_prob(z, mean, log_var), torch.full((queries,), components, device=z.device)
    if left_out.shape != (queries,) or left_out.dtype != torch.int64:
        raise ValueError(f"left_out is {described(left_out)}; give an int64 row for each of {queries} queries.")
    left_out = left_out.to(z.device)
    here = (left_out >= 0) & (left_out < components)
    values = torch.full(z.shape[:-1], -math.inf, dtype=torch.float64, device=z.device)
    values[..., ~here] = aggregate_log_prob(z[..., ~here, :], mean, log_var)
    if components > 1:
        values[..., here] = aggregate_log_prob(z[..., here, :], mean, log_var, left_out=left_out[here])
    return values, components - here.long()


@torch.no_grad()
def merge_aggregate_log_probs(
    log_probs: Float64[Tensor, "block *lead query"], counts: Sequence[int] | Int64[Tensor, "block query"]
) -> Float64[Tensor, "*lead query"]:
    """Return log q(z) in nats of the mixture of all blocks' components, as `aggregate_log_prob` of all at once.

    Arguments:
        log_probs: log q_b(z) of each block b, -inf where it has no component.
        counts: how many components each block has, or each query's block where one is left out.

    Raises:
        ValueError: there is no block, `counts` does not fit it, holds a negative number, or is 0 in all blocks.
    """
    numbers = torch.as_tensor(counts, device=log_probs.device)
    if not len(log_probs) or len(numbers) != len(log_probs) or numbers.ndim not in (1, 2):
        raise ValueError(
            f"counts has shape {tuple(numbers.shape)} for {len(log_probs)} blocks; give one number for each of at "
            "least one block, or one for each block and query."
        )
    if (numbers < 0).any() or (numbers.sum(0) == 0).any():
        raise ValueError("counts is negative somewhere, or 0 in all blocks; give how many components each block has.")
    shape = [len(numbers), *[1] * (log_probs.ndim - 2), *(numbers.shape[1:] or [1])]
    numbers = numbers.to(torch.float64).reshape(shape)
    return (log_probs + numbers.log()).logsumexp(0) - numbers.sum(0).log()


def _members(z: Tensor, mean: Tensor, log_var: Tensor) -> Iterator[tuple[int, tuple[Tensor, Tensor, Tensor]]]:
    """Yield the index of each mixture that is not absurd, with its queries, 0 where not finite, and its components."""
    count = math.prod(z.shape[:-2])
    flat = (tensor.reshape(count, *tensor.shape[-2:]) for tensor in (z, mean, log_var))
    for index, (points, centers, widths) in enumerate(zip(*flat, strict=True)):
        if not nan_if_absurd(centers, widths)[0][0, 0].isnan():
            yield index, (torch.where(points.isfinite(), points, 0), centers, widths)


def _block_size(device: torch.device) -> tuple[int, int]:
    """Return how many queries and components a block has: one that stays in a processor's cache, or busies a GPU."""
    return (256, 2048) if device.type == "cpu" else (2048, 8192)


def _log_sum_of_densities(
    z: Float[Tensor, "query latent"],
    mean: Float[Tensor, "component latent"],
    log_var: Float[Tensor, "component latent"],
    left_out: Int64[Tensor, " query"] | None,
) -> Float64[Tensor, " query"]:
    """Return log sum_n q(z|x_n), as the kernel does, on any device."""
    blocks = _blocks(z, mean, log_var)
    out = z.new_empty(len(z), dtype=torch.float64)
    queries, _ = _block_size(z.device)
    for here in (slice(start, start + queries) for start in range(0, len(z), queries)):
        points = z[here].double()
        log_sum = z.new_full((len(points), 1), -math.inf, dtype=torch.float64)
        for rows, table in blocks:
            terms = table(points)
            if left_out is not None:
                terms.masked_fill_(left_out[here, None] == rows, -math.inf)
            largest = terms.amax(1, keepdim=True).clamp_min_(_LOWEST)
            # Relative to the largest term float32 errs by 1e-7 of the sum; below e^-80 a term is nothing, but
            # subnormal numbers are slow.
            total = terms.sub_(largest).float().clamp_(min=-80).exp_().sum(1, keepdim=True, dtype=torch.float64)
            log_sum = torch.logaddexp(log_sum, largest + total.log())
        out[here] = log_sum.squeeze(1)
    return out.masked_fill_(out <= _LOWEST, -math.inf)


def _blocks(
    z: Float[Tensor, "query latent"],
    mean: Float[Tensor, "component latent"],
    log_var: Float[Tensor, "component latent"],
) -> list[tuple[Int64[Tensor, " _"], _Table]]:
    """Return the rows of the components block by block, with what tabulates them.

    Components wide enough for the fast form of the squared distance come first.
    """
    z, mean, log_var = z.double(), mean.double(), log_var.double()
    # Centring keeps the expanded square accurate for latents far from the origin.
    center = mean.mean(0)
    reach = torch.cat([z, mean]).sub_(center).abs().amax()
    narrow = reach * (-log_var.amin(1) / 2).exp() > _LARGEST_EXPANDED
    _, size = _block_size(z.device)
    blocks: list[tuple[Tensor, _Table]] = []
    for rows in (~narrow).nonzero().squeeze(1).split(size):
        blocks.append((rows, _expanded(mean[rows], log_var[rows], center)))
    for rows in narrow.nonzero().squeeze(1).split(size):
        blocks.append((rows, _explicit(mean[rows], log_var[rows])))
    return [block for block in blocks if len(block[0])]


def _expanded(
    mean: Float64[Tensor, "component latent"],
    log_var: Float64[Tensor, "component latent"],
    center: Float64[Tensor, " latent"],
) -> _Table:
    """Tabulate with the squared distances written out as one matrix product, in float64.

    In float32, and more so in TF32, this form errs by several nats for narrow components.
    """
    mean, precision = mean - center, (-log_var).exp()
    weights = torch.cat([precision / -2, mean * precision, _constant(mean.square() * precision + log_var)[:, None]], 1)

    def table(z: Float64[Tensor, "query latent"]) -> Float64[Tensor, "query component"]:
        z = z - center
        return torch.cat([z.square(), z, torch.ones_like(z[:, :1])], 1) @ weights.T

    return table


def _explicit(mean: Float64[Tensor, "component latent"], log_var: Float64[Tensor, "component latent"]) -> _Table:
    """Tabulate by differences, dimension by dimension: slower, for components of any width."""
    inverse_std, constant = (-log_var / 2).exp(), _constant(log_var)

    def table(z: Float64[Tensor, "query latent"]) -> Float64[Tensor, "query component"]:
        out = constant.repeat(len(z), 1)
        for k in range(z.shape[1]):
            distance = (z[:, k, None] - mean[:, k]).mul_(inverse_std[:, k])
            out.addcmul_(distance, distance, value=-0.5)
        return out

    return table


def _constant(terms: Float64[Tensor, "component latent"]) -> Float64[Tensor, " component"]:
    """Return the part of a log density that does not depend on z."""
    return -(terms + math.log(2 * math.pi)).sum(1) / 2
