"""Layers whose parameters carry a leading member axis: one batched product serves the whole ensemble."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["EnsembleLinear", "EnsembleMLP"]


class EnsembleLinear(nn.Module):
    """An affine map per member, evaluated as a single batched matrix product.

    Weights and biases are uniform on +-1/sqrt(inputs), as in `torch.nn.Linear`, and are drawn from one generator per
    member, so that a member starts from the same values whatever the rest of the ensemble is.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        weights, biases = [], []
        for generator in generators:
            weights.append(torch.empty(inputs, outputs).uniform_(-bound, bound, generator=generator))
            biases.append(torch.empty(1, outputs).uniform_(-bound, bound, generator=generator))
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.stack(biases))

    def forward(self, x: Float[Tensor, "member batch inputs"]) -> Float[Tensor, "member batch outputs"]:
        """Map a batch per member."""
        return torch.baddbmm(self.bias, x, self.weight)


class EnsembleMLP(nn.Module):
    """A fully connected ReLU network per member, without activation after the last layer."""

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EnsembleLinear(inputs, outputs, generators) for inputs, outputs in itertools.pairwise(sizes)
        )

    def forward(self, x: Float[Tensor, "member batch inputs"]) -> Float[Tensor, "member batch outputs"]:
        """Map a batch per member through all layers."""
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.relu_(layer(x))
        out: Tensor = last(x)
        return out
