"""One step of some members of an ensemble: a function of what lies on the device, and of nothing else."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ratereg.models import VAE
from ratereg.training.adam import Adam
from ratereg.training.feed import Feed
from ratereg.training.precision import Precision

__all__ = ["Step"]


class Step:
    """A step of Adam on the sum of the members' losses, made by calling it.

    It reads and writes tensors of the device alone, always the same ones, and nothing in it makes the host wait, so
    that it can be captured once and replayed.

    Arguments:
        vae: the members; the parameters are trained in place.
        feed: where their batches and noise come from.
        betas: the weight of the rate, one per member, on the device of `vae`.
        adam: the settings of Adam.
        precision: the type of the matrix products.

    Attributes:
        diverged_at: for each member the step at which its loss was no longer finite, or -1.
        distortion, rate: of the last batch, the mean for each member, in nats.
    """

    def __init__(
        self,
        vae: VAE,
        feed: Feed,
        betas: Float[Tensor, " member"],
        adam: Mapping[str, Any],
        *,
        precision: Precision,
    ) -> None:
        self.vae, self.feed, self.betas = vae, feed, betas
        # With bfloat16 products a rounded working copy is run and differentiated; the float32 weights are the truth.
        self._working = vae if precision == "float32" else copy.deepcopy(vae).bfloat16()
        self._optimizer = Adam(
            dict(vae.named_parameters()),
            None if self._working is vae else dict(self._working.named_parameters()),
            **adam,
        )
        self._count = torch.zeros((), dtype=torch.int64, device=vae.device)
        self.diverged_at: Int64[Tensor, " member"] = torch.full((vae.members,), -1, device=vae.device)
        self.distortion: Float[Tensor, " member"] = torch.full_like(betas, math.nan)
        self.rate: Float[Tensor, " member"] = torch.full_like(betas, math.nan)

    def __call__(self) -> None:
        """Make the next step."""
        x, noise = self.feed.next()
        distortion, rate = (values.mean(1) for values in self._working(x, noise))
        loss = distortion + self.betas * rate
        gradients = torch.autograd.grad(loss.sum(), list(self._working.parameters()))
        self._count += 1
        self._optimizer.step(gradients, self._still_active(loss.detach().isfinite()))
        self.distortion.copy_(distortion.detach())
        self.rate.copy_(rate.detach())

    def _still_active(self, finite: Bool[Tensor, " member"]) -> Bool[Tensor, " member"]:
        """Note which members diverge here, and return those that never have."""
        before = self.diverged_at < 0
        self.diverged_at.copy_(torch.where(before & ~finite, self._count, self.diverged_at))
        return before & finite

    def state(self) -> dict[str, Tensor]:
        """Return weights, Adam's moments, the step and who diverged, as they are in memory."""
        weights = {f"weights/{name}": value.detach() for name, value in self.vae.named_parameters()}
        return weights | self._optimizer.state() | {"step": self._count, "diverged_at": self.diverged_at}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state, in the memory that is there, which a captured step holds."""
        working = dict(self._working.named_parameters())
        for name, parameter in self.vae.named_parameters():
            parameter.copy_(state[f"weights/{name}"])
            working[name].copy_(parameter)
        self._optimizer.load_state(state)
        self._count.copy_(state["step"])
        self.diverged_at.copy_(state["diverged_at"])
