"""How the trainings of a study are cut into shards that train as one ensemble."""

import itertools
from collections.abc import Callable, Sequence

from ratereg.studies.shard import Shard
from ratereg.training.key import Training

__all__ = ["plan"]


def plan(trainings: Sequence[Training], at_once: Callable[[Training], int]) -> list[Shard]:
    """Cut trainings into shards of one setting each, seeds whole where they fit.

    Members of one seed share batches and noise. Shards of the smallest seeds come first, so that an interrupted study has
    whole seeds. Taking away all members of some shards leaves the others as they are.

    Arguments:
        trainings: in the order of a study.
        at_once: how many members of a training's setting are trained together at most.
    """
    shards = []
    for _, group in itertools.groupby(trainings, key=lambda one: one.setting):
        members = list(group)
        shards += [Shard(cut) for cut in _cut(members, at_once(members[0]))]
    return sorted(shards, key=lambda shard: shard.trainings[0].seed)


def _cut(trainings: list[Training], limit: int) -> list[tuple[Training, ...]]:
    cuts: list[tuple[Training, ...]] = []
    open_until = 0
    for _, group in itertools.groupby(trainings, key=lambda one: one.seed):
        seed = list(group)
        if cuts and len(cuts[-1]) + len(seed) <= open_until:
            cuts[-1] += tuple(seed)
            continue
        pieces = [tuple(seed[start : start + limit]) for start in range(0, len(seed), limit)]
        cuts += pieces
        # A seed that had to be cut is not joined by another: its last piece would depend on what is missing.
        open_until = limit if len(pieces) == 1 else 0
    return cuts
