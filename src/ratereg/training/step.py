"""One step of some members of an ensemble: a function of tensors on the device, and of nothing else."""

import copy
import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ratereg.models import VAE
from ratereg.training.adam import Adam
from ratereg.training.feed import Feed
from ratereg.training.precision import Precision
from ratereg.training.schedule import warm_up_factor

__all__ = ["Step"]


class Step:
    """A step of Adam on the sum of the members' losses, made by calling it.

    It reads and writes only tensors of the device, always the same ones, and nothing in it makes the host wait, so it
    can be captured once and replayed.

    The arguments are those of `Trainer`, with `betas` on the device of `vae`.

    Attributes:
        diverged_at: for each member the step at which it diverged, or -1.
        distortion, rate: of the last batch, the mean for each member, in nats.
    """

    def __init__(
        self,
        vae: VAE,
        feed: Feed,
        betas: Float[Tensor, " member"],
        *,
        learning_rate: float,
        schedule: str,
        steps: int | None,
        warm_up: int,
        precision: Precision,
    ) -> None:
        self.vae, self.feed, self.betas, self.warm_up = vae, feed, betas, warm_up
        # With bfloat16 products, rounded copies of encoder and decoder are run and differentiated.
        self._working = vae if precision == "float32" else copy.deepcopy(vae)
        if self._working is not vae:
            self._working.encoder.bfloat16()
            self._working.decoder.bfloat16()
        self._sources = list(self._working.parameters())
        self._adam = Adam(
            dict(vae.named_parameters()),
            None if self._working is vae else self._sources,
            learning_rate=learning_rate,
            schedule=schedule,
            steps=steps,
        )
        self._count = torch.zeros((), dtype=torch.int64, device=vae.device)
        self.diverged_at: Int64[Tensor, " member"] = torch.full((vae.members,), -1, device=vae.device)
        self.distortion: Float[Tensor, " member"] = torch.full_like(betas, math.nan)
        self.rate: Float[Tensor, " member"] = torch.full_like(betas, math.nan)

    def __call__(self) -> None:
        """Make the next step."""
        x, noise = self.feed.next()
        self._count += 1
        distortion, rate = (values.mean(1) for values in self._working(x, noise))
        loss = distortion + self.betas * warm_up_factor(self._count, self.warm_up) * rate
        gradients = torch.autograd.grad(loss.sum(), self._sources, materialize_grads=True)
        self._adam.step(gradients, self._still_active(loss.detach().isfinite()))
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
        return weights | self._adam.state() | {"step": self._count, "diverged_at": self.diverged_at}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Resume from a state, in the memory that is there, which a captured step holds.

        Raises:
            ValueError: `state` lacks a tensor, or one has another shape.
        """
        mine = self.state()
        for name, value in mine.items():
            if name not in state or state[name].shape != value.shape:
                was = f"of shape {tuple(state[name].shape)}" if name in state else "missing"
                raise ValueError(f"load_state: {name} is {was}; give the state of an ensemble of this shape.")
        for name, value in mine.items():
            value.copy_(state[name])
        for source, weight in zip(self._sources, self.vae.parameters(), strict=True):
            source.copy_(weight)
