"""Random streams keyed by a member's seed and the step, never by its position in the ensemble.

Every draw is a function of (seed, purpose, step) alone, by a counter-based generator. So a member sees the same batches
and the same noise whatever its neighbors are, members that share a seed are paired, and a run resumes at any step
without stored generator states.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Streams"]

_BATCHES, _NOISE, _BINARIZATION = 1, 2, 3


def _generator(seed: int, purpose: int, step: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, 0, step]))


class Streams:
    """The batches, the noise and the binarization of an ensemble.

    Arguments:
        seeds: one seed per member, an integer from 0 to 2^64 - 1.
        n_train: number of training images that a member draws its batches from.
        batch_size: images a batch.
        latent_dim: dimensions of the noise.

    Raises:
        ValueError: there is no seed, a seed is out of range, or a size is not positive.
    """

    def __init__(self, seeds: Sequence[int], n_train: int, batch_size: int, latent_dim: int) -> None:
        for name, size in (("n_train", n_train), ("batch_size", batch_size), ("latent_dim", latent_dim)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"{name} is {size!r}; give a positive integer.")
        if not seeds or not all(isinstance(seed, int) and 0 <= seed < 2**64 for seed in seeds):
            raise ValueError(f"seeds is {list(seeds)}; give an integer from 0 to 2**64 - 1 for each member.")
        self.n_train, self.batch_size, self.latent_dim = n_train, batch_size, latent_dim
        self.distinct = sorted(set(seeds))
        self.member_stream = torch.from_numpy(np.array([self.distinct.index(seed) for seed in seeds]))
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def batch(self, step: int) -> Int64[Tensor, "stream batch"]:
        """Return positions in the training set, for each distinct seed.

        Batches are cut from an endless chain of shuffled passes over the training set, so that every image is seen
        equally often, the last ones of a pass too.
        """
        start = step * self.batch_size
        positions = np.arange(start, start + self.batch_size)
        passes, offsets = positions // self.n_train, positions % self.n_train
        rows = np.empty((len(self.distinct), self.batch_size), dtype=np.int64)
        for row, seed in zip(rows, self.distinct, strict=True):
            for number in range(passes[0], passes[-1] + 1):
                here = passes == number
                row[here] = self._order(seed, int(number))[offsets[here]]
        self._orders = {key: order for key, order in self._orders.items() if key[1] >= passes[-1]}
        return torch.from_numpy(rows)

    def noise(self, step: int) -> Float[Tensor, "stream batch latent"]:
        """Return standard normal noise of the reparameterized samples, for each distinct seed."""
        shape = (self.batch_size, self.latent_dim)
        draws = [_generator(seed, _NOISE, step).standard_normal(shape, dtype=np.float32) for seed in self.distinct]
        return torch.from_numpy(np.stack(draws))

    def thresholds(self, step: int, pixels: int) -> Float[Tensor, "stream batch pixels"]:
        """Return uniform draws, for each distinct seed: a binarized pixel is 1 where its gray value is larger."""
        shape = (self.batch_size, pixels)
        draws = [_generator(seed, _BINARIZATION, step).random(shape, np.float32) for seed in self.distinct]
        return torch.from_numpy(np.stack(draws))

    def _order(self, seed: int, number: int) -> np.ndarray:
        key = (seed, number)
        if key not in self._orders:
            self._orders[key] = _generator(seed, _BATCHES, number).permutation(self.n_train)
        return self._orders[key]
