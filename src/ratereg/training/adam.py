"""Adam for an ensemble whose members can be frozen one by one."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from ratereg.training.schedule import schedule_factor

__all__ = ["Adam"]


class Adam:
    """torch's fused Adam on stacked float32 weights, member first, which also refreshes working copies.

    Each member is updated by a call of its own: torch rounds elements differently at the end of a tensor, and a member
    has to move as it would alone. A frozen member is skipped by `found_inf`, with which mixed-precision training skips
    steps, so the host never waits for a device. On a GPU, where one call for all members is faster, that call is made
    if no member is frozen, and the members' calls do nothing.

    Arguments:
        weights: by name; changed in place, where they lie now.
        working: the copies that gradients are taken at, in their order; the weights themselves if None.
        learning_rate: the size of a step.
        schedule: how it changes along training, one of `SCHEDULES`.
        steps: of the whole training, for a schedule that changes.

    Raises:
        ValueError: a weight is not float32, the learning rate is not positive, or the schedule is unknown or lacks the
            number of steps.

    Source: Kingma and Ba (2015), algorithm 1, with its default settings.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        working: Sequence[Tensor] | None,
        *,
        learning_rate: float,
        schedule: str = "constant",
        steps: int | None = None,
    ) -> None:
        if not 0 < learning_rate < float("inf"):
            raise ValueError(f"learning_rate is {learning_rate!r}; give a positive number.")
        for name, weight in weights.items():
            if weight.dtype != torch.float32:
                raise ValueError(
                    f"The weights {name} are {weight.dtype}; give a model in float32, such as vae.float()."
                )
        self._names = list(weights)
        self._weights = [weight.detach() for weight in weights.values()]
        self._means, self._squares = ([torch.zeros_like(weight) for weight in self._weights] for _ in range(2))
        self._working = [] if working is None else [copy.detach() for copy in working]
        self._device = self._weights[0].device
        self._step = torch.zeros((), dtype=torch.int64, device=self._device)
        self._learning_rate, self._schedule, self._steps = learning_rate, schedule, steps
        schedule_factor(schedule, self._step, steps)  # refuses an unknown schedule before the first step
        self._everyone = (self._weights, self._means, self._squares)
        self._members = [_by_member(tensors) for tensors in self._everyone]
        self._together = self._device.type == "cuda"

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], active: Bool[Tensor, " member"]) -> None:
        """Make one step.

        Arguments:
            gradients: in the order of the weights, in the types of the working copies if there are any.
            active: where False, a member keeps weights, moments and working copies, whatever its gradients hold.
        """
        self._step += 1
        count, frozen = self._step.float(), (~active).float()
        rate = self._learning_rate * schedule_factor(self._schedule, self._step, self._steps)
        if self._together:
            rate, gradients = rate.float(), [gradient.float() for gradient in gradients]
            any_frozen = frozen.amax()
            _update(*self._everyone, gradients, count, rate, any_frozen)
            frozen = torch.maximum(frozen, 1 - any_frozen)
        for weights, means, squares, slopes, skip in zip(*self._members, _by_member(gradients), frozen, strict=True):
            _update(weights, means, squares, slopes, count, rate, skip)
        if self._working:
            torch._foreach_copy_(self._working, self._weights)

    def state(self) -> dict[str, Tensor]:
        """Return the moments and the number of steps, as they are in memory."""
        state = {"adam/step": self._step}
        for name, mean, square in zip(self._names, self._means, self._squares, strict=True):
            state |= {f"adam/exp_avg/{name}": mean, f"adam/exp_avg_sq/{name}": square}
        return state


def _update(
    weights: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    gradients: Sequence[Tensor],
    count: Tensor,
    rate: Tensor,
    skip: Tensor,
) -> None:
    torch._fused_adam_(
        weights,
        # The kernel takes memory as it comes.
        [gradient.float().contiguous() for gradient in gradients],
        means,
        squares,
        [],
        [count] * len(weights),
        lr=rate,
        beta1=0.9,
        beta2=0.999,
        weight_decay=0.0,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
        found_inf=skip,
    )


def _by_member(stacked: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return each member's tensors, as views."""
    return [list(member) for member in zip(*(tensor.unbind() for tensor in stacked), strict=True)]
