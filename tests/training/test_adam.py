"""The optimizer against torch's, by each of its programs, and what holds for every member on its own."""

import functools
import inspect
import math
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ratereg.native import load
from ratereg.storage import load_checkpoint, save_checkpoint
from ratereg.training import adam
from ratereg.training.adam import Adam

# Of a single number, of less than a vector, with a rest, and of more than a thread takes at a time.
SHAPES = {"one": (1,), "few": (1, 7), "rest": (5, 13), "many": (2, 10_001)}


@pytest.fixture(params=["kernel", "torch"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return request.param


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


compiled = adam._compiled


def use(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if program == "torch":
        # The program for GPUs, without the compiler behind it.
        monkeypatch.setattr(Adam, "_on_cpu", property(lambda _: False, lambda *_: None), raising=False)
        monkeypatch.setattr(adam, "_compiled", lambda program: program)
    monkeypatch.setenv("RATEREG_KERNEL", "1" if program == "kernel" else "0")
    if program == "kernel" and load(adam._SOURCE, adam._declare) is None:
        pytest.skip("there is no C compiler here")


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
        self.working = {name: weight.bfloat16() for name, weight in self.weights.items()} if narrow else None
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
        copies = {f"working/{name}": copy for name, copy in (self.working or {}).items()}
        return self.weights | copies | self.adam.state()


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.usefixtures("program")
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


def test_the_kernel_is_the_program_in_torch_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {}
    for program in ("kernel", "torch"):
        use(program, monkeypatch)
        states[program] = Trained(4).run(0, 1).everything()
    for name, value in states["kernel"].items():
        if value.dtype == torch.float32:
            # The step itself, of 1e-2 at most, is right to a few units in its last place.
            torch.testing.assert_close(value, states["torch"][name], rtol=3e-7, atol=3e-9)


@pytest.mark.usefixtures("program")
def test_the_working_copy_is_the_weight_rounded_to_nearest() -> None:
    trained = Trained(3).run(0, 5)
    assert trained.working is not None
    for name, copy in trained.working.items():
        assert torch.equal(copy, trained.weights[name].bfloat16())


@pytest.mark.usefixtures("program")
def test_ties_are_rounded_to_even_and_what_is_no_number_stays_so() -> None:
    # With no step to make, the weights are only rounded: halfway between neighbors, beyond the largest, and specials.
    values = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 3.4e38, math.inf, -math.inf, math.nan, 0.0, -0.0]
    weights = {"w": torch.tensor([values])}
    working = {"w": torch.zeros(1, len(values), dtype=torch.bfloat16)}
    optimizer = Adam(weights, working, learning_rate=0.0)
    optimizer.step([torch.zeros(1, len(values), dtype=torch.bfloat16)], torch.tensor([True]))
    expected = torch.tensor([values]).bfloat16()
    assert expected[0, :4].tolist() == [1, 1 + 2**-6, -1, math.inf]
    torch.testing.assert_close(working["w"], expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("program", "threads")
@pytest.mark.parametrize("narrow", [False, True])
def test_a_member_moves_as_alone_to_the_bit_wherever_it_lies(narrow: bool) -> None:
    together = Trained(5, narrow).run(0, 4).everything()
    alone = Trained(2, narrow).run(0, 4).everything()
    for name, value in alone.items():
        assert torch.equal(together[name][:2] if value.ndim else together[name], value), name


@pytest.mark.usefixtures("program")
def test_an_element_is_rounded_the_same_at_every_place_in_its_parameter() -> None:
    values, gradients = draw(1)["rest"].flatten()[:, None], draw(1, seed=1)["rest"].flatten()[:, None].bfloat16()
    # Each row is one value, repeated over vectors and what is left over.
    weights = {"w": values.repeat(1, 83)}
    optimizer = Adam(weights, {"w": weights["w"].bfloat16()}, learning_rate=1e-2)
    for _ in range(3):
        optimizer.step([gradients.repeat(1, 83)], torch.ones(len(values), dtype=torch.bool))
    for tensor in (weights["w"], optimizer.state()["adam/exp_avg/w"], optimizer.state()["adam/exp_avg_sq/w"]):
        assert (tensor == tensor[:, :1]).all()


@pytest.mark.parametrize("narrow", [False, True])
def test_without_a_compiler_the_processors_steps_are_those_of_the_kernel_to_rounding(
    narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("kernel", monkeypatch)
    by_kernel = Trained(4, narrow)
    by_kernel.active[2] = False
    expected = by_kernel.run(0, 6).everything()
    monkeypatch.setenv("RATEREG_KERNEL", "0")
    plain, alone = Trained(4, narrow), Trained(1, narrow)
    plain.active[2] = False
    before = {name: value[2].clone() for name, value in plain.everything().items() if value.ndim > 0}
    for name, value in plain.run(0, 6).everything().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-2 if "working" in name else 1e-5, atol=1e-6, msg=name)
        if value.ndim > 0:
            assert torch.equal(value[2], before[name]), name
    alone.run(0, 6)
    for name, value in alone.everything().items():
        assert torch.equal(value, plain.everything()[name] if value.ndim == 0 else plain.everything()[name][:1]), name


@pytest.mark.usefixtures("program", "threads")
def test_the_number_of_threads_changes_nothing() -> None:
    several = Trained(4).run(0, 4).everything()
    torch.set_num_threads(1)
    assert_same(Trained(4).run(0, 4).everything(), several)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1.0])
def test_frozen_members_stay_to_the_bit_and_the_others_do_not_notice(bad: float, narrow: bool) -> None:
    trained, free = Trained(4, narrow).run(0, 3), Trained(4, narrow).run(0, 3)
    # Copies that are not the rounded weights show whether they are written.
    if trained.working is not None:
        trained.working["rest"][1] = 7
    before = {name: value.clone() for name, value in trained.everything().items()}
    trained.active = torch.tensor([True, False, True, False])
    for step in range(3, 6):
        gradients = trained.gradients(step)
        for gradient in gradients:
            gradient[~trained.active] = bad
        trained.adam.step(gradients, trained.active)
    free.run(3, 6)
    for name, value in trained.everything().items():
        if value.ndim:
            assert torch.equal(value[~trained.active], before[name][~trained.active]), name
            assert torch.equal(value[trained.active], free.everything()[name][trained.active]), name
    assert trained.adam.state()["adam/step"] == 6


@pytest.mark.usefixtures("program")
def test_a_run_goes_on_from_its_state_to_the_bit_in_the_same_memory(tmp_path: Path) -> None:
    whole = Trained(3).run(0, 7)
    half = Trained(3).run(0, 4)
    save_checkpoint(tmp_path / "half", half.adam.state(), {})
    loaded = load_checkpoint(tmp_path / "half")
    assert loaded is not None
    rest = Trained(3).run(10, 12)
    addresses = [value.data_ptr() for value in rest.adam.state().values()]
    rest.adam.load_state(loaded[0])
    for name, weight in rest.weights.items():
        weight.copy_(half.weights[name])
    rest.run(4, 7)
    assert_same(rest.everything(), whole.everything())
    assert [value.data_ptr() for value in rest.adam.state().values()] == addresses


@pytest.mark.usefixtures("program")
def test_gradients_may_lie_in_memory_as_autograd_leaves_them() -> None:
    weights = {"w": torch.zeros(2, 3, 5)}
    optimizer, active = Adam(weights, None, learning_rate=0.1), torch.tensor([True, True, False, False])[::2]
    optimizer.step([torch.arange(2.0)[:, None, None].expand(2, 3, 5)], active)
    assert (weights["w"] == 0).all()
    optimizer.step([torch.randn(5, 3, 2).permute(2, 1, 0)], torch.tensor([True, True]))
    assert (weights["w"] != 0).all()


def test_the_processors_way_with_subnormals_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    use("kernel", monkeypatch)
    Trained(2).run(0, 1)
    assert torch.tensor(1e-40) * 1 != 0


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="subnormals are as fast as others there")
def test_moments_that_vanish_do_so_without_subnormals(monkeypatch: pytest.MonkeyPatch) -> None:
    use("kernel", monkeypatch)
    optimizer = Adam({"w": torch.ones(1, 40)}, None, learning_rate=1e-3)
    moments = [optimizer.state()[f"adam/{moment}/w"].fill_(1.1755e-38) for moment in ("exp_avg", "exp_avg_sq")]
    optimizer.step([torch.zeros(1, 40)], torch.tensor([True]))
    assert all(((moment == 0) | (moment >= torch.finfo(torch.float32).tiny)).all() for moment in moments)
    assert (moments[1] == 0).all()


def test_more_ensembles_than_torch_compiles_of_one_function_compile_as_one_graph_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The graph is traced as for a GPU, without the compiler behind it. Failing is a warning, and so an error here.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    use("torch", monkeypatch)
    for members in range(1, 10):
        plain, in_one_graph = Trained(members), Trained(members)
        in_one_graph.adam._update = compiled(adam._update)
        assert_same(in_one_graph.run(0, 2).everything(), plain.run(0, 2).everything())


def test_where_compiling_fails_the_same_steps_are_made_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda program, **_: fails)
    use("torch", monkeypatch)
    trained = Trained(2)
    trained.adam._update = compiled(adam._update)
    with pytest.warns(UserWarning, match="slower.*no compiler"):
        trained.run(0, 1)
    assert_same(trained.run(1, 3).everything(), Trained(2).run(0, 3).everything())


def test_an_error_after_the_first_step_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([None, RuntimeError("device lost")])

    def once(*arguments: object) -> None:
        if error := next(calls):
            raise error

    monkeypatch.setattr(torch, "compile", lambda program, **_: once)
    run = compiled(adam._update)
    run()
    with pytest.raises(RuntimeError, match="device lost"):
        run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"decay": (0.9, 1.0)}, r"decay\[1\] is 1.0"),
        ({"epsilon": math.inf}, "epsilon is inf"),
        ({"weights": {}}, "weights is empty"),
        ({"weights": {"w": torch.zeros(2, 3).double()}}, r"weights\['w'\] is torch.float64"),
        ({"weights": {"w": torch.zeros(3, 2).T}}, r"strides \(1, 2\)"),
        ({"weights": {"v": torch.zeros(3, 2), "w": torch.zeros(2, 3)}}, r"weights\['w'\] is .* give .* shape \(3, 3\)"),
        ({"working": {"v": torch.zeros(2, 3).bfloat16()}}, r"working names \['v'\]"),
        ({"working": {"w": torch.zeros(3, 3).bfloat16()}}, r"shape \(3, 3\)"),
        ({"working": {"w": torch.zeros(2, 3)}}, r"working\['w'\] is torch.float32"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, object], message: str) -> None:
    arguments = {"weights": {"w": torch.zeros(2, 3)}, "working": None, "learning_rate": 1e-3} | changes
    with pytest.raises(ValueError, match=message):
        Adam(**arguments)  # type: ignore[arg-type]


def test_gradients_and_states_that_do_not_fit_are_refused() -> None:
    trained = Trained(2)
    wide = [gradient.float() for gradient in trained.gradients(0)]
    step = inspect.unwrap(Adam.step)
    with pytest.raises(ValueError, match=r"gradient of one is torch\.float32"):
        step(trained.adam, wide, trained.active)
    with pytest.raises(ValueError, match=r"gradient of one is torch.bfloat16 of shape \(3, 1\)"):
        step(trained.adam, Trained(3).gradients(0), trained.active)
    for active in (torch.ones(3, dtype=torch.bool), torch.ones(2)):
        with pytest.raises(ValueError, match="bool for each of 2 members"):
            step(trained.adam, trained.gradients(0), active)
    with pytest.raises(ValueError, match="adam/step is missing"):
        trained.adam.load_state({})
    with pytest.raises(ValueError, match=r"adam/exp_avg/one is of shape \(3, 1\)"):
        trained.adam.load_state(Trained(3).adam.state())
