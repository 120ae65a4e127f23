"""A step captured once as a CUDA graph, and replayed: hundreds of small kernels for the price of one launch."""

from collections.abc import Callable

import torch

__all__ = ["Pace", "replayed"]

_WARM_UP = 3
"""Steps made before the capture, in which libraries choose their algorithms and reserve their memory."""


def replayed(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return `step` itself, or on a GPU one that does the same by replaying a captured graph.

    `step` has to read and write tensors of the device alone, always the same ones, and must not make the host wait.
    """
    return _Captured(step, device) if device.type == "cuda" else step


class _Captured:
    """The first calls run the step as it is, the next one captures it, and all from there on replay it."""

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        self._step, self._device = step, device
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self) -> None:
        with torch.cuda.device(self._device):
            if self._calls < _WARM_UP:
                self._warm_up()
            else:
                if self._graph is None:
                    self._graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(self._graph):
                        self._step()
                self._graph.replay()
        self._calls += 1

    def _warm_up(self) -> None:
        # On a stream of its own, as a capture is: what is cached for the usual stream does not serve there.
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            self._step()
        usual.wait_stream(self._stream)


class Pace:
    """Keeps the host from running ahead of a GPU by more than the steps between two calls of `keep`.

    The GPU always has those at hand; without a limit a wish to stop would wait for a thousand steps.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last: torch.cuda.Event | None = None

    def keep(self) -> None:
        """Wait until what was under way at the last call is done."""
        if self._device.type != "cuda":
            return
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        if self._last is not None:
            self._last.synchronize()
        self._last = event
