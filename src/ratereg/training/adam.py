"""Adam for an ensemble, which rounds the weights to their working copies in the same pass over memory."""

import ctypes
import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.optim.adam import adam

from ratereg.native import load, on_threads
from ratereg.training.schedule import schedule_factor

__all__ = ["Adam"]

_SOURCE = Path(__file__).with_name("adam.c")

_PIECE = 2**14
"""Elements of one member that a thread of the kernel takes at a time."""


class Adam:
    """Adam on stacked float32 weights, member first, which refreshes rounded working copies in the same pass.

    On the CPU a kernel compiled at its first use makes the step, and torch's own fused Adam where there is no compiler;
    on a GPU a program that torch compiles. They agree to rounding. Members stand alone: each element is rounded the
    same wherever it lies.

    Arguments:
        weights: by name; changed in place, where they lie now.
        working: the bfloat16 copies that gradients are taken at, by the same names; None if the weights are so used.
        learning_rate: the size of a step.
        schedule: how it changes along training, one of `SCHEDULES`.
        steps: of the whole training, for a schedule that changes.
        decay: of the mean and of the mean square of the gradient, per step.
        epsilon: added to the root of the mean square.

    Raises:
        ValueError: a weight or a working copy is not of its type, contiguous and of its shape, with as many members as
            the others, a number is out of its range, or the schedule is unknown or lacks the number of steps.

    Source: Kingma and Ba (2015), algorithm 1.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        working: Mapping[str, Tensor] | None,
        *,
        learning_rate: float,
        schedule: str = "constant",
        steps: int | None = None,
        decay: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        for name, value, low, high in (
            ("learning_rate", learning_rate, 0, math.inf),
            ("decay[0]", decay[0], 0, 1),
            ("decay[1]", decay[1], 0, 1),
            ("epsilon", epsilon, 0, math.inf),
        ):
            if not low <= value < high:
                raise ValueError(f"Adam: {name} is {value!r}; give a number of at least {low} and below {high}.")
        if not weights:
            raise ValueError("Adam: weights is empty; give at least one.")
        if working is not None and list(working) != list(weights):
            raise ValueError(f"Adam: working names {list(working)}; give the names of weights, {list(weights)}.")
        self._members = len(next(iter(weights.values())))
        for name, weight in weights.items():
            _check(f"weights[{name!r}]", weight, torch.float32, torch.Size([self._members, *weight.shape[1:]]))
            if working is not None:
                _check(f"working[{name!r}]", working[name], torch.bfloat16, weight.shape)
        self._names = list(weights)
        self._weights = [weight.detach() for weight in weights.values()]
        self._working = None if working is None else [copy.detach() for copy in working.values()]
        self._means = [torch.zeros_like(weight) for weight in self._weights]
        self._squares = [torch.zeros_like(weight) for weight in self._weights]
        self._epsilon, self._decay, self._learning_rate = epsilon, decay, learning_rate
        self._schedule, self._steps = schedule, steps
        schedule_factor(schedule, torch.ones((), dtype=torch.int64), steps)  # refuses what it can't do, before any step
        device = self._weights[0].device
        self._step = torch.zeros((), dtype=torch.int64, device=device)
        # Of both moments, in float64: decay, the power that its correction enters with, and the factor before that.
        self._corrections = torch.tensor([[*decay], [-1, -0.5], [learning_rate, 1]], dtype=torch.float64, device=device)
        self._on_cpu = device.type == "cpu"
        self._update = _update if self._on_cpu else _compiled(_update)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], active: Bool[Tensor, " member"]) -> None:
        """Make one step; on a GPU the host neither waits nor gives a value that changes.

        Arguments:
            gradients: in the order of the weights, of the working copies' type if there are any.
            active: where False, a member keeps weights, moments and working copy, whatever its gradients hold.

        Raises:
            ValueError: a gradient or `active` is not of its type or shape.
        """
        if active.dtype != torch.bool or active.shape != (self._members,):
            raise ValueError(
                f"Adam: active is {active.dtype} of shape {tuple(active.shape)}; give a bool for each of "
                f"{self._members} members."
            )
        dtype = torch.float32 if self._working is None else torch.bfloat16
        for name, gradient, weight in zip(self._names, gradients, self._weights, strict=True):
            if gradient.dtype != dtype or gradient.shape != weight.shape:
                raise ValueError(
                    f"Adam: the gradient of {name} is {gradient.dtype} of shape {tuple(gradient.shape)}; "
                    f"give {dtype} of shape {tuple(weight.shape)}."
                )
        self._step += 1
        decay, power, factor = self._corrections
        at = schedule_factor(self._schedule, self._step, self._steps)
        rates = (1 - decay**self._step) ** power * factor
        rates = torch.stack([rates[0] * at, rates[1]]).float()
        if not self._on_cpu:
            state = (self._weights, self._means, self._squares, self._working)
            self._update(*state, gradients, active, rates, self._decay, self._epsilon)
        elif library := load(_SOURCE, _declare):
            self._run(library, [gradient.contiguous() for gradient in gradients], active.contiguous(), rates)
        else:
            self._run_in_torch(gradients, active, self._learning_rate * at.item())

    def _run(self, library: ctypes.CDLL, gradients: list[Tensor], active: Tensor, rates: Tensor) -> None:
        working: Sequence[Tensor | None] = self._working or [None] * len(gradients)
        rows = zip(self._weights, self._means, self._squares, working, gradients, strict=True)
        parameters = (_Parameter * len(gradients))(
            *(
                _Parameter(*(None if tensor is None else tensor.data_ptr() for tensor in row), row[0][0].numel())
                for row in rows
            )
        )
        rate, root_correction = rates.tolist()
        mean_decay, square_decay = self._decay
        settings = _Settings(rate, root_correction, 1 - mean_decay, square_decay, 1 - square_decay, self._epsilon)
        taken = ctypes.c_int64(0)

        def work() -> None:
            library.adam_step(parameters, len(gradients), self._members, active.data_ptr(), settings, taken)

        on_threads(work, 1 + sum(gradient.numel() for gradient in gradients) // _PIECE)

    def _run_in_torch(self, gradients: Sequence[Tensor], active: Tensor, learning_rate: float) -> None:
        members = active.nonzero()[:, 0].tolist()
        # Each member by itself: torch rounds the end of a tensor differently.
        weights, means, squares, slopes = (
            [tensor[member] for tensor in tensors for member in members]
            for tensors in (
                self._weights,
                self._means,
                self._squares,
                [gradient.float().contiguous() for gradient in gradients],
            )
        )
        if members:
            adam(
                weights,
                slopes,
                means,
                squares,
                [],
                [self._step.float() - 1 for _ in weights],
                fused=True,
                amsgrad=False,
                beta1=self._decay[0],
                beta2=self._decay[1],
                lr=learning_rate,
                weight_decay=0,
                eps=self._epsilon,
                maximize=False,
            )
        for weight, working in zip(self._weights, self._working or [], strict=bool(self._working)):
            for member in members:
                working[member].copy_(weight[member])

    def state(self) -> dict[str, Tensor]:
        """Return the moments and the number of steps, as they are in memory: what a checkpoint needs to go on."""
        state = {"adam/step": self._step}
        for name, mean, square in zip(self._names, self._means, self._squares, strict=True):
            state |= {f"adam/exp_avg/{name}": mean, f"adam/exp_avg_sq/{name}": square}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned, in the memory that is there.

        Raises:
            ValueError: `state` lacks a tensor, or one has another shape.
        """
        for name, mine in self.state().items():
            if name not in state or state[name].shape != mine.shape:
                was = f"of shape {tuple(state[name].shape)}" if name in state else "missing"
                raise ValueError(f"Adam: {name} is {was}; give the state of an ensemble of this shape.")
        for name, mine in self.state().items():
            mine.copy_(state[name])


def _check(name: str, tensor: Tensor, dtype: torch.dtype, shape: torch.Size) -> None:
    if tensor.dtype != dtype or tensor.shape != shape or not tensor.is_contiguous():
        raise ValueError(
            f"Adam: {name} is {tensor.dtype} of shape {tuple(tensor.shape)} and strides {tensor.stride()}; "
            f"give {dtype}, contiguous, of shape {tuple(shape)}, member first."
        )


def _update(
    weights: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    working: list[Tensor] | None,
    gradients: Sequence[Tensor],
    active: Bool[Tensor, " member"],
    rates: Float32[Tensor, "2"],
    decay: tuple[float, float],
    epsilon: float,
) -> None:
    """Make one step as the kernel does; `rates` are the rate and the correction of the root, at this step."""
    for i, (weight, mean, square) in enumerate(zip(weights, means, squares, strict=True)):
        gradient, moves = gradients[i].float(), active.view(-1, *[1] * (weight.ndim - 1))
        new_mean = mean + (gradient - mean) * (1 - decay[0])
        new_square = square * decay[1] + gradient * gradient * (1 - decay[1])
        new_weight = weight - rates[0] * (new_mean / (new_square.sqrt() * rates[1] + epsilon))
        mean.copy_(torch.where(moves, new_mean, mean))
        square.copy_(torch.where(moves, new_square, square))
        if working is not None:
            working[i].copy_(torch.where(moves, new_weight.to(working[i].dtype), working[i]))
        weight.copy_(torch.where(moves, new_weight, weight))


def _compiled(update: Callable[..., None]) -> Callable[..., None]:
    """Return `update` compiled as one graph, a kernel a parameter, at the first call; as it is where that fails."""
    # A copy of the code: torch counts compilations by code and gives up after a few, but each ensemble is another one.
    plain = inspect.unwrap(update)
    program = torch.compile(FunctionType(plain.__code__.replace(), plain.__globals__), fullgraph=True, dynamic=False)
    ran = False

    def run(*arguments: Any) -> None:
        nonlocal program, ran
        try:
            program(*arguments)
        except Exception as error:
            if ran or isinstance(error, torch.OutOfMemoryError):
                raise
            warnings.warn(f"Adam runs slower, since torch could not compile it here: {error}", stacklevel=2)
            program = update
            program(*arguments)
        ran = True

    return run


class _Parameter(ctypes.Structure):
    """`parameter` in adam.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "mean", "square", "working", "gradient")),
        ("size", ctypes.c_int64),
    )


class _Settings(ctypes.Structure):
    """`settings` in adam.c."""

    _fields_ = tuple(
        (name, ctypes.c_float)
        for name in ("rate", "root_correction", "mean_share", "square_decay", "square_share", "epsilon")
    )


def _declare(library: ctypes.CDLL) -> None:
    count, reference = ctypes.c_int64, ctypes.POINTER
    library.adam_step.argtypes = [
        reference(_Parameter),
        count,
        count,
        ctypes.c_void_p,
        reference(_Settings),
        reference(count),
    ]
    library.adam_step.restype = None
