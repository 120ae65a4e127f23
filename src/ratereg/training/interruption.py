"""A wish to stop, from the keyboard or from a scheduler, that a run fulfills after it has saved its state."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["Stopped", "interruptible"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C and a notebook's interrupt button; and what Slurm and others send some time before they kill."""


class Stopped(Exception):
    """A run was asked to stop, and has saved its state after step `step` of `steps`."""

    def __init__(self, step: int, steps: int) -> None:
        # The arguments themselves, so that it can be pickled on its way from another process.
        super().__init__(step, steps)
        self.step, self.steps = step, steps

    def __str__(self) -> str:
        return f"stopped after step {self.step} of {self.steps}, and saved; start the same again, and it goes on there"


class _Wish:
    """A signal handler that notes the first signal, and at Ctrl-C after that gives up at once."""

    def __init__(self) -> None:
        self._made = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._made:
            self._made = True
            # The signal may have come while a progress bar was writing there.
            with suppress(RuntimeError):
                print(
                    "\nStopping after this step, and saving. "
                    "Ctrl-C again stops at once, and loses what was done since the last checkpoint.",
                    file=sys.stderr,
                    flush=True,
                )
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def made(self) -> bool:
        return self._made


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT or SIGTERM has asked this process to stop since.

    The first signal is a wish alone; a SIGINT after it raises KeyboardInterrupt. The handlers before are restored at
    the end. Inside another one it yields that one's function. In other threads than the main one, which signals do
    not reach, the function is always False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    outer = next((handler for handler in before.values() if isinstance(handler, _Wish)), None)
    if outer is not None:
        yield outer.made
        return
    wish = _Wish()
    # What the process ignores, as one in the background ignores Ctrl-C, it goes on ignoring.
    taken = {number: old for number, old in before.items() if old not in (None, signal.SIG_IGN)}
    try:
        for number in taken:
            signal.signal(number, wish)
        yield wish.made
    finally:
        for number, old in taken.items():
            signal.signal(number, old)
