"""What training and measuring take: arithmetic, memory traffic, operations and memory; and how long on a machine."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ratereg.models.networks import Network
from ratereg.training.counting import DRAWS, MEASURED_AT_ONCE, measuring_count, step_count
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

_MARGIN = 1.6
"""What freed memory in pieces adds: training keeps its heap, and each thread has one of its own. How much differs from
run to run by a quarter either way, with the order in which the threads ask for memory."""


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
    _check_positive(members=members, batch_size=batch_size)
    count, parameters, tensors = step_count(network, image_shape, members, batch_size, precision)
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
    count = measuring_count(network, image_shape, MEASURED_AT_ONCE)
    batches, pairs = math.ceil(images / MEASURED_AT_ONCE), DRAWS * queries * images
    products = count.multiply_adds * images // MEASURED_AT_ONCE
    return Cost(
        "float32",
        products + pairs * (2 * network.latent_dim + 10),
        count.weights * batches,
        count.passed * images // MEASURED_AT_ONCE,
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
    members holds at its peak, gradients included; the larger of what measuring one member holds and of a checkpoint's
    copy of weights and moments; and the images, as uint8.

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
    _check_positive(members=members, batch_size=batch_size)
    return _memory(network, image_shape, batch_size, precision, images)(members)


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
    needed = _memory(network, image_shape, batch_size, precision, images)
    if needed(1) > available:
        raise MemoryError(
            f"{network} on {images:,} images of {'x'.join(map(str, image_shape))} takes {needed(1) / 1e9:.2f} GB for "
            f"one member, and {available / 1e9:.2f} GB are planned for on {device}; give a smaller network, fewer "
            "images or a smaller batch_size."
        )
    return bisect_right(range(1, available), available, key=needed)


def _memory(
    network: Network, image_shape: tuple[int, int, int], batch_size: int, precision: Precision, images: int
) -> Callable[[int], int]:
    """Return the bytes needed as a function of the members, each of which adds as much."""
    (one, parameters, _), (two, _, _) = (
        step_count(network, image_shape, members, batch_size, precision) for members in (1, 2)
    )
    # Encodings and their copies in float64, distortions and their spread, of every image.
    # Tensors that are let go late can make the first count the larger one; then the second stands for each member.
    each = two.peak - one.peak if two.peak > one.peak else two.peak
    measuring = measuring_count(network, image_shape, images).peak + images * (network.latent_dim * 40 + 64)

    def needed(members: int) -> int:
        held = parameters * members * (12 if precision == "float32" else 14)
        step = one.peak + (members - 1) * each
        most = held + step + max(measuring, 12 * parameters * members)
        return int(_MARGIN * most) + images * math.prod(image_shape)

    return needed


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; give at least 1.")
