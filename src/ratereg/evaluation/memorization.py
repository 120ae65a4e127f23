"""What a decoder that memorizes would do: the optimum of an infinitely flexible one, and how near a model comes to it.

Over the N training images alone, the output that minimizes the expected distortion at z is their average under the
posterior of the image's index, x*(z) = sum_n w_n(z) x_n with w_n(z) = q(z|x_n) / sum_m q(z|x_m). This holds for every
likelihood whose best mean for a set of images is their average, the Bernoulli and the Gaussian among them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from ratereg.evaluation.aggregate import check_mixture, component_log_prob
from ratereg.evaluation.rate_distortion import Encodings
from ratereg.models import LatentVariableModel

__all__ = ["Memorization", "memorization", "optimal_decoder"]

_NOTHING = -40.0
"""The log of a weight, relative to the largest, that counts as zero: a million of them are 4e-12."""


@torch.no_grad()
def optimal_decoder(
    z: Float[Tensor, "*lead query latent"],
    mean: Float[Tensor, "*lead component latent"],
    log_var: Float[Tensor, "*lead component latent"],
    pixels: UInt8[Tensor, "all pixels"],
    rows: Int64[Tensor, " component"],
    *,
    block_size: int = 2048,
) -> tuple[Float[Tensor, "*lead query pixels"], Float64[Tensor, "*lead query"]]:
    """Return x*(z), the weighted average of the training images, and the perplexity exp(H(w)) of its weights.

    The perplexity is the number of training images, between 1 and N, that the average is effectively over. The training
    images are passed block by block, so that memory does not grow with queries x training images.

    Arguments:
        z: where to decode; leading axes, such as the member, are optional.
        mean: of the posteriors of the N training images, with the same leading axes.
        log_var: of the posteriors, like `mean`.
        pixels: all images, flattened.
        rows: the training images, in the order of `mean`.
        block_size: training images taken at once.

    Returns:
        Pixels in [0, 1], in the floating type of `z` (float32 at least), and float64 perplexities.

    Raises:
        ValueError: shapes do not agree, there is no training image, a value is NaN or infinite, or a block is empty.
    """
    check_mixture(z, mean, log_var)
    if len(rows) != mean.shape[-2]:
        raise ValueError(f"rows has {len(rows)} entries for {mean.shape[-2]} posteriors; give one training image each.")
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}; give at least 1 image.")
    flat = (tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (z, mean, log_var))
    averages = z.new_empty(*z.shape[:-1], pixels.shape[1], dtype=torch.promote_types(z.dtype, torch.float32))
    perplexity = z.new_empty(z.shape[:-1], dtype=torch.float64)
    out = averages.view(-1, *averages.shape[-2:]), perplexity.view(-1, z.shape[-2])
    for index, (points, means, log_vars) in enumerate(zip(*flat, strict=True)):
        out[0][index], out[1][index] = _average(points, means, log_vars, pixels, rows, block_size)
    return averages, perplexity


def _average(
    z: Float[Tensor, "query latent"],
    mean: Float[Tensor, "component latent"],
    log_var: Float[Tensor, "component latent"],
    pixels: UInt8[Tensor, "all pixels"],
    rows: Int64[Tensor, " component"],
    block_size: int,
) -> tuple[Float[Tensor, "query pixels"], Float64[Tensor, " query"]]:
    """Average the training images for one member, in one pass, all sums relative to the largest weight so far."""
    largest = z.new_full((len(z), 1), -torch.inf, dtype=torch.float64)
    total, weighted_log = torch.zeros_like(largest), torch.zeros_like(largest)
    average = z.new_zeros(len(z), pixels.shape[1], dtype=torch.promote_types(z.dtype, torch.float32))
    for here, x in _blocks(pixels, rows, block_size, average.dtype):
        log_weight = component_log_prob(z, mean[here], log_var[here])
        new_largest = torch.maximum(largest, log_weight.amax(1, keepdim=True))
        # Of the first block nothing came before: its shift is finite, and shifts sums that are zero.
        shift = (largest - new_largest).clamp_min(-1e300)
        log_weight -= new_largest
        weight = log_weight.exp().masked_fill_(log_weight < _NOTHING, 0)
        weighted_log = shift.exp() * (weighted_log + total * shift)
        weighted_log += (weight * log_weight).sum(1, keepdim=True)
        total = total * shift.exp() + weight.sum(1, keepdim=True)
        # Most images weigh nothing for any query where posteriors are narrow.
        used = (weight > 0).any(0)
        average.mul_(shift.exp()).addmm_(weight[:, used].to(average.dtype), x[used])
        largest = new_largest
    return average.div_(total), (total.log() - weighted_log / total).exp().squeeze(1)


@dataclass(frozen=True, eq=False)
class Memorization:
    """How near a model's outputs come to those of a decoder that memorizes, for each test image.

    One z is drawn from q(z|x) of the test image. The output is the likelihood's mean at z. A distance is the Euclidean
    one between two images: the root of the squared differences summed over pixels and channels, with values in [0, 1].

    Attributes:
        perplexity: of the weights w_n(z), from 1 (one training image owns z) to N (z says nothing).
        output_to_optimum: distance of the output to x*(z), the optimum of an infinitely flexible decoder.
        output_to_nearest: distance of the output to the nearest training image.
        output_to_image: distance of the output to the test image itself, as a yardstick.
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
    pixels: UInt8[Tensor, "all pixels"],
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

    The noise of an image is the same for all members, so that contrasts between them are paired.

    Arguments:
        model: the ensemble.
        pixels: all images, flattened.
        train: rows of all training images.
        test: rows of the images to decode.
        train_encodings: of `train`, from `encode`.
        test_encodings: of `test`.
        generator: the source of noise, on the CPU; None takes torch's global one.
        batch_size: test images decoded at once.
        block_size: training images taken at once.

    Raises:
        ValueError: `test`, `train`, a batch or a block is empty, encodings are not of their images, or a value is NaN
            or infinite.
    """
    for name, rows, encodings in (("train", train, train_encodings), ("test", test, test_encodings)):
        if len(rows) == 0:
            raise ValueError(f"{name} is empty; give the row of at least one image.")
        if encodings.mean.shape[:2] != (model.members, len(rows)):
            raise ValueError(
                f"{name}_encodings has shape {tuple(encodings.mean.shape)} for {model.members} members and {len(rows)} "
                f"images; give those of the images in {name}."
            )
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1 image.")
    noise = torch.randn(test_encodings.mean.shape[1:], generator=generator, dtype=torch.float64)
    measured = torch.empty(5, model.members, len(test), dtype=torch.float64, device=test_encodings.mean.device)
    nearest = torch.empty(model.members, len(test), dtype=torch.int64, device=measured.device)
    for here, x in _blocks(pixels, test, batch_size, torch.float64):
        mean, log_var = test_encodings.mean[:, here], test_encodings.log_var[:, here]
        z = mean + (log_var / 2).exp() * noise[here].to(mean)
        outputs = model.likelihood.mean(model.decode(z))
        for member, output in enumerate(outputs.to(torch.promote_types(outputs.dtype, torch.float32))):
            posteriors = train_encodings.mean[member], train_encodings.log_var[member]
            optimum, spread = optimal_decoder(z[member], *posteriors, pixels, train, block_size=block_size)
            closest = _nearest(output, pixels, train, block_size)
            pairs = (output, optimum), (output, pixels[closest].to(x) / 255), (output, x), (optimum, x)
            values = [spread, *((a.double() - b).norm(dim=1) for a, b in pairs)]
            measured[:, member, here], nearest[member, here] = torch.stack(values), closest
    perplexity, to_optimum, to_nearest, to_image, optimum_to_image = measured
    return Memorization(perplexity, to_optimum, to_nearest, to_image, optimum_to_image, nearest)


def _nearest(
    outputs: Float[Tensor, "query pixels"],
    pixels: UInt8[Tensor, "all pixels"],
    rows: Int64[Tensor, " component"],
    block_size: int,
) -> Int64[Tensor, " query"]:
    """Return the row of the image nearest to each output, by squared distances less the output's own square."""
    least = outputs.new_full((len(outputs),), torch.inf)
    nearest = rows[:1].expand(len(outputs))
    for here, x in _blocks(pixels, rows, block_size, outputs.dtype):
        value, index = torch.addmm(x.square().sum(1), outputs, x.T, alpha=-2).min(1)
        nearest = torch.where(value < least, rows[here][index], nearest)
        least = torch.minimum(least, value)
    return nearest


def _blocks(
    pixels: UInt8[Tensor, "all pixels"], rows: Int64[Tensor, " image"], size: int, dtype: torch.dtype
) -> Iterator[tuple[slice, Float[Tensor, "block pixels"]]]:
    for start in range(0, len(rows), size):
        here = slice(start, start + size)
        yield here, pixels[rows[here]].to(dtype).div_(255)
