"""A wish to stop, from the keyboard or from a scheduler, that a run fulfills after it has saved its state."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["SIGNALS", "Interruption", "Stopped", "interruptible"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Ctrl-C and a notebook's interrupt button; a scheduler's warning before it kills; the end of a terminal."""


class Stopped(Exception):
    """A run was asked to stop, and has saved its state after step `step` of `steps`."""

    def __init__(self, step: int, steps: int) -> None:
        # The arguments themselves, so that it can be pickled on its way from another process.
        super().__init__(step, steps)
        self.step, self.steps = step, steps

    def __str__(self) -> str:
        return f"stopped after step {self.step} of {self.steps}, and saved; start the same run again to resume"


class Interruption:
    """A wish to stop, which calling the object tells: a signal handler that notes the first signal.

    A Ctrl-C after the first signal raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._made = False
        self._at_once: Stopped | None = None

    def __call__(self) -> bool:
        """Return whether a signal has asked to stop."""
        return self._made

    @contextmanager
    def at_once(self, step: int, steps: int) -> Iterator[None]:
        """Raise `Stopped(step, steps)` in the body, at the first signal or at once if one has come before.

        For work that has nothing to save, after step `step` of `steps`.
        """
        stopped = Stopped(step, steps)
        if self._made:
            raise stopped
        self._at_once = stopped
        try:
            yield
        finally:
            self._at_once = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._made:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self._made = True
        if self._at_once is not None:
            raise self._at_once
        # The signal may have come while a progress bar was writing there.
        with suppress(RuntimeError):
            print(
                "\nStopping after this step, and saving. "
                "Ctrl-C again stops at once, and loses what was done since the last checkpoint.",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Yield an object that tells, when called, whether SIGINT, SIGTERM or SIGHUP has asked this process to stop since.

    The first signal is only a wish; a SIGINT after it raises KeyboardInterrupt. In the object's context `at_once` the
    first signal raises Stopped. The handlers before are restored at the end. Inside another `interruptible` it yields
    that one's object. In other threads than the main one, which signals do not reach, the wish is never made.
    """
    wish = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    outer = [getattr(handler, "__self__", None) for handler in before.values()]
    if found := [one for one in outer if isinstance(one, Interruption)]:
        yield found[0]
        return
    # Ignored signals stay ignored, such as Ctrl-C in a background process.
    taken = {number: old for number, old in before.items() if old not in (None, signal.SIG_IGN)}
    try:
        for number in taken:
            signal.signal(number, wish.handle)
        yield wish
    finally:
        for number, old in taken.items():
            signal.signal(number, old)
