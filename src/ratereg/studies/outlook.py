"""What a published study still lacks, and how long that takes on this machine."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ratereg.models.networks import Network
from ratereg.studies.pace import Pace
from ratereg.studies.plan import plan
from ratereg.studies.shard import Shard
from ratereg.studies.store import kept, member_directory
from ratereg.studies.study import Data, Study

__all__ = ["Left", "Outlook", "Progress", "spoken", "times_longer"]


@dataclass(frozen=True)
class Left:
    """What a study still lacks.

    Attributes:
        name, scale: of the published study.
        members: how many are not finished, of `of`.
        seconds: what they are expected to take on this machine.
    """

    name: str
    scale: str
    members: int
    of: int
    seconds: float


class Progress:
    """How far a shard has come, and how far it had come before this call."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._made = self._made_before = 0
        self._since = time.monotonic()

    def report(self, made: int) -> None:
        """Note the steps that have been made, summed over members, as `run_shard` reports them."""
        # What comes first and is not one step is what an earlier call has made.
        if self._made == 0 and made != len(self.shard):
            self._made_before = made
        self._made += made

    def stopped(self) -> None:
        """Note that the shard is left to another call."""
        self.seconds = time.monotonic() - self._since

    @property
    def share(self) -> float:
        """Of the shard's steps, those that have been made."""
        return self._made / (len(self.shard) * self.shard.study.steps)

    @property
    def share_of_this_call(self) -> float:
        """Of the shard's steps, those that this call has made."""
        return (self._made - self._made_before) / (len(self.shard) * self.shard.study.steps)


@dataclass(frozen=True)
class Outlook:
    """A published study without a result, and what is expected of it.

    Attributes:
        name, scale, study: the published study.
        paces: of each data set and network.
        devices: how many train shards side by side.
        device_name: of each, as provenance says it.
        stopped: the shards that this call has left unfinished.
    """

    name: str
    scale: str
    study: Study
    paces: Mapping[tuple[Data, Network], Pace]
    devices: int
    device_name: str
    stopped: list[Progress] = field(default_factory=list)

    def shards(self) -> list[Shard]:
        """Return the shards of the members that are not finished."""
        digests = self.study.member_digests()
        missing = [member for member, digest in digests.items() if not kept(digest)]
        return plan(self.study, missing, lambda data, network: self.paces[data, network].at_once)

    def expected(self, shard: Shard) -> float:
        """Return the seconds that a shard is expected to take, from its beginning."""
        return self.paces[shard.data, shard.network].seconds * len(shard)

    def left(self, longer: float) -> Left:
        """Return what is left, where everything takes so many times longer than expected."""
        shards = self.shards()
        made = sum(self._training(progress.shard, progress.share) for progress in self.stopped)
        seconds = (sum(map(self.expected, shards)) - made) * longer / self.devices
        return Left(self.name, self.scale, sum(map(len, shards)), len(self.study), seconds)

    def compared(self) -> tuple[float, float]:
        """Return the seconds that this machine has taken for the study, and those that were expected for as much."""
        taken = expected = 0.0
        for member, digest in self.study.member_digests().items():
            if kept(digest):
                provenance = json.loads((member_directory(digest) / "provenance.json").read_text())
                if provenance["device"] == self.device_name:
                    taken += provenance["seconds"]
                    expected += self.paces[member.data, member.network].seconds
        for progress in self.stopped:
            taken += progress.seconds
            expected += self._training(progress.shard, progress.share_of_this_call)
        return taken, expected

    def _training(self, shard: Shard, share: float) -> float:
        return self.paces[shard.data, shard.network].training * len(shard) * share


def times_longer(outlooks: Sequence[Outlook]) -> float:
    """Return how many times longer this machine has taken than was expected; 1 where nothing tells."""
    compared = [outlook.compared() for outlook in outlooks]
    taken, expected = (sum(column) for column in zip(*compared, strict=True)) if compared else (0.0, 0.0)
    return taken / expected if expected else 1.0


def spoken(seconds: float) -> str:
    """Return a duration as one says it, e.g. "40 seconds", "12 minutes" or "3.5 hours"."""
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            number = seconds / unit
            return f"{number:.1f} {name}" if number < 10 else f"{number:.0f} {name}"
    return f"{seconds:.0f} seconds"
