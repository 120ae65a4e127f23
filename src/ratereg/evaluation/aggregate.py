"""The density of the aggregate posterior, q(z) = (1/N) sum_n q(z|x_n): a Gaussian mixture of N components, in nats."""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation import kernel

__all__ = ["aggregate_log_prob", "check_left_out", "check_mixture", "check_posteriors", "component_log_prob"]

_LARGEST_EXPANDED = 1e4
"""The largest distance, in a component's standard deviations, whose expanded square float64 gets right to 1e-7."""

_LOWEST = torch.finfo(torch.float64).min

_Tables = Callable[[slice], Iterator[Tensor]]
"""For some of the queries: log densities (query, component), block after block of the components."""


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
    whether it does); elsewhere, and where it cannot be compiled, a program in torch does. Both take distances in
    float64 except, in the kernel, where an error bound shows that float32 is right to 1e-4; the two agree to about
    1e-6. The memory needed does not grow with queries x components.

    Arguments:
        z: where to evaluate; any number of leading axes, for example the member.
        mean: of the components, with the same leading axes.
        log_var: of the components, like `mean`.
        left_out: for each query the row of the component that its mixture goes without, so that it is one of N - 1.

    Raises:
        ValueError: shapes do not agree, there is no component or none but the one left out, a row of `left_out` is
            none of the components, a variance rounds to zero, or a value is NaN or infinite.
    """
    check_mixture(z, mean, log_var)
    lead, queries, components = z.shape[:-2], z.shape[-2], mean.shape[-2]
    if left_out is not None:
        check_left_out(left_out, queries, components)
        left_out = left_out.to(z.device)
        components -= 1
    compiled = z.device.type == "cpu" and kernel.available()
    log_sum = kernel.log_sum_of_densities if compiled else _log_sum_of_densities
    out = torch.empty(*lead, queries, dtype=torch.float64, device=z.device)
    for values, points, centers, widths in zip(*_members(out[..., None], z, mean, log_var), strict=True):
        values[:, 0] = log_sum(points, centers, widths, left_out) - math.log(components)
    return out


@torch.no_grad()
def component_log_prob(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
) -> Float64[Tensor, "*lead query component"]:
    """Return the table of log q(z|x_n) in nats, of every query under every component, as float64.

    The table is whole, so its memory grows with queries x components: give a block of queries at a time.

    Arguments:
        z: where to evaluate; any number of leading axes, for example the member.
        mean: of the components, with the same leading axes.
        log_var: of the components, like `mean`.

    Raises:
        ValueError: as `aggregate_log_prob`.
    """
    check_mixture(z, mean, log_var)
    out = torch.empty(*z.shape[:-1], mean.shape[-2], dtype=torch.float64, device=z.device)
    _, block = _block_size(z.device)
    for table, points, centers, widths in zip(*_members(out, z, mean, log_var), strict=True):
        for group, tables in _parts(points, centers, widths, block):
            for columns, part in zip(group.nonzero().squeeze(1).split(block), tables(slice(None)), strict=True):
                table[:, columns] = part
    return out


def _members(*tensors: Tensor) -> list[Tensor]:
    """Return each tensor with its leading axes made one."""
    return [tensor.reshape(math.prod(tensor.shape[:-2]), *tensor.shape[-2:]) for tensor in tensors]


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
    queries, components = _block_size(z.device)
    parts = []
    for group, tables in _parts(z, mean, log_var, components):
        place = None if left_out is None else torch.where(group, group.cumsum(0) - 1, -1)[left_out, None]
        parts.append(_log_sum_exp(tables, z, place, queries, min(components, len(mean))))
    return torch.stack(parts).logsumexp(0)


def _parts(
    z: Float[Tensor, "query latent"],
    mean: Float[Tensor, "component latent"],
    log_var: Float[Tensor, "component latent"],
    block: int,
) -> list[tuple[Bool[Tensor, " component"], _Tables]]:
    """Part the components into those wide enough for the fast form of the squared distance, and the narrow ones."""
    z, mean, log_var = z.double(), mean.double(), log_var.double()
    # Centring keeps the expanded square accurate for latents far from the origin.
    center = mean.mean(0)
    z, mean = z - center, mean - center
    reach = torch.cat([z, mean]).abs().amax()
    narrow = reach * (-log_var.amin(1) / 2).exp() > _LARGEST_EXPANDED
    parts = []
    if not narrow.all():
        parts.append((~narrow, _expanded(z, mean[~narrow], log_var[~narrow], block)))
    if narrow.any():
        parts.append((narrow, _explicit(z, mean[narrow], log_var[narrow], block)))
    return parts


def _expanded(
    z: Float64[Tensor, "query latent"],
    mean: Float64[Tensor, "component latent"],
    log_var: Float64[Tensor, "component latent"],
    block: int,
) -> _Tables:
    """Log densities with the squared distances written out as one matrix product, in float64.

    In float32, and more so in TF32, this form errs by several nats for narrow components.
    """
    precision = (-log_var).exp()
    weights = torch.cat([precision / -2, mean * precision, _constant(mean.square() * precision, log_var)], 1).T
    blocks = [part.contiguous() for part in weights.split(block, 1)]

    def tables(rows: slice) -> Iterator[Tensor]:
        features = torch.cat([z[rows].square(), z[rows], torch.ones_like(z[rows, :1])], 1)
        # One buffer serves all blocks: fresh ones would cost more than the arithmetic.
        buffer = features.new_empty(len(features), blocks[0].shape[1])
        for part in blocks:
            whole = part.shape[1] == buffer.shape[1]
            yield torch.mm(features, part, out=buffer) if whole else features @ part

    return tables


def _explicit(
    z: Float64[Tensor, "query latent"],
    mean: Float64[Tensor, "component latent"],
    log_var: Float64[Tensor, "component latent"],
    block: int,
) -> _Tables:
    """Log densities by differences, dimension by dimension: slower, for components of any width."""
    inverse_std = (-log_var / 2).exp()
    constant = _constant(torch.zeros_like(log_var), log_var).T

    def tables(rows: slice) -> Iterator[Tensor]:
        for start in range(0, len(mean), block):
            columns = slice(start, start + block)
            table = constant[:, columns].repeat(len(z[rows]), 1)
            for k in range(z.shape[1]):
                distance = (z[rows, k, None] - mean[columns, k]).mul_(inverse_std[columns, k])
                table.addcmul_(distance, distance, value=-0.5)
            yield table

    return tables


def _constant(
    square: Float64[Tensor, "component latent"], log_var: Float64[Tensor, "component latent"]
) -> Float64[Tensor, "component 1"]:
    """Return the part of a component's log density that does not depend on z, as a column."""
    return -(square + log_var + math.log(2 * math.pi)).sum(1, keepdim=True) / 2


def _log_sum_exp(
    tables: _Tables, z: Float[Tensor, "query latent"], place: Int64[Tensor, "query 1"] | None, queries: int, block: int
) -> Float64[Tensor, " query"]:
    """Reduce tables of log densities in one pass, each query's without the component in its `place`."""
    out = z.new_empty(len(z), dtype=torch.float64)
    exponents = z.new_empty(min(queries, len(z)), block, dtype=torch.float32)
    for rows in (slice(start, start + queries) for start in range(0, len(z), queries)):
        largest = z.new_full((len(z[rows]), 1), _LOWEST, dtype=torch.float64)
        total = torch.zeros_like(largest)
        first = 0
        for table in tables(rows):
            width = table.shape[1]
            if place is not None:
                column = place[rows] - first
                kept = table.gather(1, column.clamp(0, width - 1))
                here = (column >= 0) & (column < width)
                table.scatter_(1, column.clamp(0, width - 1), torch.where(here, -math.inf, kept))
            new_largest = torch.maximum(largest, table.amax(1, keepdim=True))
            # Relative to the largest term float32 errs by 1e-7 of the sum; below e^-80 a term is nothing, but
            # subnormal numbers are slow.
            relative = exponents[: len(table), :width].copy_(table.sub_(new_largest)).clamp_(min=-80)
            total = total * (largest - new_largest).exp() + relative.exp_().sum(1, keepdim=True)
            largest = new_largest
            first += width
        out[rows] = torch.where(largest > _LOWEST, largest + total.log(), -math.inf).squeeze(1)
    return out


def check_posteriors(mean: Tensor, log_var: Tensor) -> None:
    """Raise ValueError unless `mean` and `log_var` are those of at least one diagonal Gaussian with a density."""
    if mean.shape != log_var.shape or mean.ndim < 2:
        raise ValueError(
            f"mean and log_var have shapes {tuple(mean.shape)} and {tuple(log_var.shape)}; "
            "give both as (..., image, latent)."
        )
    if mean.shape[-2] == 0 or mean.shape[-1] == 0:
        raise ValueError(f"mean has shape {tuple(mean.shape)}; give at least one image and one latent dimension.")
    if not torch.isfinite(mean).all() or not torch.isfinite(log_var).all():
        raise ValueError("mean or log_var holds NaN or infinity; a zero variance has no density. Give finite values.")
    if (log_var < -700).any():
        raise ValueError(f"log_var is {log_var.min():.4g} somewhere: a variance of zero in float64. Give -700 or more.")


def check_mixture(z: Tensor, mean: Tensor, log_var: Tensor) -> None:
    """Raise ValueError unless `z` are finite places to evaluate these posteriors at."""
    check_posteriors(mean, log_var)
    if z.shape[:-2] != mean.shape[:-2] or z.shape[-1] != mean.shape[-1]:
        raise ValueError(
            f"z has shape {tuple(z.shape)}, which does not fit mean {tuple(mean.shape)}; "
            "give (..., query, latent) beside (..., component, latent) with equal leading axes."
        )
    if not torch.isfinite(z).all():
        raise ValueError("z holds NaN or infinity; give finite latents.")


def check_left_out(left_out: Tensor, queries: int, components: int) -> None:
    """Raise ValueError unless each query can go without the component that it is to."""
    if left_out.shape != (queries,):
        raise ValueError(f"left_out has shape {tuple(left_out.shape)}; give one row for each of {queries} queries.")
    if components == 1:
        raise ValueError("left_out leaves nothing of a mixture of one component; give at least 2 components.")
    if queries and not 0 <= int(left_out.min()) <= int(left_out.max()) < components:
        raise ValueError(
            f"left_out goes from {int(left_out.min())} to {int(left_out.max())}; give rows from 0 to {components - 1}."
        )
