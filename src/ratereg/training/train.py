"""The training loop: one step of the loop is one step of every member."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from ratereg.models import VAE
from ratereg.training.adam import Adam
from ratereg.training.allocator import keep_freed_memory
from ratereg.training.feed import Feed
from ratereg.training.graph import replayed
from ratereg.training.precision import Precision
from ratereg.training.randomness import Streams

__all__ = ["Trainer"]


class Trainer:
    """Adam on the sum of the members' losses, distortion + beta x rate; nothing couples the members.

    A member trains as it would alone: with one thread to the bit, where the hidden widths are multiples of 16. With
    more threads, on a GPU, or for other widths the libraries choose the order of a sum by the shape of the whole
    product, and values agree to 1e-3 of their size over the first 25 steps.

    A member whose loss is no longer finite is frozen: neither its weights nor Adam's moments change any more, and the
    others go on.

    A step reads and writes tensors of the device alone, so on a GPU it is captured once and replayed, and the host
    waits for nothing.

    Arguments:
        vae: the ensemble; its parameters are trained in place.
        pixels: all images, flattened, on the device of `vae`.
        train: the rows of `pixels` that training draws from.
        betas: the weight of the rate, one per member.
        seeds: the seed of batches and noise, one per member; members with equal seeds see the same.
        batch_size: images a batch and member.
        learning_rate: Adam's.
        precision: the type of the matrix products; weights, Adam, latents and losses are float32.
        binarize: draw binary images anew at each step, each pixel 1 with its value as probability; members with equal
            seeds see the same.

    Attributes:
        step: how many steps have been made.
        diverged_at: for each member the step at which its loss was no longer finite, or -1.
        distortion, rate: of the last batch, the mean for each member, in nats.

    Raises:
        ValueError: `betas` or `seeds` does not have one entry per member, or `train` is empty.
    """

    def __init__(
        self,
        vae: VAE,
        pixels: UInt8[Tensor, "image pixels"],
        train: Int64[Tensor, " train"],
        *,
        betas: Sequence[float],
        seeds: Sequence[int],
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        precision: Precision = "float32",
        binarize: bool = False,
    ) -> None:
        for name, values in (("betas", betas), ("seeds", seeds)):
            if len(values) != vae.members:
                raise ValueError(f"Trainer: {name} has {len(values)} entries for {vae.members} members; give one each.")
        if len(train) == 0:
            raise ValueError("Trainer: train is empty; give the rows of at least one training image.")
        device = vae.device
        self.vae = vae
        self.betas = torch.tensor(list(betas), dtype=torch.float32, device=device)
        streams = Streams(seeds, len(train), batch_size, vae.network.latent_dim)
        self._feed = Feed(streams, pixels, train.to(device), binarize=binarize)
        # With bfloat16 products a rounded working copy is run and differentiated; the float32 weights are the truth.
        self._working = vae if precision == "float32" else copy.deepcopy(vae).bfloat16()
        self._optimizer = Adam(
            dict(vae.named_parameters()),
            None if self._working is vae else dict(self._working.named_parameters()),
            learning_rate=learning_rate,
        )
        self._run_step = replayed(self._one_step, device)
        self.step = 0
        self._count = torch.zeros((), dtype=torch.int64, device=device)
        self.diverged_at: Int64[Tensor, " member"] = torch.full((vae.members,), -1, device=device)
        self.distortion: Float[Tensor, " member"] = torch.full_like(self.betas, math.nan)
        self.rate: Float[Tensor, " member"] = torch.full_like(self.betas, math.nan)

    @property
    def active(self) -> Bool[Tensor, " member"]:
        """The members that have not diverged."""
        return self.diverged_at < 0

    def advance(self, to: int, after_step: Callable[[int], bool] | None = None) -> None:
        """Train until `to` steps have been made, or until `after_step`, given the steps made, returns True."""
        if self.vae.device.type == "cpu":
            keep_freed_memory()
        with _subnormals_flushed():
            while self.step < to:
                self._feed.provide(self.step)
                self._run_step()
                self.step += 1
                if after_step is not None and after_step(self.step):
                    return

    def _one_step(self) -> None:
        x, noise = self._feed.next()
        distortion, rate = (values.mean(1) for values in self._working(x, noise))
        loss = distortion + self.betas * rate
        gradients = torch.autograd.grad(loss.sum(), list(self._working.parameters()))
        self._count += 1
        self._freeze(~loss.detach().isfinite())
        self._optimizer.step(gradients, self.active)
        self.distortion.copy_(distortion.detach())
        self.rate.copy_(rate.detach())

    def _freeze(self, diverging: Bool[Tensor, " member"]) -> None:
        self.diverged_at.copy_(torch.where(diverging & self.active, self._count, self.diverged_at))

    def state(self) -> dict[str, Tensor]:
        """Return all that training needs to go on from here: weights, Adam's moments, the step and who diverged."""
        weights = {f"weights/{name}": value.detach() for name, value in self.vae.named_parameters()}
        return weights | self._optimizer.state() | {"step": self._count, "diverged_at": self.diverged_at}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state that `state` returned."""
        # All tensors keep their places: a captured step holds them.
        working = dict(self._working.named_parameters())
        for name, parameter in self.vae.named_parameters():
            parameter.copy_(state[f"weights/{name}"])
            working[name].copy_(parameter)
        self._optimizer.load_state(state)
        self._count.copy_(state["step"])
        self.diverged_at.copy_(state["diverged_at"])
        self.step = int(state["step"])


@contextmanager
def _subnormals_flushed() -> Iterator[None]:
    """Take subnormal numbers for zero: Adam's moments decay through them, where processors are many times slower."""
    before = bool(torch.tensor(1e-40) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
