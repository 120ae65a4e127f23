"""Estimates of log q(z) from a minibatch, as training objectives use them: here, so that their bias can be shown.

The aggregate posterior q(z) is a mixture over all N images; from the B images of one batch it can only be guessed. For
log q(z) itself use `aggregate_log_prob`.
"""

from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.aggregate import check_posteriors, component_log_prob

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
        ValueError: the method is unknown, or the batch is empty, larger than the data set, or of one image for
            "stratified".

    Source: Chen, Li, Grosse and Duvenaud (2018).
    """
    if method not in ("plain", "weighted", "stratified"):
        raise ValueError(f"method is {method!r}; give 'plain', 'weighted' or 'stratified'.")
    if not 1 <= batch <= images:
        raise ValueError(
            f"batch is {batch} and images is {images}; give a batch of at least one image, of all at most."
        )
    if method != "stratified":
        return torch.full((batch, batch), 1 / batch if method == "plain" else 1 / (images * batch), dtype=torch.float64)
    others = batch - 1
    if others == 0:
        raise ValueError("batch is 1; 'stratified' needs at least 2 images, the own one and another.")
    weights = torch.full((batch, batch), 1 / others, dtype=torch.float64)
    row = torch.arange(batch)
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

    The memory needed grows with the square of the batch.

    Arguments:
        z: one latent per image of the batch, drawn from its own posterior; leading axes are optional.
        mean: of the posteriors of the batch, row by row those of `z`.
        log_var: of the posteriors, like `mean`.
        images: N, the size of the data set that the batch was drawn from.
        method: "plain", "weighted" or "stratified".

    Raises:
        ValueError: shapes do not agree, a value is NaN or infinite, or as in `minibatch_weights`.

    Source: Chen, Li, Grosse and Duvenaud (2018).
    """
    check_posteriors(mean, log_var)
    if z.shape != mean.shape:
        raise ValueError(
            f"z has shape {tuple(z.shape)} and mean {tuple(mean.shape)}; give one z for each image of the batch."
        )
    log_weights = minibatch_weights(mean.shape[-2], images, method).log().to(mean.device)
    return (component_log_prob(z, mean, log_var) + log_weights).logsumexp(-1)
