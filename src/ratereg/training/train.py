"""The training loop: one step of the loop is one step of every member."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from ratereg.models import VAE
from ratereg.training.feed import Feed
from ratereg.training.graph import Pace, replayed
from ratereg.training.precision import PRECISIONS, Precision
from ratereg.training.randomness import Streams
from ratereg.training.step import Step

__all__ = ["Trainer"]

_SECONDS_TOGETHER = 0.2
_STEPS_TOGETHER = 64


class Trainer:
    """Adam on the sum of the members' losses, distortion + beta x rate; nothing couples the members.

    On a CPU the threads share out the members, and each thread trains its own. On a GPU all members are one program:
    a step is captured once and replayed, and the host waits for nothing in it.

    A member trains as it would alone. On a CPU it does so to the bit, whatever the number of threads, where there are
    at least as many members as threads and the hidden widths are multiples of 16. Otherwise libraries choose the order
    of a sum by the shape of the whole product, and values agree to 1e-3 of their size over the first 25 steps.

    A member diverges when its loss is not finite, or a log-variance is beyond `models.LARGEST_LOG_VAR`. It is frozen
    from that step on: neither its weights nor Adam's moments change, and the others continue.

    Arguments:
        vae: the ensemble, in float32; its parameters are trained in place.
        pixels: all images, flattened, on the device of `vae`: uint8, or floats in [0, 1].
        train: the rows of `pixels` that training draws from.
        betas: the weight of the rate, one per member.
        seeds: the seed of batches and noise, one per member; members with equal seeds see the same.
        batch_size: images a batch and member.
        learning_rate: Adam's.
        schedule: of the learning rate, "constant" or "cosine".
        steps: of the whole training, for a schedule that changes.
        warm_up: first steps over which the weight of the rate rises linearly from 0 to beta.
        precision: the type of the matrix products; weights, prior, Adam, latents and losses are float32.
        binarize: whether to draw new binary images at each step, each pixel 1 with its value as probability; members
            with equal seeds see the same.

    Attributes:
        step: how many steps have been made.

    Raises:
        ValueError: an argument is out of range, of another type or shape, or on another device.
    """

    def __init__(
        self,
        vae: VAE,
        pixels: Shaped[Tensor, "image pixels"],
        train: Int64[Tensor, " train"],
        *,
        betas: Sequence[float],
        seeds: Sequence[int],
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        steps: int | None = None,
        warm_up: int = 0,
        precision: Precision = "float32",
        binarize: bool = False,
    ) -> None:
        for name, values in (("betas", betas), ("seeds", seeds)):
            if len(values) != vae.members:
                raise ValueError(f"Trainer: {name} has {len(values)} entries for {vae.members} members; give one each.")
        if not all(math.isfinite(beta) and beta >= 0 for beta in betas):
            raise ValueError(f"Trainer: betas is {list(betas)}; give finite weights, 0 or more.")
        if precision not in PRECISIONS:
            raise ValueError(f"Trainer: precision is {precision!r}; give one of {', '.join(map(repr, PRECISIONS))}.")
        for name, count, least in (("warm_up", warm_up, 0), ("steps", 1 if steps is None else steps, 1)):
            if not isinstance(count, int) or isinstance(count, bool) or count < least:
                raise ValueError(f"Trainer: {name} is {count!r}; give an integer of at least {least}.")
        _check_images(vae, pixels, train)
        self.vae, self.step = vae, 0
        self.betas = torch.tensor(list(betas), dtype=torch.float32, device=vae.device)
        # A thread that works alone waits for no other, and one thread computes while another one moves memory.
        parts = min(torch.get_num_threads(), vae.members) if vae.device.type == "cpu" else 1
        bounds = [vae.members * part // parts for part in range(parts + 1)]
        self._parts = [slice(start, stop) for start, stop in pairwise(bounds)]
        self._threads_each = max(1, torch.get_num_threads() // parts)
        self._steps = []
        for part in self._parts:
            streams = Streams(seeds[part], len(train), batch_size, vae.latent_dim)
            self._steps.append(
                Step(
                    vae if parts == 1 else vae.only(part),
                    Feed(streams, pixels, train.to(vae.device), binarize=binarize),
                    self.betas[part],
                    learning_rate=learning_rate,
                    schedule=schedule,
                    steps=steps,
                    warm_up=warm_up,
                    precision=precision,
                )
            )
        self._run = [replayed(step, vae.device) for step in self._steps]
        self._pace = Pace(vae.device)
        self._together = 1

    @property
    def diverged_at(self) -> Int64[Tensor, " member"]:
        """The step at which each member diverged, or -1."""
        return torch.cat([step.diverged_at for step in self._steps])

    @property
    def distortion(self) -> Float[Tensor, " member"]:
        """The mean distortion of the last batch, in nats."""
        return torch.cat([step.distortion for step in self._steps])

    @property
    def rate(self) -> Float[Tensor, " member"]:
        """The mean rate of the last batch, in nats; NaN where a posterior is absurd."""
        return torch.cat([step.rate for step in self._steps])

    @torch.enable_grad()
    def advance(self, to: int, after_steps: Callable[[int], bool] | None = None) -> None:
        """Train until `to` steps have been made, or until `after_steps` returns True.

        That is called every few steps, about five times a second, with the number of steps made since the last call.
        """
        with _threads(len(self._parts), self._threads_each) as on_all:
            while self.step < to:
                made = min(self._together, to - self.step)
                started = time.monotonic()
                on_all(partial(self._advance_part, made))
                self._pace.keep()
                self.step += made
                seconds_each = (time.monotonic() - started) / made
                self._together = max(1, min(_STEPS_TOGETHER, int(_SECONDS_TOGETHER / max(seconds_each, 1e-9))))
                if after_steps is not None and after_steps(made):
                    return

    def _advance_part(self, steps: int, index: int) -> None:
        for step in range(self.step, self.step + steps):
            self._steps[index].feed.provide(step)
            self._run[index]()

    def state(self) -> dict[str, Tensor]:
        """Return all that training needs to resume: weights, Adam's moments, the step and who diverged."""
        states = [step.state() for step in self._steps]
        return {
            name: first if first.ndim == 0 or len(states) == 1 else torch.cat([state[name] for state in states])
            for name, first in states[0].items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Resume from a state that `state` returned, here or on another device or number of threads.

        Raises:
            ValueError: `state` lacks a tensor, or one has another shape.
        """
        for part, step in zip(self._parts, self._steps, strict=True):
            step.load_state({name: value if value.ndim == 0 else value[part] for name, value in state.items()})
        self.step = int(state["step"])


def _check_images(vae: VAE, pixels: Tensor, train: Tensor) -> None:
    expected = math.prod(vae.image_shape)
    if pixels.ndim != 2 or pixels.shape[1] != expected or pixels.device != vae.device:
        raise ValueError(
            f"Trainer: pixels has shape {tuple(pixels.shape)} on {pixels.device}; give flattened images of {expected} "
            f"pixels on {vae.device}."
        )
    if pixels.dtype != torch.uint8 and not (pixels.is_floating_point() and bool(((pixels >= 0) & (pixels <= 1)).all())):
        raise ValueError(f"Trainer: pixels is {pixels.dtype}, not all in [0, 1]; give uint8, or floats in [0, 1].")
    if train.ndim != 1 or train.dtype != torch.int64 or len(train) == 0:
        raise ValueError("Trainer: train is empty or not a list of rows; give the rows of at least one image, int64.")
    if not (train.min() >= 0 and train.max() < len(pixels)):
        raise ValueError(
            f"Trainer: train has rows from {train.min()} to {train.max()}; give rows of the {len(pixels)} images."
        )


@contextmanager
def _threads(count: int, each: int) -> Iterator[Callable[[Callable[[int], None]], None]]:
    """Yield a function that calls another with 0 to `count` - 1, each in a thread with `each` of torch's threads."""
    before = torch.get_num_threads()

    def call(work: Callable[[int], None], index: int) -> None:
        if torch.get_num_threads() != each:
            torch.set_num_threads(each)
        with _subnormals_flushed():
            work(index)

    if count == 1:
        yield lambda work: call(work, 0)
        return

    def call_all(work: Callable[[int], None]) -> None:
        for done in [pool.submit(call, work, index) for index in range(count)]:
            done.result()

    try:
        with ThreadPoolExecutor(count) as pool:
            yield call_all
    finally:
        # Some of the libraries' numbers of threads are those of the process.
        torch.set_num_threads(before)


@contextmanager
def _subnormals_flushed() -> Iterator[None]:
    """Take subnormal numbers for zero: Adam's moments decay through them, where processors are many times slower."""
    before = bool(torch.tensor(1e-40, dtype=torch.float32, device="cpu") == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
