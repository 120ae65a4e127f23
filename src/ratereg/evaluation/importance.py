"""The importance-weighted bound on log p(x), in nats."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.images import Images, Quantity, batches, checked_images, encode_batches, quantity_of
from ratereg.evaluation.posteriors import check_at_least, log_prior, normal_noise
from ratereg.evaluation.standard_errors import checked_population, nan_unless_finite, two_stage_error
from ratereg.models import LatentVariableModel

__all__ = ["ImportanceWeightedBound", "importance_weighted_bound"]


@dataclass(frozen=True, eq=False)
class ImportanceWeightedBound:
    """A lower bound, in expectation, on the log-likelihood or pseudo-evidence, in nats, float64.

    Attributes:
        per_image: L_K of each image, a mean over repeats.
        bound, bound_se: the mean over images, and its standard error.
        effective_sample_size: (sum w)^2 / sum w^2 of the K weights of an image, from 1 to K, a mean over repeats. A few
            or less: the bound rests on single samples, and log p(x) may lie far above it.
        samples, repeats: K, and how many independent sets of K samples each image had.
        quantity: what is bounded.
    """

    per_image: Float64[Tensor, "member image"]
    bound: Float64[Tensor, " member"]
    bound_se: Float64[Tensor, " member"]
    effective_sample_size: Float64[Tensor, "member image"]
    samples: int
    repeats: int
    quantity: Quantity


@torch.no_grad()
def importance_weighted_bound(
    model: LatentVariableModel,
    x: Images,
    samples: int,
    generator: torch.Generator | None = None,
    *,
    repeats: int = 2,
    population: int | None = None,
    batch_size: int = 512,
    chunk: int = 4,
) -> ImportanceWeightedBound:
    """Return L_K = E log (1/K) sum_k w_k, w_k = p(x, z_k) / q(z_k|x), z_k drawn from the encoder's q(z|x), in nats.

    L_1 is the ELBO. L_K does not fall as K grows, and tends to log p(x), never above it in expectation. Where q(z|x) is
    narrower than p(z|x), as small beta trains it, it does so slowly: the samples miss most of p(z|x), the effective
    sample size may not show it, and the bound is loose at any K that can be afforded.

    Each image is given `repeats` independent sets of K samples, whose spread gives the standard error of the mean; it
    says how well L_K is known, not how far log p(x) is above. With a handful of images raise `repeats`. Images are
    encoded once and samples streamed, so memory does not grow with K.

    Arguments:
        model: the ensemble.
        x: images.
        samples: K.
        generator: source of the noise.
        repeats: sets of K samples, at least 2.
        population: how many images `x` was drawn from.
        batch_size: images decoded at once, times `chunk`.
        chunk: samples of each image that are decoded at once.

    Raises:
        ValueError: `x` does not fit the model, or a number is too small.

    Source: Burda, Grosse and Salakhutdinov (2016), eq. 8.
    """
    check_at_least(1, samples=samples, batch_size=batch_size, chunk=chunk)
    check_at_least(2, repeats=repeats)
    x = checked_images(model, x)
    images = x.shape[1]
    population = checked_population(population, images)
    mean, log_var = encode_batches(model, images, batches(x, batch_size))
    log_sum = torch.full((model.members, repeats, images), -math.inf, dtype=torch.float64, device=model.device)
    log_sum_of_squares = log_sum.clone()
    for repeat in range(repeats):
        for first in range(0, samples, chunk):
            # One sample of all images at a time, so that the noise is the same however the work is cut.
            noise = torch.stack(
                [
                    normal_noise(mean.shape[1:], generator, model.device, torch.float32)
                    for _ in range(min(chunk, samples - first))
                ]
            )
            for here, some in batches(x, batch_size):
                weights = _log_weights(model, some, mean[:, here], log_var[:, here], noise[:, here])
                for total, terms in ((log_sum, weights), (log_sum_of_squares, 2 * weights)):
                    total[:, repeat, here] = torch.logaddexp(total[:, repeat, here], terms.logsumexp(1))
    values = nan_unless_finite(log_sum - math.log(samples))
    per_image = values.mean(1)
    return ImportanceWeightedBound(
        per_image=per_image,
        bound=per_image.mean(1),
        bound_se=two_stage_error(values, population),
        effective_sample_size=(2 * log_sum - log_sum_of_squares).exp().mean(1),
        samples=samples,
        repeats=repeats,
        quantity=quantity_of(model, x),
    )


def _log_weights(
    model: LatentVariableModel,
    x: Float[Tensor, "#member batch pixels"],
    mean: Float[Tensor, "member batch latent"],
    log_var: Float[Tensor, "member batch latent"],
    noise: Float[Tensor, "sample batch latent"],
) -> Float64[Tensor, "member sample batch"]:
    """Return log p(x, z) - log q(z|x) of one sample z for each noise."""
    center, log_var = mean.double().unsqueeze(1), log_var.double().unsqueeze(1)
    std = (log_var / 2).exp()
    # The decoder sees z in the model's type, so all densities are taken at z as rounded.
    rounded = (center + std * noise).to(mean.dtype)
    z = rounded.double()
    log_q = -(((z - center) / std).square() + log_var + math.log(2 * math.pi)).sum(-1) / 2
    parameters = model.decode(rounded.flatten(1, 2)).unflatten(1, rounded.shape[1:3])
    return log_prior(model.prior, z) - log_q - model.likelihood.distortion(parameters, x.unsqueeze(1)).double()
