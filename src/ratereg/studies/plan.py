"""Split of a study's trainings into shards, each trained as one ensemble."""

import itertools
from collections.abc import Callable, Sequence

from ratereg.studies.shard import Shard
from ratereg.training.key import Training

__all__ = ["plan"]


def plan(
    trainings: Sequence[Training], at_once: Callable[[Training], int], missing: Sequence[Training] | None = None
) -> list[Shard]:
    """Cut trainings into shards of one setting each, seeds whole where they fit.

    All trainings are cut, and those that are not missing left out, so that a run that is resumed has the shards it had.
    Members of one seed share batches and noise. Shards of the smallest seeds come first, so that an interrupted study
    has whole seeds.

    Arguments:
        trainings: in the order of a study.
        at_once: how many members of a training's setting are trained together at most.
        missing: those that are wanted; None for all.
    """
    shards = []
    for _, group in itertools.groupby(trainings, key=lambda one: one.setting):
        members = list(group)
        shards += [Shard(cut) for cut in _cut(members, at_once(members[0]))]
    wanted = set(trainings if missing is None else missing)
    left = [Shard(tuple(one for one in shard.trainings if one in wanted)) for shard in shards]
    return sorted((shard for shard in left if len(shard)), key=lambda shard: shard.trainings[0].seed)


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
