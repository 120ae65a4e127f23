"""What a step is fed with: images and noise, drawn on the host for many steps ahead and kept on the device."""

import torch
from jaxtyping import Float, Int64, UInt8
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

    Arguments:
        streams: where batches, noise and thresholds come from.
        pixels: all images, flattened, on the device to train on.
        train: the rows of `pixels` that `streams` counts, on the same device.
        binarize: draw binary images anew at each step.
        steps_ahead: steps a block; None for as many as make sense.
    """

    def __init__(
        self,
        streams: Streams,
        pixels: UInt8[Tensor, "image pixels"],
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
        self._member_stream = streams.member_stream.to(pixels.device)

    def provide(self, step: int) -> None:
        """Make sure that what comes `next` is that of `step`, drawing a new block where the last one has ended."""
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
        rows = self.train[self._batches.index_select(0, self._at)[0]]
        x = self.pixels[rows].float().div_(255)
        if self._thresholds is not None:
            x = (self._thresholds.index_select(0, self._at)[0] < x).float()
        noise = self._noise.index_select(0, self._at)[0]
        self._at += 1
        if len(self.streams.distinct) == 1:
            return x, noise
        return x[self._member_stream], noise[self._member_stream]


def _put(room: Tensor, draws: list[Tensor]) -> None:
    """Copy draws to the device without waiting for it; they take their turn behind the steps that are under way."""
    block = torch.stack(draws)
    room.copy_(block.pin_memory() if room.is_cuda else block, non_blocking=True)
