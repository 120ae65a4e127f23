import pytest
import torch
from torch import Tensor

from ratereg.training import Streams
from ratereg.training.feed import Feed

PIXELS = torch.arange(60 * 4, dtype=torch.uint8).view(60, 4)
TRAIN = torch.arange(10, 50)


def feed(steps_ahead: int, seeds: list[int] | None = None, binarize: bool = False) -> Feed:
    streams = Streams(seeds or [3, 5, 3], len(TRAIN), 8, 2)
    return Feed(streams, PIXELS, TRAIN, binarize=binarize, steps_ahead=steps_ahead)


def fed(source: Feed, step: int) -> tuple[Tensor, Tensor]:
    source.provide(step)
    return source.next()


@pytest.mark.parametrize("binarize", [False, True])
def test_what_a_step_gets_does_not_depend_on_how_many_are_drawn_ahead(binarize: bool) -> None:
    one, many = feed(1, binarize=binarize), feed(7, binarize=binarize)
    for step in range(20):
        for ours, theirs in zip(fed(one, step), fed(many, step), strict=True):
            assert torch.equal(ours, theirs)


def test_steps_may_be_taken_in_any_order() -> None:
    source = feed(5)
    straight = [fed(feed(1), step) for step in range(12)]
    for step in [0, 1, 2, 2, 1, 9, 10, 4, 0, 11]:
        for ours, theirs in zip(fed(source, step), straight[step], strict=True):
            assert torch.equal(ours, theirs), step


def test_a_batch_holds_the_training_images_that_the_stream_names() -> None:
    source = feed(4)
    for step in range(6):
        x, noise = fed(source, step)
        rows = TRAIN[source.streams.batch(step)][[0, 1, 0]]
        assert torch.equal(x, PIXELS[rows].float() / 255)
        assert torch.equal(noise, source.streams.noise(step)[[0, 1, 0]])


def test_members_of_one_seed_share_one_batch() -> None:
    x, noise = fed(feed(4, seeds=[3, 3, 3]), 0)
    assert x.shape == (1, 8, 4)
    assert noise.shape == (1, 8, 2)
    ours, _ = fed(feed(4), 0)
    assert torch.equal(x[0], ours[0])


def test_floats_are_taken_as_they_are() -> None:
    streams = Streams([3, 5, 3], len(TRAIN), 8, 2)
    floats = Feed(streams, PIXELS.float() / 255, TRAIN, steps_ahead=4)
    assert torch.equal(fed(floats, 0)[0], fed(feed(4), 0)[0])
    halves = Feed(streams, torch.full((60, 4), 0.5, dtype=torch.bfloat16), TRAIN, steps_ahead=4)
    assert torch.equal(fed(halves, 0)[0], torch.full((3, 8, 4), 0.5))


def test_binary_images_are_white_as_often_as_their_gray_values_say() -> None:
    source = feed(4, binarize=True)
    drawn = torch.zeros(60, 4)
    seen = torch.zeros(60)
    for step in range(400):
        x, _ = fed(source, step)
        assert ((x == 0) | (x == 1)).all()
        rows = TRAIN[source.streams.batch(step)][0]
        drawn[rows] += x[0]
        seen[rows] += 1
    expected = PIXELS[TRAIN].float() / 255
    assert ((drawn[TRAIN] / seen[TRAIN, None] - expected).abs() < 5 * 0.5 / seen[TRAIN, None].sqrt()).all()
