import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratereg import MLP, Data, Study
from ratereg.studies.plan import plan
from ratereg.studies.shard import Shard

STUDY = Study(
    [Data("tetrominoes"), Data("tetrominoes", split="checkerboard")], [MLP(1), MLP(3)], betas=[1, 0.1, 0.01], seeds=4
)
TRAININGS = STUDY.trainings("float32")


def planned(limit: int, without: list[Shard] | None = None) -> list[Shard]:
    done = {one for shard in without or [] for one in shard.trainings}
    return plan(TRAININGS, lambda _: limit, [one for one in TRAININGS if one not in done])


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 12, 100])
def test_shards_hold_every_training_once_within_the_limit(limit: int) -> None:
    shards = planned(limit)
    together = list(itertools.chain.from_iterable(shard.trainings for shard in shards))
    assert sorted(one.digest for one in together) == sorted(one.digest for one in TRAININGS)
    assert max(map(len, shards)) <= limit
    assert all(len({one.setting for one in shard.trainings}) == 1 for shard in shards)


@pytest.mark.parametrize("limit", [3, 5, 7, 12])
def test_seeds_are_kept_whole_where_they_fit_and_the_first_come_first(limit: int) -> None:
    shards = planned(limit)
    assert [len(shard) for shard in shards] == {3: [3] * 16, 5: [3] * 16, 7: [6] * 8, 12: [12] * 4}[limit]
    first_seeds = [shard.trainings[0].seed for shard in shards]
    assert first_seeds == sorted(first_seeds)


@given(limit=st.integers(1, 15), finished=st.sets(st.integers(0, 50)))
def test_taking_away_finished_shards_leaves_the_others_as_they_are(limit: int, finished: set[int]) -> None:
    shards = planned(limit)
    done = [shard for index, shard in enumerate(shards) if index in finished]
    assert planned(limit, done) == [shard for shard in shards if shard not in done]


def test_the_limit_is_asked_for_each_setting() -> None:
    shards = plan(TRAININGS, lambda one: 3 * one.network.layers)
    assert {(shard.network.layers, len(shard)) for shard in shards} == {(1, 3), (3, 9), (3, 3)}


def test_a_shards_key_is_that_of_its_trainings_in_their_order() -> None:
    shards = planned(3)
    assert len({shard.digest for shard in shards}) == len(shards)
    assert Shard(shards[0].trainings[::-1]).digest != shards[0].digest
