"""What some tensor program takes, counted and not timed, on the meta device, where tensors have shapes and no values.

Every operation is looked at as it passes, so the count follows the program, whatever the network.
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ratereg.models import VAE
from ratereg.models.networks import Network
from ratereg.training.precision import Precision

__all__ = ["DRAWS", "MEASURED_AT_ONCE", "Count", "counted", "measuring_count", "step_count"]

MEASURED_AT_ONCE = 2048
"""Images that are encoded or decoded together when a member is measured."""

DRAWS = 2
"""Samples of z an image, of the distortion and of the information terms."""


@dataclass(frozen=True)
class Count:
    """What a program takes.

    Attributes:
        multiply_adds: of its matrix products and convolutions.
        weights: bytes of weights that it reads, and of their gradients that it writes.
        passed: the other bytes that its operations read and write, each by itself.
        operations: how many there are, views aside.
        peak: the most bytes that are alive at once besides the weights.
    """

    multiply_adds: int
    weights: int
    passed: int
    operations: int
    peak: int


def counted(program: Callable[[], Sequence[Tensor]], weights: Sequence[Tensor] = ()) -> Count:
    """Run a program of tensors on the meta device, and return what it takes.

    Arguments:
        program: returns the gradients of `weights`, or nothing.
        weights: they are not counted among what is alive.
    """
    with _Counting(weights) as counting:
        gradients = program()
    theirs = {counting.name_of(tensor) for tensor in (*weights, *gradients)}
    of_weights = sum(size for name, size in counting.moved if name in theirs)
    return Count(
        multiply_adds=counting.multiply_adds,
        weights=of_weights,
        passed=sum(size for _, size in counting.moved) - of_weights,
        operations=counting.operations,
        peak=counting.peak - sum(weight.nbytes for weight in weights),
    )


def step_count(
    network: Network, image_shape: tuple[int, int, int], members: int, batch_size: int, precision: Precision
) -> tuple[Count, int, int]:
    """Count a step without Adam; return also the number of parameters, and of tensors that hold them."""
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


def measuring_count(network: Network, image_shape: tuple[int, int, int], images: int) -> Count:
    """Count what a batch takes that a member is measured on, of `images` images at the most."""
    with torch.device("meta"):
        vae = VAE(network, image_shape, [0])
        batch = torch.empty(min(images, MEASURED_AT_ONCE), math.prod(image_shape), dtype=torch.uint8)

    def measure() -> Sequence[Tensor]:
        x = batch.float().div_(255).unsqueeze(0)
        mean, log_var = vae.encode(x)
        for _ in range(DRAWS):
            vae.likelihood.distortion(vae.decode(mean + (log_var / 2).exp()), x)
        return ()

    with torch.no_grad():
        return counted(measure, list(vae.parameters()))


class _Counting(TorchDispatchMode):
    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiply_adds = self.operations = self.peak = self._alive = self._named = 0
        self.moved: list[tuple[int, int]] = []
        # Storages by their address, which another one may have after they are freed, and under a name of their own.
        self._names: dict[int, int] = {}
        for weight in weights:
            self.name_of(weight)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        out = func(*args, **kwargs)
        read, written = (
            [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in ((args, kwargs), out)
        )
        moved = [(self.name_of(tensor), _bytes_of(tensor)) for tensor in read + written]
        if written and not func.is_view:
            self.operations += 1
            self.moved += moved
            formula = flop_registry.get(func.overloadpacket)
            if formula is not None:
                self.multiply_adds += formula(*args, **kwargs, out_val=out) // 2
        return out

    def name_of(self, tensor: Tensor) -> int:
        """Return the name of a tensor's storage, which is alive from the first time it is seen."""
        storage = tensor.untyped_storage()
        address, size = storage._cdata, storage.nbytes()
        if address not in self._names:
            self._named += 1
            self._names[address] = self._named
            self._alive += size
            self.peak = max(self.peak, self._alive)
            weakref.finalize(storage, self._forget, address, size)
        return self._names[address]

    def _forget(self, address: int, size: int) -> None:
        del self._names[address]
        self._alive -= size


def _bytes_of(tensor: Tensor) -> int:
    """Return the bytes of a tensor's distinct elements; an expanded axis has one."""
    sizes = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return math.prod(sizes) * tensor.element_size()
