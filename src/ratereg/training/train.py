"""The training loop: one step of the loop is one step of every member."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from ratereg.models import VAE
from ratereg.training.allocator import keep_freed_memory
from ratereg.training.precision import Precision
from ratereg.training.randomness import Streams

__all__ = ["Trainer"]


class Trainer:
    """Adam on the sum of the members' losses, distortion + beta x rate; nothing couples the members.

    A member trains as it would alone: with one thread to the bit, where the hidden widths are multiples of 16. With
    more threads, on a GPU, or for other widths the libraries choose the order of a sum by the shape of the whole
    product, and values agree to 1e-3 of their size over the first 25 steps.

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
        self.vae, self.pixels, self.binarize = vae, pixels, binarize
        self.train = train.to(vae.device)
        self.betas = torch.tensor(list(betas), dtype=torch.float32, device=vae.device)
        self.streams = Streams(seeds, len(train), batch_size, vae.network.latent_dim)
        self._member_stream = self.streams.member_stream.to(vae.device)
        self.optimizer = torch.optim.Adam(_parameter_groups(vae), lr=learning_rate)
        # With bfloat16 products a rounded working copy is run and differentiated; the float32 weights are the truth.
        self._working = vae if precision == "float32" else copy.deepcopy(vae).bfloat16()
        self.step = 0
        # The last batch's means, for the progress bar.
        self.distortion: Float[Tensor, " member"] = torch.full_like(self.betas, math.nan)
        self.rate: Float[Tensor, " member"] = torch.full_like(self.betas, math.nan)

    def advance(self, to: int, after_step: Callable[[int], None] | None = None) -> None:
        """Train until `to` steps have been made, calling `after_step` with the number of steps made."""
        if self.vae.device.type == "cpu":
            keep_freed_memory()
        with _subnormals_flushed():
            while self.step < to:
                self._one_step()
                if after_step is not None:
                    after_step(self.step)

    def _one_step(self) -> None:
        device = self.vae.device
        rows = self.train[self.streams.batch(self.step).to(device)]
        x = self.pixels[rows].float().div_(255)
        if self.binarize:
            x = self.streams.binarized(self.step, x)
        x = x[self._member_stream]
        noise = self.streams.noise(self.step).to(device)[self._member_stream]
        distortion, rate = self._working(x, noise)
        loss = (distortion.mean(1) + self.betas * rate.mean(1)).sum()
        self._working.zero_grad()
        loss.backward()
        if self._working is not self.vae:
            self._collect_gradients()
        self.optimizer.step()
        if self._working is not self.vae:
            self._refresh_working_copy()
        self.distortion, self.rate = distortion.detach().mean(1), rate.detach().mean(1)
        self.step += 1

    def _collect_gradients(self) -> None:
        for weight, working in zip(self.vae.parameters(), self._working.parameters(), strict=True):
            if weight.grad is None:
                weight.grad = torch.empty_like(weight)
            assert working.grad is not None
            weight.grad.copy_(working.grad)

    @torch.no_grad()
    def _refresh_working_copy(self) -> None:
        for weight, working in zip(self.vae.parameters(), self._working.parameters(), strict=True):
            working.copy_(weight)

    def state(self) -> dict[str, Tensor]:
        """Return all that training needs to go on from here: weights, Adam's moments and the step."""
        state = {f"weights/{name}": value.detach() for name, value in self.vae.named_parameters()}
        for name, parameter in self.vae.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                state[f"adam/{key}/{name}"] = value
        return state | {"step": torch.tensor(self.step)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a state that `state` returned."""
        with torch.no_grad():
            for name, parameter in self.vae.named_parameters():
                parameter.copy_(state[f"weights/{name}"])
                self.optimizer.state[parameter] = {
                    key: state[f"adam/{key}/{name}"].clone().to(parameter.device)
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
        if self._working is not self.vae:
            self._refresh_working_copy()
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


def _parameter_groups(vae: VAE) -> list[dict[str, Any]]:
    """Part the parameters by whether Adam's fused kernel treats all their members alike.

    It works on whole cache lines and rounds differently in a last, shorter one. So where a member does not fill whole
    lines, which members are rounded differently would depend on their position.
    """
    line = 16
    even = [parameter for parameter in vae.parameters() if parameter[0].numel() % line == 0]
    odd = [parameter for parameter in vae.parameters() if parameter[0].numel() % line != 0]
    groups = [{"params": even, "fused": True}, {"params": odd, "fused": False, "foreach": False}]
    return [group for group in groups if group["params"]]
