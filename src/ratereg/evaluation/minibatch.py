"""Estimates of log q(z) from a minibatch, as training objectives use them: here, so that their bias can be shown.

The aggregate posterior q(z) is a mixture over all N images; from the B images of one batch it can only be guessed. For
log q(z) itself use `aggregate_log_prob`.
"""

from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.aggregate import component_log_prob
from ratereg.evaluation.posteriors import check_at_least

__all__ = ["MinibatchMethod", "minibatch_log_prob", "minibatch_weights"]

MinibatchMethod = Literal["plain", "weighted", "stratified"]


def minibatch_weights(batch: int, images: int, method: MinibatchMethod) -> Float64[Tensor, "query component"]:
    """Return the weight of each component of a batch of B in the estimate of q(z_i), z_i drawn from the posterior of i.

    With the weight w of its own component a query's log q(z|x) - log q(z) is at most -log w: this is the ceiling of the
    mutual information so estimated.

    - "plain": 1/B each, ceiling log B. The mutual information of the batch alone, in expectation at most the true one.
    - "weighted": 1/(N B) each, minibatch weighted sampling, ceiling log(N B). The plain estimate and log N, so in
      expectation at least log N.
    - "stratified": minibatch stratified sampling, ceiling log N. With M = B - 1: 1/N for the own component,
      (N - M)/(N M) for one other (here the next row) and 1/M for the rest. Rows sum to one. When the others are a
      uniform draw without replacement q(z) has no bias; so in expectation the mutual information is at least the true
      one.

    Arguments:
        batch: B, the size of the batch.
        images: N, the size of the data set that the batch was drawn from.
        method: which estimate.

    Raises:
        ValueError: the method is unknown, or the batch is empty, larger than the data set, or of one image where
            "stratified" needs another.

    Source: Chen, Li, Grosse and Duvenaud (2018).
    """
    if method not in ("plain", "weighted", "stratified"):
        raise ValueError(f"method is {method!r}; give 'plain', 'weighted' or 'stratified'.")
    check_at_least(2 if method == "stratified" else 1, batch=batch)
    if not batch <= images:
        raise ValueError(f"batch is {batch} and images is {images}; give a batch of at most all images.")
    others = batch - 1
    weight = {"plain": 1 / batch, "weighted": 1 / (images * batch), "stratified": 1 / max(1, others)}[method]
    weights = torch.full((batch, batch), weight, dtype=torch.float64, device="cpu")
    if method != "stratified":
        return weights
    row = torch.arange(batch, device="cpu")
    weights[row, row] = 1 / images
    # By row and column: strided writes into the flattened matrix, as they are about, fill columns 0 and 1 of every
    # row, so that an own component weighs 1/M instead of 1/N.
    weights[row, (row + 1) % batch] = (images - others) / (images * others)
    return weights


@torch.no_grad()
def minibatch_log_prob(
    z: Float[Tensor, "*lead batch latent"],
    mean: Float[Tensor, "*lead batch latent"],
    log_var: Float[Tensor, "*lead batch latent"],
    images: int,
    method: MinibatchMethod,
) -> Float64[Tensor, "*lead batch"]:
    """Return an estimate of log q(z) in nats from one batch, as float64; `minibatch_weights` describes the methods.

    `z` has one latent per image of the batch, drawn from its own posterior, and `mean` and `log_var` are those of the
    posteriors, row by row; leading axes are optional. The memory needed grows with the square of the batch.

    Raises:
        ValueError: types or shapes do not agree, or as in `minibatch_weights`.

    Source: Chen, Li, Grosse and Duvenaud (2018).
    """
    densities = component_log_prob(z, mean, log_var)
    if z.shape != mean.shape:
        raise ValueError(
            f"z has shape {tuple(z.shape)} and mean {tuple(mean.shape)}; give one z for each image of the batch."
        )
    return (densities + minibatch_weights(mean.shape[-2], images, method).log().to(mean.device)).logsumexp(-1)
