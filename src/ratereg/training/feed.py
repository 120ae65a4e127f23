"""Images and noise for the steps to come, drawn on the host for many steps ahead and kept on the device."""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from ratereg.training.randomness import Streams

__all__ = ["Feed"]

_STEPS_AHEAD = 64
_BYTES_AHEAD = 64 << 20


class Feed:
    """The batches of the steps to come.

    The host draws for a block of steps and hands them to the device at once, and a step takes its own by a counter
    that lies on the device. So a captured step can be replayed, and a GPU works while the host draws. How long a block
    is changes nothing: every draw is keyed by its step.

    Images and `binarize` are as in `Trainer`, with `train` on the same device; a block has `steps_ahead` steps, by
    default as many as make sense.
    """

    def __init__(
        self,
        streams: Streams,
        pixels: Shaped[Tensor, "image pixels"],
        train: Int64[Tensor, " train"],
        *,
        binarize: bool = False,
        steps_ahead: int | None = None,
    ) -> None:
        self.streams, self.pixels, self.train = streams, pixels, train
        count, batch = len(streams.distinct), streams.batch_size
        if steps_ahead is None:
            bytes_a_step = 4 * count * batch * (2 + streams.latent_dim + (pixels.shape[1] if binarize else 0))
            steps_ahead = max(1, min(_STEPS_AHEAD, _BYTES_AHEAD // bytes_a_step))
        self._block, self._steps_ahead, self._due = range(0), steps_ahead, -1

        def room(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.empty(steps_ahead, count, batch, *shape, dtype=dtype, device=pixels.device)

        self._batches = room(dtype=torch.int64)
        self._noise = room(streams.latent_dim)
        self._thresholds = room(pixels.shape[1]) if binarize else None
        self._at = torch.zeros(1, dtype=torch.int64, device=pixels.device)
        # One axis serves all members where all see the same.
        self._member_stream = streams.member_stream[: None if count > 1 else 1].to(pixels.device)

    def provide(self, step: int) -> None:
        """Make sure that `next` returns the draws of `step`: draw a new block where the last one has ended."""
        in_turn = step == self._due and step in self._block
        self._due = step + 1
        if in_turn:
            return
        self._block = range(step, step + self._steps_ahead)
        _put(self._batches, [self.streams.batch(one) for one in self._block])
        _put(self._noise, [self.streams.noise(one) for one in self._block])
        if self._thresholds is not None:
            _put(self._thresholds, [self.streams.thresholds(one, self.pixels.shape[1]) for one in self._block])
        self._at.zero_()

    def next(self) -> tuple[Float[Tensor, "#member batch pixels"], Float[Tensor, "#member batch latent"]]:
        """Return images in [0, 1] and noise of the next step; with one axis for all where all members see the same."""
        x = self.pixels[self.train[self._next(self._batches)]]
        x = x.float().div_(255) if x.dtype == torch.uint8 else x.float()
        if self._thresholds is not None:
            x = (self._next(self._thresholds) < x).float()
        noise = self._next(self._noise)
        self._at += 1
        return x, noise

    def _next(self, room: Tensor) -> Tensor:
        return room.index_select(0, self._at)[0, self._member_stream]


def _put(room: Tensor, draws: list[Tensor]) -> None:
    """Copy draws to the device without waiting for it; they take their turn behind the steps that are under way."""
    block = torch.stack(draws)
    room.copy_(block.pin_memory() if room.is_cuda else block, non_blocking=True)
