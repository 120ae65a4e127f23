"""Shards and exact densities on the workers of a Dask cluster: the extra `cluster`, which brings `distributed`.

Scheduler and workers need this package too, in equal versions. Each worker process trains one shard at a time, on its
GPU if it has one, else on as many threads as it was started with. It keeps checkpoints in its own $RATEREG_CACHE: where
that is a folder that all workers share, another one goes on from the checkpoint of one that died.
"""

import queue
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ratereg.studies.results import Results
from ratereg.studies.shard import Shard
from ratereg.studies.worker import PREFIX, forget, run_on_worker, versions
from ratereg.training.interruption import Stopped

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["connected", "on_cluster"]

_SECONDS_TO_CONNECT = 10
_SECONDS_TO_LISTEN = 0.5
_SECONDS_TO_SAVE = 60.0


def on_cluster(
    shards: Sequence[Shard],
    scheduler: "str | Client",
    *,
    checkpoint_seconds: float,
    report: Callable[[int], None],
    stop: Callable[[], bool],
) -> Iterator[tuple[Shard, Results]]:
    """Yield each shard and its results as it finishes, one shard at a time on each worker of a Dask cluster.

    Workers may come and go. The shard of a worker that dies is given to another, which loses at most what was done
    since the last checkpoint if it finds that in a shared $RATEREG_CACHE. A shard that several clients want is run
    once. A worker whose client is gone, or that is told to close, saves and ends its shard.

    Arguments:
        shards: to be trained, in the order in which they are begun.
        scheduler: its address, such as "tcp://host:8786", or a client of it.
        checkpoint_seconds: how often the state of each shard is kept.
        report: called with the number of steps made, summed over members.
        stop: asked about once a second; when it returns True the workers save.

    Raises:
        ConnectionError: the scheduler does not answer, or was lost.
        ModuleNotFoundError: `distributed` is not installed.
        RuntimeError: a worker has other versions, or several died over a shard without getting on with it.
        Stopped: `stop` returned True, and every shard under way is saved.
        ValueError: `scheduler` is no address, or a worker finds other data than this process.
        Exception: what a shard raised.
    """
    with connected(scheduler) as client:
        from distributed.comm.core import CommClosedError

        try:
            yield from _Dispatch(client, shards, checkpoint_seconds, report).results(stop)
        except CommClosedError:
            raise ConnectionError(_LOST) from None


@contextmanager
def connected(scheduler: "str | Client") -> Iterator["Client"]:
    """Yield a client of the scheduler at an address, or the client that is given.

    Raises:
        ConnectionError: the scheduler does not answer.
        ModuleNotFoundError: `distributed` is not installed.
        ValueError: it is no address.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"scheduler needs the package {error.name!r}; install the extra `cluster`: pip install 'ratereg[cluster]'."
        ) from None
    if isinstance(scheduler, Client):
        yield scheduler
        return
    try:
        _reach(scheduler)
        client = Client(scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise ValueError(f"scheduler is {scheduler!r}: {error}. Give an address such as 'tcp://host:8786'.") from None
    except OSError:
        raise ConnectionError(
            f"scheduler is {scheduler!r}, which does not answer within {_SECONDS_TO_CONNECT} s; "
            "give the address that `dask scheduler` prints."
        ) from None
    with client:
        yield client


def _reach(address: str) -> None:
    """Raise OSError unless something answers at an address.

    A client of Dask's that fails to connect is closed only when it is collected, and may stop another from starting.
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    scheme, place = parse_address(address)
    if scheme not in ("tcp", "tls"):
        return
    host, port = parse_host_port(place)
    deadline = time.monotonic() + _SECONDS_TO_CONNECT
    while True:
        try:
            socket.create_connection((host, port), max(0.1, deadline - time.monotonic())).close()
        except OSError:
            # It may be about to start.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


class _Dispatch:
    """The shards of one client on their way through the cluster."""

    def __init__(
        self, client: "Client", shards: Sequence[Shard], checkpoint_seconds: float, report: Callable[[int], None]
    ) -> None:
        self.client, self.checkpoint_seconds, self.report = client, checkpoint_seconds, report
        self.shards = {f"{PREFIX}{shard.digest}": shard for shard in shards}
        self.waiting = list(self.shards)
        self.futures: dict[str, Future[Results]] = {}
        # Where a shard was sent, until the scheduler says itself where it is.
        self.sent_to: dict[str, str] = {}
        self.any_worker = True
        self.made = dict.fromkeys(self.shards, 0)
        self.made_before_deaths = dict.fromkeys(self.shards, 0)
        self.messages: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()

    def results(self, stop: Callable[[], bool]) -> Iterator[tuple[Shard, Results]]:
        """Yield each shard and its results as it finishes."""
        placed = 0.0
        try:
            while self.waiting or self.futures:
                if time.monotonic() - placed > _SECONDS_TO_LISTEN:
                    self._place()
                    placed = time.monotonic()
                done = self._listen()
                if done is not None:
                    results = self._take(done)
                    if results is not None:
                        yield self.shards[done], results
                        # Kept by now, so that the workers' checkpoints are not needed again.
                        self.client.run(forget, self.shards[done], on_error="ignore")
                elif stop():
                    steps = self._stop_workers()
                    raise Stopped(steps, next(iter(self.shards.values())).study.steps)
        finally:
            self.client.cancel(list(self.futures.values()))
            for key in self.futures:
                self.client.unsubscribe_topic(key)

    def _place(self) -> None:
        """Send shards to workers that have none, and those that are under way for another client to theirs.

        If all were sent at once, Dask would share them out among the workers that are there now, by their threads.
        """
        under_way = self._under_way()
        unseen = self.futures.keys() - under_way.keys()
        self.sent_to = {key: address for key, address in self.sent_to.items() if key in unseen}
        busy = {*self.sent_to.values(), *under_way.values()}
        workers = self.client.nthreads()
        free = [address for address in workers if address not in busy]
        if self.any_worker and not workers:
            warnings.warn(
                "The scheduler has no worker; waiting for one. Workers need ratereg too: without it they end at once, "
                "and their logs say so.",
                stacklevel=4,
            )
        self.any_worker = bool(workers)
        for key in [key for key in self.waiting if key in under_way]:
            self._send(key, under_way[key])
        for key, address in zip(list(self.waiting), free, strict=False):
            self._send(key, address)

    def _under_way(self) -> dict[str, str]:
        """Return where the shards are that workers have now, also for other clients."""
        tasks = self.client.processing().items()
        return {str(key): address for address, keys in tasks for key in keys if str(key).startswith(PREFIX)}

    def _send(self, key: str, address: str) -> None:
        self.waiting.remove(key)
        self.sent_to[key] = address
        self.client.subscribe_topic(key, lambda event: self.messages.put((key, event[1])))
        self.futures[key] = self.client.submit(
            run_on_worker,
            self.shards[key],
            self.checkpoint_seconds,
            versions(),
            key=key,
            workers=[address],
            allow_other_workers=True,
        )
        self._watch(key)

    def _listen(self) -> str | None:
        """Pass on what a worker says, and return the key of a shard that has ended, if one has."""
        try:
            key, message = self.messages.get(timeout=_SECONDS_TO_LISTEN)
        except queue.Empty:
            return None
        if "done" in message and key in self.futures:
            return key
        self._advance(key, message.get("made", 0))
        return None

    def _advance(self, key: str, made: int) -> None:
        # A worker that goes on from a checkpoint makes some steps again.
        if made > self.made[key]:
            self.report(made - self.made[key])
            self.made[key] = made

    def _watch(self, key: str) -> None:
        self.futures[key].add_done_callback(lambda _: self.messages.put((key, {"done": True})))

    def _take(self, key: str) -> Results | None:
        """Return the results of a shard that has ended, or None where it has not yet or is tried again."""
        from distributed import KilledWorker

        shard, future = self.shards[key], self.futures[key]
        if future.status == "finished":
            results: Results = future.result()
            self._advance(key, len(shard) * shard.study.steps)
            del self.futures[key]
            self.client.unsubscribe_topic(key)
            return results
        if future.status == "cancelled":
            raise ConnectionError(_LOST)
        error = future.exception() if future.status == "error" else None
        got_on = self.made[key] > self.made_before_deaths[key]
        if isinstance(error, KilledWorker) and got_on:
            # Workers that are taken away again and again are no failure, as long as the shard gets on.
            self.made_before_deaths[key] = self.made[key]
            future.retry()
        elif isinstance(error, KilledWorker):
            raise RuntimeError(
                f"Several workers died during {shard}, and it did not get on. Their logs say why; perhaps memory ran "
                "out, and fewer max_members need less of it. The same again goes on from the last checkpoint."
            )
        elif error is not None:
            error.add_note(f"It was raised on the cluster, by {shard}.")
            raise error.with_traceback(None) from None
        self._watch(key)
        return None

    def _stop_workers(self) -> int:
        """Give up all shards, wait until they are saved, and return the step that the least of them is at."""
        under_way = self.futures.keys() & self._under_way().keys()
        self.client.cancel(list(self.futures.values()))
        deadline = time.monotonic() + _SECONDS_TO_SAVE
        while under_way and time.monotonic() < deadline:
            try:
                key, message = self.messages.get(timeout=_SECONDS_TO_LISTEN)
            except queue.Empty:
                # What another client wants goes on.
                under_way &= self._under_way().keys()
                continue
            self._advance(key, message.get("made", 0))
            if "left" in message:
                under_way.discard(key)
        return min(self.made[key] // len(self.shards[key]) for key in [*self.waiting, *self.futures])


_LOST = "The scheduler was lost; what its workers have made is kept, and the same again goes on from there."
