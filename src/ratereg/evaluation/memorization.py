"""What a decoder that memorizes would do: the optimum of an infinitely flexible one, and how near a model comes to it.

Over the N training images, the output that minimizes the expected distortion at z is their average under the posterior
of the image's index, x*(z) = sum_n w_n(z) x_n with w_n(z) = q(z|x_n) / sum_m q(z|x_m) (Shu et al., 2018, Theorem 1).
This holds for every likelihood whose best mean for a set of images is their average, the Bernoulli and the Gaussian
among them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation.aggregate import aggregate_log_prob, component_log_prob
from ratereg.evaluation.posteriors import check_at_least, check_mixture, check_rows, normal_noise
from ratereg.evaluation.rate_distortion import Encodings, Pixels
from ratereg.models import LatentVariableModel

__all__ = ["Memorization", "distances_to_training", "memorization", "optimal_decoder"]

_NOTHING = -40.0
"""The log of a weight that counts as zero: a million of them are 4e-12."""

_TABLE = 2**22
"""Distances held at once."""


@torch.no_grad()
def optimal_decoder(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
    pixels: Pixels,
    rows: Int64[Tensor, " component"],
    *,
    block_size: int = 2048,
) -> tuple[Float[Tensor, "*lead query pixels"], Float64[Tensor, "*lead query"]]:
    """Return x*(z), the weighted average of the training images, and the perplexity exp(H(w)) of its weights.

    The perplexity is the number of training images, between 1 and N, that the average is effectively over. Memory does
    not grow with queries x training images.

    Arguments:
        z: where to decode.
        mean: means of the posteriors of the N training images.
        log_var: log-variances of these posteriors.
        pixels: all images.
        rows: the training images, in the order of `mean`.
        block_size: training images taken at once.

    Raises:
        ValueError: an argument does not fit the others, there is no training image, or a block is empty.

    Source: Shu et al. (2018), Amortized inference regularization, Theorem 1.
    """
    check_mixture(z, mean, log_var)
    check_at_least(1, block_size=block_size)
    check_rows("rows", rows, len(pixels))
    if len(rows) != mean.shape[-2]:
        raise ValueError(f"rows has {len(rows)} entries for {mean.shape[-2]} posteriors; give one training image each.")
    dtype = torch.promote_types(z.dtype, torch.float32)
    log_sum = aggregate_log_prob(z, mean, log_var).unsqueeze(-1) + math.log(len(rows))
    average = z.new_zeros(*z.shape[:-1], pixels.shape[1], dtype=dtype)
    total, weighted_log = torch.zeros_like(log_sum), torch.zeros_like(log_sum)
    for here, x in _blocks(pixels, rows, block_size, dtype):
        log_weight = component_log_prob(z, mean[..., here, :], log_var[..., here, :]) - log_sum
        weight = log_weight.exp().masked_fill_(log_weight < _NOTHING, 0)
        total += weight.sum(-1, keepdim=True)
        weighted_log += (weight * log_weight).sum(-1, keepdim=True)
        # Most images weigh nothing for any query where posteriors are narrow.
        used = (weight > 0).flatten(0, -2).any(0)
        average += weight[..., used].to(dtype) @ x[used]
    # The sum comes from another program than the terms, so that weights add up to 1 but for rounding: made good here.
    return (average / total).to(dtype), (total.log() - weighted_log / total).exp().squeeze(-1)


@dataclass(frozen=True, eq=False)
class Memorization:
    """How near a model's outputs come to those of a decoder that memorizes, for each test image.

    One z is drawn from q(z|x) of the test image. The output is the likelihood's mean at z. A distance is the Euclidean
    one between two images: the root of the squared differences summed over pixels and channels, with values in [0, 1].

    Attributes:
        perplexity: of the weights w_n(z), from 1 (one training image owns z) to N (z says nothing).
        output_to_optimum, output_to_nearest, output_to_image: distances of the output to x*(z), to the nearest training
            image, and to the test image itself.
        optimum_to_image: distance of x*(z) to the test image: what memorizing would give.
        nearest: the row, in `pixels`, of the training image nearest to the output; of several as near to rounding, one.
    """

    perplexity: Float64[Tensor, "member image"]
    output_to_optimum: Float64[Tensor, "member image"]
    output_to_nearest: Float64[Tensor, "member image"]
    output_to_image: Float64[Tensor, "member image"]
    optimum_to_image: Float64[Tensor, "member image"]
    nearest: Int64[Tensor, "member image"]


@torch.no_grad()
def memorization(
    model: LatentVariableModel,
    pixels: Pixels,
    train: Int64[Tensor, " train"],
    test: Int64[Tensor, " image"],
    train_encodings: Encodings,
    test_encodings: Encodings,
    generator: torch.Generator | None = None,
    *,
    batch_size: int = 1024,
    block_size: int = 2048,
) -> Memorization:
    """Compare a model's outputs for test images with the optimum of an infinitely flexible decoder.

    A member that has diverged has NaN, and some training image as the nearest.

    Arguments:
        model: the ensemble.
        pixels: all images.
        train: rows of all training images.
        test: rows of the images to decode.
        train_encodings: of `train`, from `encode`.
        test_encodings: of `test`, from `encode`.
        generator: source of the noise.
        batch_size: test images decoded at once.
        block_size: training images taken at once.

    Raises:
        ValueError: `test`, `train`, a batch or a block is empty, or encodings are not of their images.
    """
    check_at_least(1, batch_size=batch_size, block_size=block_size)
    for name, rows, encodings in (("train", train, train_encodings), ("test", test, test_encodings)):
        check_rows(name, rows, len(pixels))
        if len(rows) == 0:
            raise ValueError(f"{name} is empty; give the row of at least one image.")
        if encodings.mean.shape[:2] != (model.members, len(rows)):
            raise ValueError(
                f"{name}_encodings has shape {tuple(encodings.mean.shape)} for {model.members} members and {len(rows)} "
                f"images; give those of the images in {name}."
            )
    noise = normal_noise(test_encodings.mean.shape[1:], generator, model.device)
    measured = torch.empty(5, model.members, len(test), dtype=torch.float64, device=model.device)
    nearest = torch.empty(model.members, len(test), dtype=torch.int64, device=model.device)
    for here, x in _blocks(pixels, test, batch_size, torch.float64):
        mean, log_var = test_encodings.mean[:, here], test_encodings.log_var[:, here]
        z = mean + (log_var / 2).exp() * noise[here].to(mean)
        outputs = model.likelihood.mean(model.decode(z))
        for member, output in enumerate(outputs.to(torch.promote_types(outputs.dtype, torch.float32))):
            posteriors = train_encodings.mean[member], train_encodings.log_var[member]
            optimum, spread = optimal_decoder(z[member], *posteriors, pixels, train, block_size=block_size)
            closest = _nearest(output, pixels, train, block_size)
            (_, copy), *_ = _blocks(pixels, closest, len(closest), torch.float64)
            pairs = (output, optimum), (output, copy), (output, x), (optimum, x)
            values = [spread, *((a.double() - b).norm(dim=1) for a, b in pairs)]
            measured[:, member, here], nearest[member, here] = torch.stack(values), closest
    perplexity, to_optimum, to_nearest, to_image, optimum_to_image = measured
    return Memorization(perplexity, to_optimum, to_nearest, to_image, optimum_to_image, nearest)


def _nearest(outputs: Float[Tensor, "query pixels"], pixels: Tensor, rows: Tensor, block_size: int) -> Tensor:
    """Return the row of the image nearest to each output, by squared distances less the output's own square."""
    least = outputs.new_full((len(outputs),), torch.inf)
    nearest = rows[:1].expand(len(outputs))
    for here, x in _blocks(pixels, rows, block_size, outputs.dtype):
        value, index = torch.addmm(x.square().sum(1), outputs, x.T, alpha=-2).min(1)
        nearest = torch.where(value < least, rows[here][index], nearest)
        least = torch.minimum(least, value)
    return nearest


def _blocks(
    pixels: Tensor, rows: Int64[Tensor, " image"], size: int, dtype: torch.dtype
) -> Iterator[tuple[slice, Float[Tensor, "block pixels"]]]:
    for start in range(0, len(rows), size):
        here = slice(start, start + size)
        x = pixels[rows[here]]
        yield here, x.to(dtype) if x.is_floating_point() else x.to(dtype).div_(255)


def distances_to_training(
    train: Float64[Tensor, "train factor"], test: Float64[Tensor, "test factor"], periods: Sequence[float]
) -> Float64[Tensor, " test"]:
    """Return for each test image the distance to the nearest training image, in the unit cube of the factors.

    `train` and `test` are the factors of the images, scaled to the unit cube. `periods` has the period of each factor
    that is a circle, in units of the cube, and infinity for the others.

    Raises:
        ValueError: there is no training image, a value is NaN or infinite, or the factors are not as many as `periods`.
    """
    for name, factors in (("train", train), ("test", test)):
        if factors.ndim != 2 or factors.shape[1] != len(periods) or not factors.isfinite().all():
            raise ValueError(
                f"{name} has shape {tuple(factors.shape)}; give (image, factor) with finite values of {len(periods)} "
                "factors, as many as periods has."
            )
    if len(train) == 0 or not all(period > 0 for period in periods):
        raise ValueError(f"train has {len(train)} images and periods is {periods}; give an image and positive periods.")

    def squares(some: Tensor) -> Float64[Tensor, "some train"]:
        total = some.new_zeros(len(some), len(train))
        for factor, period in enumerate(periods):
            apart = (some[:, factor, None] - train[:, factor]).abs()
            total += torch.minimum(apart, period - apart).square()
        return total

    nearest = [squares(some).amin(1).sqrt() for some in test.split(max(1, _TABLE // len(train)))]
    return torch.cat(nearest) if nearest else test.new_empty(0)
