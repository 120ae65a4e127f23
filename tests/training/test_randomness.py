import inspect
from typing import Any

import pytest
import torch

from ratereg.training import Streams


def test_draws_depend_only_on_seed_and_step() -> None:
    many, one = Streams([4, 9, 4], 50, 8, 3), Streams([9], 50, 8, 3)
    assert many.member_stream.tolist() == [0, 1, 0]
    for step in (17, 3, 17):
        assert torch.equal(many.batch(step)[1], one.batch(step)[0])
        assert torch.equal(many.noise(step)[1], one.noise(step)[0])
    assert not torch.equal(one.noise(1), one.noise(2))


def test_every_image_is_seen_equally_often_whatever_the_batch_size() -> None:
    streams = Streams([0], n_train=10, batch_size=4, latent_dim=1)
    seen = torch.cat([streams.batch(step)[0] for step in range(15)])
    assert torch.bincount(seen, minlength=10).tolist() == [6] * 10
    passes = seen.view(6, 10)
    assert (passes.sort(1).values == torch.arange(10)).all()
    assert not torch.equal(passes[0], passes[1])


def test_a_batch_may_be_larger_than_the_training_set() -> None:
    assert torch.bincount(Streams([0], 3, 7, 1).batch(2)[0], minlength=3).min() >= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, r"seeds is \[\]; give an integer from 0 to 2\*\*64 - 1 for each member"),
        ({"seeds": [0, -1]}, r"seeds is \[0, -1\]"),
        ({"seeds": [2**64]}, "seeds is"),
        ({"seeds": [0.5]}, "seeds is"),
        ({"n_train": 0}, "n_train is 0; give a positive integer"),
        ({"batch_size": -5}, "batch_size is -5"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"latent_dim": True}, "latent_dim is True"),
    ],
    ids=str,
)
def test_impossible_streams_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    arguments = {"seeds": [0], "n_train": 10, "batch_size": 4, "latent_dim": 2} | changes
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(Streams.__init__)(object.__new__(Streams), **arguments)
