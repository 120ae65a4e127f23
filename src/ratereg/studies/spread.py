"""The exact density of the aggregate posterior, spread over the workers of a Dask cluster."""

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation import block_log_prob, merge_aggregate_log_probs
from ratereg.evaluation.posteriors import check_left_out, check_mixture

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["aggregate_log_prob_on"]

_LARGEST_PART = 8_000_000
"""Bytes of a block; Dask warns of messages above 10 MB."""


@torch.no_grad()
def aggregate_log_prob_on(
    client: "Client",
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
    *,
    left_out: Int64[Tensor, " query"] | None = None,
    block: int = 16_384,
) -> Float64[Tensor, "*lead query"]:
    """Return log q(z) in nats, as `aggregate_log_prob` does to its stated accuracy, computed by a cluster's workers.

    Each task has one of the leading axes' mixtures, a block of its components and a block of the queries; the blocks of
    components are then merged. What a worker that dies had under way is computed by another one. For an information
    estimate give `functools.partial(aggregate_log_prob_on, client)` to `decompose_rate` as its `aggregate`.

    Arguments:
        client: of the cluster.
        z: where to evaluate, with any number of leading axes, for example the member.
        mean: of the components, with the same leading axes.
        log_var: of the components, like `mean`.
        left_out: for each query the row of the component that its mixture goes without.
        block: largest number of components, and of queries, of a task.

    Raises:
        ValueError: as `aggregate_log_prob`, or `block` is below 1.
    """
    check_mixture(z, mean, log_var)
    if block < 1:
        raise ValueError(f"aggregate_log_prob_on: block is {block}; give at least 1.")
    lead, queries = z.shape[:-2], z.shape[-2]
    if left_out is not None:
        check_left_out(left_out, queries, mean.shape[-2])
        left_out = left_out.cpu()
    rows = max(1, min(block, _LARGEST_PART // (8 * z.shape[-1])))

    def held(values: Tensor) -> list["Future[Tensor]"]:
        # Results of tasks, and not scattered: what only a dead worker had is then sent again.
        return [client.submit(_itself, part.clone(), pure=False) for part in values.split(rows)]

    parts = []
    for points, centers, widths in zip(*(_by_mixture(values) for values in (z, mean, log_var)), strict=True):
        components = list(zip(held(centers), held(widths), strict=True))
        for number, query in enumerate(held(points)):
            skipped = None if left_out is None else left_out[number * rows : (number + 1) * rows]
            parts.append(
                [
                    client.submit(
                        _of_a_block, query, *part, None if skipped is None else skipped - first * rows, pure=False
                    )
                    for first, part in enumerate(components)
                ]
            )
    merged = [
        merge_aggregate_log_probs(*map(torch.stack, zip(*blocks, strict=True))) for blocks in client.gather(parts)
    ]
    return torch.cat([*merged, z.new_empty(0, dtype=torch.float64).cpu()]).reshape(*lead, queries).to(z.device)


def _by_mixture(values: Tensor) -> Tensor:
    """Return the values on the CPU with their leading axes made one, in a type that numpy has."""
    values = values if values.dtype in (torch.float32, torch.float64) else values.float()
    return values.reshape(math.prod(values.shape[:-2]), *values.shape[-2:]).detach().cpu()


def _itself(values: Tensor) -> Tensor:
    return values


def _of_a_block(z: Tensor, mean: Tensor, log_var: Tensor, left_out: Tensor | None) -> tuple[Tensor, Tensor]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    values, counts = block_log_prob(z.to(device), mean.to(device), log_var.to(device), left_out=left_out)
    return values.cpu(), counts.cpu()
