"""What training and measuring take: arithmetic, memory traffic, operations and memory; and how long on a machine."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ratereg.models import VAE
from ratereg.models.networks import Network
from ratereg.training.counting import Count, counted
from ratereg.training.machine import Machine, memory_available
from ratereg.training.precision import Precision

__all__ = [
    "Cost",
    "measuring_cost",
    "members_that_fit",
    "memory_needed",
    "predicted_seconds",
    "predicted_shard_seconds",
    "step_cost",
]

_ADAM_TRAFFIC = 28
"""Bytes that Adam moves a parameter: weight and two moments, read and written in float32 (24), and either a bfloat16
gradient read and a bfloat16 working copy written, or a float32 gradient read (4)."""

_MARGIN = 1.1
"""What freed memory in pieces adds to what is held."""

_MEASURED_AT_ONCE = 2048
"""Images that are encoded or decoded together when a member is measured."""

_DRAWS = 2
"""Samples of z an image, of the distortion and of the information terms."""


@dataclass(frozen=True)
class Cost:
    """What some work takes, on whatever machine it is done.

    Attributes:
        precision: the type of the matrix products.
        multiply_adds: of matrix products and convolutions.
        weights: bytes moved of weights, their gradients and Adam's moments, which are too many for a cache.
        passed: bytes moved of what passes between operations.
        operations: how many there are, views aside.
    """

    precision: Precision
    multiply_adds: int
    weights: int
    passed: int
    operations: int

    @property
    def traffic(self) -> int:
        """All bytes that are read and written."""
        return self.weights + self.passed


def step_cost(
    network: Network, image_shape: tuple[int, int, int], *, members: int, batch_size: int, precision: Precision
) -> Cost:
    """Return what a training step of an ensemble takes, with batches of their own for all members.

    Counted are all matrix products, forward and backward (the first layer has none for the gradient of its input),
    every tensor that an operation reads or writes, and 28 bytes a parameter of Adam. Copies that libraries make inside
    of an operation are not known.

    Raises:
        ValueError: `members` or `batch_size` is below 1, or the network is not for images of that shape.
    """
    count, parameters, tensors = _training(network, image_shape, members, batch_size, precision)
    adam = _ADAM_TRAFFIC * parameters
    return Cost(precision, count.multiply_adds, count.weights + adam, count.passed, count.operations + tensors)


def measuring_cost(network: Network, image_shape: tuple[int, int, int], *, images: int, queries: int) -> Cost:
    """Return what measuring a member takes: encoding, decoding twice, and the information terms, in float32.

    A pair of a sampled latent and an image's posterior counts as two multiply-adds a latent dimension and ten for its
    exponential, as for the compiled kernel on the CPU. The traffic that binds a GPU there is not counted.

    Arguments:
        network: the architecture.
        image_shape: channels, height, width.
        images: measured on.
        queries: images that z is sampled for.
    """
    count = _measuring(network, image_shape, _MEASURED_AT_ONCE)
    batches, pairs = math.ceil(images / _MEASURED_AT_ONCE), _DRAWS * queries * images
    products = count.multiply_adds * images // _MEASURED_AT_ONCE
    return Cost(
        "float32",
        products + pairs * (2 * network.latent_dim + 10),
        count.weights * batches,
        count.passed * images // _MEASURED_AT_ONCE,
        count.operations * batches,
    )


def predicted_seconds(cost: Cost, machine: Machine) -> float:
    """Return the seconds that some work takes: those of its arithmetic, its traffic and its operations, added up.

    Raises:
        KeyError: the machine was not measured in the work's precision.
    """
    return (
        cost.multiply_adds / machine.multiply_adds[cost.precision]
        + cost.weights / machine.bandwidth
        + cost.passed / machine.passing
        + cost.operations * machine.overhead
    )


def predicted_shard_seconds(
    network: Network,
    image_shape: tuple[int, int, int],
    machine: Machine,
    *,
    members: int,
    steps: int,
    batch_size: int,
    precision: Precision,
    measured: Sequence[tuple[int, int]],
) -> float:
    """Return the seconds that a shard takes on a machine, to train and to measure.

    Arguments:
        network: the architecture.
        image_shape: channels, height, width.
        machine: what it can do.
        members: trained together.
        steps: of training.
        batch_size: images a step and member.
        precision: of the matrix products in training.
        measured: for each measurement of a member the numbers of images and of queries.
    """
    step = step_cost(network, image_shape, members=members, batch_size=batch_size, precision=precision)
    measuring = 0.0
    for (images, queries), times in Counter(measured).items():
        cost = measuring_cost(network, image_shape, images=images, queries=queries)
        measuring += times * predicted_seconds(cost, machine)
    return steps * predicted_seconds(step, machine) + members * measuring


def memory_needed(
    network: Network,
    image_shape: tuple[int, int, int],
    *,
    members: int,
    batch_size: int,
    precision: Precision,
    images: int,
) -> int:
    """Return the bytes that training and measuring an ensemble hold at their peak, estimated from above.

    These are, a parameter, float32 weights and two moments (12) and a bfloat16 working copy (2); what a step of all
    members holds at its peak, gradients included; what measuring one member holds; and the images, as uint8.

    Arguments:
        network: the architecture.
        image_shape: channels, height, width.
        members: of the ensemble.
        batch_size: images a step and member.
        precision: of the matrix products in training.
        images: how many there are in all.

    Raises:
        ValueError: `members` or `batch_size` is below 1, or the network is not for images of that shape.
    """
    count, parameters, _ = _training(network, image_shape, members, batch_size, precision)
    held = parameters * (12 if precision == "float32" else 14)
    # Encodings and their copies in float64, distortions and their spread, of every image.
    measuring = _measuring(network, image_shape, images).peak + images * (network.latent_dim * 56 + 100)
    return int(_MARGIN * (held + count.peak + measuring)) + images * math.prod(image_shape)


def members_that_fit(
    network: Network,
    image_shape: tuple[int, int, int],
    *,
    batch_size: int,
    precision: Precision,
    images: int,
    device: torch.device,
) -> int:
    """Return how many members of a network can be trained at once on a device; the arguments are `memory_needed`'s.

    Raises:
        MemoryError: not even one fits.
        ValueError: as `memory_needed`.
    """
    available = memory_available(device)
    one, two = (
        memory_needed(network, image_shape, members=members, batch_size=batch_size, precision=precision, images=images)
        for members in (1, 2)
    )
    if one > available:
        raise MemoryError(
            f"{network} on {images:,} images of {'x'.join(map(str, image_shape))} takes {one / 1e9:.2f} GB for one "
            f"member, and {available / 1e9:.2f} GB are planned for on {device}; give a smaller network, fewer images "
            "or a smaller batch_size."
        )
    # Each member adds as much.
    return 1 + (available - one) // (two - one)


def _training(
    network: Network, image_shape: tuple[int, int, int], members: int, batch_size: int, precision: Precision
) -> tuple[Count, int, int]:
    """Count a step without Adam; return also the number of parameters, and of tensors that hold them."""
    for name, value in (("members", members), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1.")
    with torch.device("meta"):
        vae = VAE(network, image_shape, [0] * members)
        images = torch.empty(members, batch_size, math.prod(image_shape), dtype=torch.uint8)
        noise = torch.empty(members, batch_size, network.latent_dim)
    vae = vae.to(getattr(torch, precision))
    weights = list(vae.parameters())

    def step() -> Sequence[Tensor]:
        # Gathered for each distinct seed, and from there for each member.
        x = images.float().div_(255).clone()
        distortion, rate = vae(x, noise)
        return torch.autograd.grad((distortion.mean(1) + rate.mean(1)).sum(), weights)

    return counted(step, weights), sum(weight.numel() for weight in weights), len(weights)


def _measuring(network: Network, image_shape: tuple[int, int, int], images: int) -> Count:
    """Count what a batch takes that a member is measured on, of `images` images at the most."""
    with torch.device("meta"):
        vae = VAE(network, image_shape, [0])
        batch = torch.empty(min(images, _MEASURED_AT_ONCE), math.prod(image_shape), dtype=torch.uint8)

    def measure() -> Sequence[Tensor]:
        x = batch.float().div_(255).unsqueeze(0)
        mean, log_var = vae.encode(x)
        for _ in range(_DRAWS):
            vae.likelihood.distortion(vae.decode(mean + (log_var / 2).exp()), x)
        return ()

    with torch.no_grad():
        return counted(measure, list(vae.parameters()))
