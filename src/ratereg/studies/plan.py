"""How the members of a study are cut into shards."""

import itertools
from collections.abc import Callable, Sequence

from ratereg.models.networks import Network
from ratereg.studies.shard import Shard
from ratereg.studies.study import Data, Member, Study

__all__ = ["plan"]


def plan(study: Study, members: Sequence[Member], at_once: Callable[[Data, Network], int]) -> list[Shard]:
    """Cut some members of a study into shards of one data set and one network.

    Seeds are kept whole where they fit, since members of one seed share batches and noise. Shards of the first seeds
    come first, so that an interrupted study has whole seeds. Taking away all members of some shards leaves the others
    as they are, so that a study that is started again goes on with the shards it had.

    Arguments:
        study: whose members they are.
        members: to be trained, in the order of the study.
        at_once: how many members of a data set and a network are trained together at the most.
    """
    shards = []
    for (data, network), group in itertools.groupby(members, key=lambda member: (member.data, member.network)):
        limit = at_once(data, network)
        shards += [Shard(study, members) for members in _cut(list(group), limit)]
    first = study.axis_seeds.index
    return sorted(shards, key=lambda shard: first(shard.members[0].seed))


def _cut(members: list[Member], limit: int) -> list[tuple[Member, ...]]:
    cuts: list[tuple[Member, ...]] = []
    open_until = 0
    for _, group in itertools.groupby(members, key=lambda member: member.seed):
        seed = list(group)
        if cuts and len(cuts[-1]) + len(seed) <= open_until:
            cuts[-1] += tuple(seed)
            continue
        pieces = [tuple(seed[start : start + limit]) for start in range(0, len(seed), limit)]
        cuts += pieces
        # A seed that had to be cut is not joined by another: its last piece would depend on what is missing.
        open_until = limit if len(pieces) == 1 else 0
    return cuts
