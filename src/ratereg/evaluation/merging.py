"""The density of a mixture from those of blocks of its components, so that one too large for a process can be spread.

Where block b has n_b of N components, log q(z) = log sum_b exp(log q_b(z) + log n_b) - log N, exactly.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob

__all__ = ["block_log_prob", "merge_aggregate_log_probs"]


@torch.no_grad()
def block_log_prob(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
    *,
    left_out: Int64[Tensor, " query"] | None = None,
) -> tuple[Float64[Tensor, "*lead query"], Int64[Tensor, " query"]]:
    """Return log q_b(z) in nats, and how many components each query's block has.

    Arguments:
        z: where to evaluate; any number of leading axes, for example the member.
        mean: of the block's components, with the same leading axes.
        log_var: of the block's components, like `mean`.
        left_out: for each query the row in the block of the component that it goes without; a row that the block does
            not have (negative, say) leaves it whole. A block left without any has density 0, and its logarithm -inf.

    Raises:
        ValueError: as `aggregate_log_prob`.
    """
    components = mean.shape[-2]
    if left_out is None:
        counts = torch.full((z.shape[-2],), components, device=z.device)
        return aggregate_log_prob(z, mean, log_var), counts
    if left_out.shape != (z.shape[-2],):
        raise ValueError(f"left_out has shape {tuple(left_out.shape)}; give one row for each of {z.shape[-2]} queries.")
    left_out = left_out.to(z.device)
    here = (left_out >= 0) & (left_out < components)
    values = torch.full(z.shape[:-1], -torch.inf, dtype=torch.float64, device=z.device)
    values[..., ~here] = aggregate_log_prob(z[..., ~here, :], mean, log_var)
    if components > 1:
        values[..., here] = aggregate_log_prob(z[..., here, :], mean, log_var, left_out=left_out[here])
    return values, components - here.long()


@torch.no_grad()
def merge_aggregate_log_probs(
    log_probs: Float64[Tensor, "block *lead query"], counts: Sequence[int] | Int64[Tensor, "block query"]
) -> Float64[Tensor, "*lead query"]:
    """Return log q(z) in nats of the mixture of all blocks' components.

    It is what `aggregate_log_prob` gives of all components at once: to rounding of float64 where the blocks' densities
    are exact, and else to their own error.

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
    numbers = numbers.double().reshape(shape)
    return (log_probs + numbers.log()).logsumexp(0) - numbers.sum(0).log()
