"""Layers and fully connected networks whose parameters carry a leading member axis."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["EnsembleLinear", "EnsembleMLP", "uniform_parameters"]


class EnsembleLinear(nn.Module):
    """An affine map per member, evaluated as a single batched matrix product.

    Weights and biases start as in `torch.nn.Linear`.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weight, self.bias = uniform_parameters((inputs, outputs), (1, outputs), inputs, generators)

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


def uniform_parameters(
    weight: tuple[int, ...], bias: tuple[int, ...], fan_in: int, generators: Sequence[torch.Generator]
) -> list[nn.Parameter]:
    """Return a weight and a bias of these shapes for each member, uniform on +-1/sqrt(fan_in).

    They are float32 whatever torch's default type is, and are drawn from one generator per member, so that a member
    starts from the same values whatever the rest of the ensemble is.
    """
    bound = 1 / math.sqrt(fan_in)
    members = [
        [
            torch.empty(shape, dtype=torch.float32, device="cpu").uniform_(-bound, bound, generator=generator)
            for shape in (weight, bias)
        ]
        for generator in generators
    ]
    return [nn.Parameter(torch.stack(drawn).to(torch.get_default_device())) for drawn in zip(*members, strict=True)]
