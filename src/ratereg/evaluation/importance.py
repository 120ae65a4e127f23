"""The importance-weighted bound on log p(x), in nats."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ratereg.evaluation.importance_weights import checked_population
from ratereg.evaluation.sampling import two_stage_covariance
from ratereg.models import Bernoulli, LatentVariableModel

__all__ = ["ImportanceWeightedBound", "Quantity", "checked_images", "importance_weighted_bound", "quantity_of"]

Quantity = Literal["log-likelihood", "pseudo-evidence"]
"""What log of the integral of p(z) exp(-D(x, z)) is: see `Likelihood.is_density`."""


@dataclass(frozen=True, eq=False)
class ImportanceWeightedBound:
    """A lower bound, in expectation, on the log-likelihood or pseudo-evidence, in nats, float64.

    Attributes:
        per_image: L_K of each image, a mean over repeats.
        bound: the mean over images.
        bound_se: its standard error over repeated sampling, and over the images where they are a random subset.
        effective_sample_size: (sum w)^2 / sum w^2 of the K weights of an image, from 1 to K, a mean over repeats. A few
            or less: the bound rests on single samples, and log p(x) may lie far above it.
        samples: K.
        repeats: how many independent sets of K samples each image had.
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
    x: Float[Tensor, "*#member image pixels"],
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
    encoded once and samples streamed, so memory does not grow with K. The noise of an image is the same for all
    members, so that contrasts between them are paired, and does not depend on `batch_size` or `chunk`. A member that
    has diverged has NaN.

    Arguments:
        model: the ensemble.
        x: images, of all members alike or with a leading axis of 1 or of the members.
        samples: K.
        generator: the source of noise, on the CPU; None takes torch's global one.
        repeats: sets of K samples, at least 2.
        population: how many images `x` was drawn from at random, without replacement; None if `x` is all there are.
        batch_size: images decoded at once, times `chunk`.
        chunk: samples of each that are decoded at once.

    Raises:
        ValueError: `x` does not fit the model or is not finite, or a number is too small.

    Source: Burda, Grosse and Salakhutdinov (2016), eq. 8.
    """
    x = checked_images(model, x)
    images = x.shape[1]
    least = {"samples": 1, "repeats": 2, "batch_size": 1, "chunk": 1}
    given = {"samples": samples, "repeats": repeats, "batch_size": batch_size, "chunk": chunk}
    for name, value in given.items():
        if value < least[name]:
            raise ValueError(f"{name} is {value}; give at least {least[name]}.")
    population = checked_population(population, images)
    batches = [slice(start, start + batch_size) for start in range(0, images, batch_size)]
    encoded = [model.encode(x[:, here].to(model.device)) for here in batches]
    latent = encoded[0][0].shape[-1]

    shape = (model.members, repeats, images)
    log_sum = torch.full(shape, -math.inf, dtype=torch.float64, device=model.device)
    log_sum_of_squares = log_sum.clone()
    for repeat in range(repeats):
        for first in range(0, samples, chunk):
            # One sample of all images at a time, so that the noise is the same however the work is cut.
            count = min(chunk, samples - first)
            noise = torch.stack([torch.randn(images, latent, generator=generator) for _ in range(count)])
            for here, (mean, log_var) in zip(batches, encoded, strict=True):
                weights = _log_weights(model, x[:, here].to(model.device), mean, log_var, noise[:, here])
                for total, terms in ((log_sum, weights), (log_sum_of_squares, 2 * weights)):
                    total[:, repeat, here] = torch.logaddexp(total[:, repeat, here], terms.logsumexp(1))
    values = log_sum - math.log(samples)
    per_image = values.mean(1)
    return ImportanceWeightedBound(
        per_image=per_image,
        bound=per_image.mean(1),
        bound_se=two_stage_covariance(values, values, population).sqrt(),
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
    rounded = (center + std * noise.to(mean.device)).to(mean.dtype)
    z = rounded.double()
    log_q = -(((z - center) / std).square() + log_var + math.log(2 * math.pi)).sum(-1) / 2
    parameters = model.decode(rounded.flatten(1, 2)).unflatten(1, rounded.shape[1:3])
    return model.prior.log_prob(z) - log_q - model.likelihood.distortion(parameters, x.unsqueeze(1)).double()


def quantity_of(model: LatentVariableModel, x: Float[Tensor, "*#member image pixels"]) -> Quantity:
    """Return what a bound on log p(x) bounds, for images like `x`."""
    return "log-likelihood" if model.likelihood.is_density(x) else "pseudo-evidence"


@torch.no_grad()
def checked_images(model: LatentVariableModel, x: Float[Tensor, "..."]) -> Float[Tensor, "#member image pixels"]:
    """Return the images with their member axis, of length 1 if they are the same for all members.

    Raises:
        ValueError: `x` is misshapen, has no image or not the model's number of pixels, is not finite, or, for a
            Bernoulli likelihood, leaves [0, 1].
    """
    if x.ndim not in (2, 3) or 0 in x.shape or (x.ndim == 3 and x.shape[0] not in (1, model.members)):
        raise ValueError(
            f"x has shape {tuple(x.shape)}; give (image, pixels) or (member, image, pixels), for 1 or "
            f"{model.members} members and at least one image."
        )
    x = x.unsqueeze(0) if x.ndim == 2 else x
    if not torch.isfinite(x).all():
        raise ValueError("x holds NaN or infinity; give finite pixels.")
    if isinstance(model.likelihood, Bernoulli) and not ((x >= 0) & (x <= 1)).all():
        raise ValueError(
            f"x holds pixels from {float(x.min()):g} to {float(x.max()):g}, and the likelihood is Bernoulli; give "
            "pixels in [0, 1]."
        )
    try:
        mean, _ = model.encode(x[:, :1].to(model.device))
    except RuntimeError as error:
        raise ValueError(
            f"x has {x.shape[-1]} pixels an image, which the model does not encode ({error}); give the images that it "
            "was made for."
        ) from error
    decoded = model.decode(mean).shape[-1]
    if decoded != x.shape[-1]:
        raise ValueError(f"x has {x.shape[-1]} pixels an image, and the model decodes to {decoded}; give as many.")
    return x
