"""What some tensor program takes, counted and not timed, on the meta device, where tensors have shapes and no values.

Every operation is looked at as it passes, so the count follows the program, whatever the network.
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

__all__ = ["Count", "counted"]


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
