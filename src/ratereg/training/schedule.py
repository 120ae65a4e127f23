"""Learning rates that change along training, as a factor that is computed where the step is made."""

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["SCHEDULES", "schedule_factor"]

SCHEDULES = ("constant", "cosine")


def schedule_factor(schedule: str, step: Int64[Tensor, ""], steps: int | None) -> Float64[Tensor, ""]:
    """Return what the learning rate is multiplied with at a step, without making the host wait for a device.

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
