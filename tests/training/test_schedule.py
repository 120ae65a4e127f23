"""Learning rates that fall and weights of the rate that rise: against torch's scheduler, and by hand."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from ratereg.models import MLP, VAE
from ratereg.training import Precision, Trainer
from ratereg.training.adam import Adam
from ratereg.training.schedule import schedule_factor, warm_up_factor

STEPS = 30


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_half_a_cosine_begins_at_one_falls_to_zero_and_stays_there(steps: int) -> None:
    values = [schedule_factor("cosine", torch.tensor(step), steps).item() for step in range(1, steps + 4)]
    assert values[0] == 1
    assert all(later < earlier for earlier, later in itertools.pairwise(values[: steps + 1]))
    assert values[steps:] == pytest.approx([0.0] * 3, abs=1e-15)
    expected = [(1 + math.cos(math.pi * k / steps)) / 2 for k in range(steps)]
    assert values[:steps] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("narrow", [False, True])
def test_steps_with_half_a_cosine_are_those_of_torchs_adam_with_its_scheduler(narrow: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(3, 5, 7, generator=generator)}
    parameter = torch.nn.Parameter(weights["w"].double())
    working = [weights["w"].bfloat16()] if narrow else None
    mine = Adam(weights, working, learning_rate=1e-2, schedule="cosine", steps=STEPS)
    theirs = torch.optim.Adam([parameter], lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, STEPS)
    for _ in range(STEPS):
        gradient = torch.randn(3, 5, 7, generator=generator)
        gradient = gradient.bfloat16() if narrow else gradient
        parameter.grad = gradient.double()
        theirs.step()
        scheduler.step()
        mine.step([gradient], torch.ones(3, dtype=torch.bool))
        torch.testing.assert_close(weights["w"].double(), parameter.data, rtol=2e-6, atol=3e-6)
    before = weights["w"].clone()
    # There is no rate left.
    mine.step([gradient], torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(weights["w"], before, rtol=0, atol=1e-9)


def trainer(schedule: str, steps: int | None = 12, precision: Precision = "float32", warm_up: int = 0) -> Trainer:
    pixels = torch.randint(256, (50, 48), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    vae = VAE(MLP(1, 16, 2), (3, 4, 4), seeds=[0, 1])
    options = {"betas": [1.0, 0.1], "seeds": [0, 1], "batch_size": 8, "schedule": schedule, "steps": steps}
    return Trainer(vae, pixels, torch.arange(40), precision=precision, warm_up=warm_up, **options)


def weights_of(trained: Trainer) -> Tensor:
    return torch.cat([value.flatten() for name, value in trained.state().items() if name.startswith("weights/")])


def test_a_longer_schedule_falls_more_slowly_from_the_same_start() -> None:
    short, long = trainer("cosine", steps=12), trainer("cosine", steps=24)
    for one in (short, long):
        one.advance(1)
    assert torch.equal(weights_of(short), weights_of(long))
    moved = []
    for one in (short, long):
        one.advance(11)
        before = weights_of(one)
        one.advance(12)
        moved.append((weights_of(one) - before).abs().mean())
    # The twelfth step has a factor of (1 + cos(11 pi / 12)) / 2 = 0.017, or of (1 + cos(11 pi / 24)) / 2 = 0.565.
    assert moved[0] / moved[1] == pytest.approx(0.03, rel=0.5)


def test_the_weight_of_the_rate_rises_linearly_from_zero() -> None:
    values = [warm_up_factor(torch.tensor(step), 4).item() for step in range(1, 8)]
    assert values == [0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert [warm_up_factor(torch.tensor(step), 0).item() for step in (1, 2)] == [1, 1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_that_warms_up_is_one_with_those_weights_of_the_rate(precision: Precision) -> None:
    warm = trainer("constant", precision=precision, warm_up=4)
    warm.advance(8)
    by_hand = trainer("constant", precision=precision)
    betas = by_hand.betas.clone()
    for step in range(8):
        by_hand.betas.copy_(betas * min(1, step / 4))
        by_hand.advance(step + 1)
    cold = trainer("constant", precision=precision)
    cold.advance(8)
    assert torch.equal(weights_of(warm), weights_of(by_hand))
    assert not torch.equal(weights_of(warm), weights_of(cold))
