"""Several devices of one machine used whole: a process for each, which trains one shard after another.

The processes are spawned, so a script that comes here must start its own work under `if __name__ == "__main__":`.
"""

import multiprocessing
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from ratereg.studies.results import Results
from ratereg.studies.shard import Shard, run_shard
from ratereg.training.interruption import Stopped

__all__ = ["on_devices"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_BETWEEN_REPORTS = 0.2
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_END = 60.0
"""For a process that was told to stop: one step and one checkpoint fit in."""


def on_devices(
    shards: Sequence[Shard],
    devices: Sequence[torch.device],
    *,
    checkpoint_seconds: float,
    report: Callable[[int], None],
    stop: Callable[[], bool],
) -> Iterator[tuple[Shard, Results]]:
    """Yield each shard and its results as it finishes, one shard at a time on each device.

    torch's threads are shared out among the processes. A process that loses its parent saves and ends.

    Arguments:
        shards: to be trained, in the order in which they are begun.
        devices: one process each; the same device may come several times.
        checkpoint_seconds: how often the state of each shard is kept.
        report: called with the number of steps made, summed over members.
        stop: asked a few times a second; when it returns True every process saves and ends.

    Raises:
        RuntimeError: a process was killed, or ended by itself; the checkpoint of its shard is kept.
        Stopped: `stop` returned True, and every shard under way is saved.
        ValueError: `devices` is empty.
        Exception: what a shard raised; the others under way are saved.
    """
    if not devices:
        raise ValueError("on_devices: devices is empty; give at least one.")
    used = devices[: len(shards)]
    threads = max(1, torch.get_num_threads() // max(1, len(used)))
    left = list(shards)
    crew: list[_Worker] = []
    stopping, stopped_at = False, list[int]()
    try:
        for device in used:
            crew.append(_Worker(device, threads, checkpoint_seconds))
            crew[-1].begin(left.pop(0))
        while busy := [worker for worker in crew if worker.shard is not None]:
            if not stopping and stop():
                stopping = True
                # Those that are not begun are at step 0.
                stopped_at += [0] * len(left)
                left.clear()
                for worker in busy:
                    worker.end()
            wait([worker.connection for worker in busy], _SECONDS_BETWEEN_LOOKS)
            for worker in busy:
                while worker.shard is not None and worker.connection.poll():
                    match worker.receive():
                        case int(steps):
                            report(steps)
                        case Results() as results:
                            shard = worker.shard
                            worker.begin(left.pop(0) if left else None)
                            yield shard, results
                        case Stopped() as error:
                            stopped_at.append(error.step)
                            worker.shard = None
                        case Exception() as error:
                            error.add_note(f"It was raised in the process of {worker.device}, by {worker.shard}.")
                            raise error
        if stopped_at:
            raise Stopped(min(stopped_at), shards[0].study.steps)
    finally:
        for worker in crew:
            worker.end()
        deadline = time.monotonic() + _SECONDS_TO_END
        for worker in crew:
            worker.join(deadline)


class _Worker:
    """A process for one device, as its parent sees it."""

    def __init__(self, device: torch.device, threads: int, checkpoint_seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.device = device
        self.shard: Shard | None = None
        # A pipe each: a process that is killed leaves no lock behind for the others to wait for, and each end sees when
        # the other is gone.
        self.connection, theirs = context.Pipe()
        arguments = (theirs, device, threads, checkpoint_seconds)
        self.process: BaseProcess = context.Process(target=_serve, args=arguments, name=str(device), daemon=True)
        with _signals_held_back():
            self.process.start()
        theirs.close()

    def begin(self, shard: Shard | None) -> None:
        """Hand over the next shard; None for no more, or for a stop."""
        self.shard = shard
        self._send(shard)

    def end(self) -> None:
        self._send(None)

    def _send(self, shard: Shard | None) -> None:
        # Where the process is gone, `receive` tells.
        with suppress(OSError):
            self.connection.send(shard)

    def receive(self) -> object:
        """Return steps made, results, or what was raised.

        Raises:
            RuntimeError: the process is gone.
        """
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = (
                "perhaps memory ran out: fewer max_members need less of it"
                if code < 0
                else 'a script has to start its work under `if __name__ == "__main__":`'
            )
            raise RuntimeError(
                f"The process of {self.device} {how} during {self.shard} ({hint}). "
                "Its last checkpoint is kept; start the same again, and it goes on there."
            ) from None

    def join(self, deadline: float) -> None:
        """Wait until the process has ended, and end it at the deadline."""
        while self.process.is_alive() and time.monotonic() < deadline:
            # Its last results may fill the pipe, and it would wait for a reader.
            if self.connection.poll(_SECONDS_BETWEEN_LOOKS):
                try:
                    self.connection.recv_bytes()
                except (EOFError, OSError):
                    break
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let a process that is started here be born with signals held back, until it has said what they are to do."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, device: torch.device, threads: int, checkpoint_seconds: float) -> None:
    """Train the shards that come, until None comes, which stops the one under way too."""
    asked = made = 0
    told = time.monotonic()

    def ask(*_: object) -> None:
        nonlocal asked
        asked += 1

    def stop() -> bool:
        # What comes during a shard is the wish to stop, or the end of the parent.
        return asked > 0 or connection.poll()

    def report(steps: int) -> None:
        nonlocal made
        made += steps
        if time.monotonic() - told > _SECONDS_BETWEEN_REPORTS:
            tell()

    def tell() -> None:
        nonlocal made, told
        # Where the parent is gone, `stop` sees it, and the state is saved first.
        with suppress(ConnectionError):
            connection.send(made)
        made, told = 0, time.monotonic()

    # Ctrl-C reaches the parent too, which tells when to stop; so does what Slurm sends, but not where it is sent to
    # this process alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with suppress(EOFError, ConnectionError):  # The parent is gone.
        while (shard := connection.recv()) is not None:
            outcome: object
            try:
                outcome = run_shard(shard, device, checkpoint_seconds=checkpoint_seconds, report=report, stop=stop)
            except Exception as error:
                outcome = _portable(error)
            tell()
            connection.send(outcome)


def _portable(error: Exception) -> Exception:
    """Return the error, or its message where it can't be sent."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if type(copy) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")
