"""Learning rates and weights of the rate that change along training, as factors computed where the step is made."""

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["SCHEDULES", "schedule_factor", "warm_up_factor"]

SCHEDULES = ("constant", "cosine")


def schedule_factor(schedule: str, step: Int64[Tensor, ""], steps: int | None) -> Float64[Tensor, ""]:
    """Return the factor of the learning rate at a step, without making the host wait for a device.

    Arguments:
        schedule: "constant", or "cosine" for half a cosine from 1 at the first step down towards 0 at the last.
        step: the number of the step, from 1.
        steps: of the whole training; "constant" does not need it.

    Raises:
        ValueError: the schedule is unknown, or lacks the number of steps.

    Source: Loshchilov and Hutter (2017), without restarts.
    """
    if schedule == "constant":
        return torch.ones((), dtype=torch.float64, device=step.device)
    if schedule != "cosine":
        raise ValueError(f"schedule is {schedule!r}; give one of {', '.join(map(repr, SCHEDULES))}.")
    if steps is None:
        raise ValueError("schedule is 'cosine', which needs the number of steps; give steps.")
    # Beyond the last step the rate would rise again.
    return (1 + ((step - 1).clamp_max(steps).double() * (math.pi / steps)).cos()) / 2


def warm_up_factor(step: Int64[Tensor, ""], warm_up: int) -> Float64[Tensor, ""]:
    """Return the factor of beta at a step: it rises linearly from 0 at step 1 to 1 after `warm_up` steps."""
    if warm_up == 0:
        return torch.ones((), dtype=torch.float64, device=step.device)
    return ((step - 1).double() / warm_up).clamp_max(1)
