"""The exact density of the aggregate posterior, spread over the workers of a Dask cluster."""

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation.aggregate import check_mixture
from ratereg.evaluation.merging import block_log_prob, merge_aggregate_log_probs

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["aggregate_log_prob_on"]


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
        block: how many components and how many queries a task has at the most.

    Raises:
        ValueError: as `aggregate_log_prob`, or `block` is below 1.
    """
    check_mixture(z, mean, log_var)
    if block < 1:
        raise ValueError(f"aggregate_log_prob_on: block is {block}; give at least 1.")
    lead, queries, components = z.shape[:-2], z.shape[-2], mean.shape[-2]
    check_left_out(left_out, queries, components)
