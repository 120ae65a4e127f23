"""The optimizer against torch's, and what holds for every member on its own."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from ratereg.training.adam import Adam

# Of a single number, of less than a vector, with a rest, and of many vectors.
SHAPES = {"one": (1,), "few": (1, 7), "rest": (5, 13), "many": (2, 10_001)}


@pytest.fixture(params=["processor", "gpu"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way that is taken on a GPU is taken here too: one call for all members, or none where one is frozen."""
    if request.param == "gpu":
        monkeypatch.setattr(Adam, "_together", property(lambda _: True, lambda *_: None), raising=False)
    return request.param


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def draw(members: int, seed: int = 0) -> dict[str, Tensor]:
    """Draw a tensor of each shape, with sizes over many powers of two; a member's are its own whoever else there is."""
    values: dict[str, list[Tensor]] = {name: [] for name in SHAPES}
    for member in range(members):
        generator = torch.Generator().manual_seed(1000 * seed + member)
        for name, shape in SHAPES.items():
            size = torch.exp(3 * torch.randn(shape, generator=generator))
            values[name].append(size * torch.randn(shape, generator=generator))
    return {name: torch.stack(value) for name, value in values.items()}


class Trained:
    """An optimizer with what it trains, over steps with gradients drawn for each."""

    def __init__(self, members: int, narrow: bool = True, **settings: float) -> None:
        self.weights = draw(members)
        self.working = [weight.bfloat16() for weight in self.weights.values()] if narrow else None
        self.adam = Adam(self.weights, self.working, learning_rate=settings.get("learning_rate", 1e-2))
        self.active = torch.ones(members, dtype=torch.bool)

    def gradients(self, step: int) -> list[Tensor]:
        drawn = draw(len(self.active), seed=1 + step).values()
        return [gradient if self.working is None else gradient.bfloat16() for gradient in drawn]

    def run(self, start: int, stop: int) -> "Trained":
        for step in range(start, stop):
            self.adam.step(self.gradients(step), self.active)
        return self

    def everything(self) -> dict[str, Tensor]:
        copies = {f"working/{name}": copy for name, copy in zip(self.weights, self.working or [], strict=False)}
        return self.weights | copies | self.adam.state()


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_steps_are_those_of_torchs_adam(narrow: bool, dtype: torch.dtype) -> None:
    mine = Trained(3, narrow)
    theirs = [torch.nn.Parameter(weight.to(dtype)) for weight in draw(3).values()]
    optimizer = torch.optim.Adam(theirs, lr=1e-2, foreach=False)
    for step in range(60):
        for parameter, gradient in zip(theirs, mine.gradients(step), strict=True):
            parameter.grad = gradient.to(dtype)
        optimizer.step()
    mine.run(0, 60)
    for (name, weight), parameter in zip(mine.weights.items(), theirs, strict=True):
        # A weight moved by 60 hundredths at most; the rest is float32's rounding of the weight itself.
        torch.testing.assert_close(weight.to(dtype), parameter.data, rtol=2e-6, atol=3e-6)
        moments, state = mine.adam.state(), optimizer.state[parameter]
        assert moments["adam/step"] == state["step"]
        square = moments[f"adam/exp_avg_sq/{name}"].to(dtype)
        torch.testing.assert_close(square, state["exp_avg_sq"], rtol=1e-5, atol=0)
        # A mean is as exact as its gradients are large.
        error = moments[f"adam/exp_avg/{name}"].to(dtype) - state["exp_avg"]
        assert (error.abs() <= 1e-5 * square.sqrt()).all()


@pytest.mark.usefixtures("device")
def test_the_working_copy_is_the_weight_rounded_to_nearest() -> None:
    trained = Trained(3).run(0, 5)
    for copy, weight in zip(trained.working or [], trained.weights.values(), strict=True):
        assert torch.equal(copy, weight.bfloat16())


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("narrow", [False, True])
def test_a_member_moves_as_alone_to_the_bit_wherever_it_lies(narrow: bool) -> None:
    together = Trained(5, narrow).run(0, 4).everything()
    alone = Trained(2, narrow).run(0, 4).everything()
    for name, value in alone.items():
        assert torch.equal(together[name][:2] if value.ndim else together[name], value), name


@pytest.mark.usefixtures("device", "threads")
def test_the_number_of_threads_changes_nothing() -> None:
    several = Trained(4).run(0, 4).everything()
    torch.set_num_threads(1)
    for name, value in Trained(4).run(0, 4).everything().items():
        assert torch.equal(value, several[name]), name


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    ("bad", "active"),
    [*((bad, [True, False, True, False]) for bad in (math.nan, math.inf, 1.0)), (1.0, [False] * 4)],
)
def test_frozen_members_stay_to_the_bit_and_the_others_do_not_notice(
    bad: float, active: list[bool], narrow: bool, device: str
) -> None:
    trained, free = Trained(4, narrow).run(0, 3), Trained(4, narrow).run(0, 3)
    before = {name: value.clone() for name, value in trained.everything().items()}
    trained.active = torch.tensor(active)
    for step in range(3, 6):
        gradients = trained.gradients(step)
        for gradient in gradients:
            gradient[~trained.active] = bad
        trained.adam.step(gradients, trained.active)
    free.run(3, 6)
    for name, value in trained.everything().items():
        if value.ndim == 0:
            continue
        assert torch.equal(value[~trained.active], before[name][~trained.active]), name
        ours, theirs = value[trained.active], free.everything()[name][trained.active]
        # With one call for all members, torch rounds the end of a tensor otherwise.
        assert torch.equal(ours, theirs) or device == "gpu", name
        torch.testing.assert_close(ours, theirs, rtol=1e-2 if "working" in name else 1e-6, atol=1e-7)
    assert trained.adam.state()["adam/step"] == 6


@pytest.mark.usefixtures("device")
def test_gradients_may_lie_in_memory_as_autograd_leaves_them() -> None:
    values = torch.randn(5, 3, 2)
    results = []
    for gradient in (values.permute(2, 1, 0), values.permute(2, 1, 0).contiguous()):
        weights = {"w": torch.zeros(2, 3, 5)}
        active = torch.tensor([True, True, False, False])[::2]
        optimizer = Adam(weights, None, learning_rate=0.1)
        optimizer.step([gradient], torch.tensor([True, True]))
        optimizer.step([torch.arange(2.0)[:, None, None].expand(2, 3, 5)], active)
        results.append(weights["w"])
    assert torch.equal(*results)
    assert (results[0] != 0).all()
