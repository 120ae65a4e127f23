"""A member trains as it would alone, whatever the other members are, by Adam on its own loss."""

import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ratereg.models import MLP, VAE, Convolutional
from ratereg.storage import load_checkpoint, save_checkpoint
from ratereg.training import Precision, Streams, Trainer, best_precision

PIXELS = (3, 8, 8)


@pytest.fixture
def any_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def one_thread(any_threads: None) -> None:
    torch.set_num_threads(1)


@pytest.fixture
def images() -> Tensor:
    smooth = torch.rand(300, 3, 2, 2, generator=torch.Generator().manual_seed(7))
    return torch.nn.functional.interpolate(smooth, PIXELS[1:], mode="bilinear").mul(255).byte().flatten(1)


def trainer(
    images: Tensor,
    betas: list[float],
    seeds: list[int],
    network: MLP | Convolutional | None = None,
    precision: Precision = "float32",
    batch_size: int = 32,
    **settings: Any,
) -> Trainer:
    vae = VAE(network or MLP(2, 24, 5), PIXELS, seeds)
    rows = torch.arange(200)
    settings |= {"betas": betas, "seeds": seeds, "batch_size": batch_size, "precision": precision}
    return Trainer(vae, images, rows, **settings)


def state_of(member: int, trained: Trainer) -> dict[str, Tensor]:
    """Return weights and Adam's moments of one member."""
    return {name: value[member].clone() for name, value in trained.state().items() if value.ndim > 1}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("network", [MLP(1, 32, 4), MLP(2, 48, 10), MLP(3, 64, 2)], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_member_trains_as_alone_to_the_bit_with_one_thread(
    images: Tensor, network: MLP, precision: Precision
) -> None:
    betas, seeds = [1.0, 0.01, 1.0, 5.0], [0, 0, 1, 2]
    together = trainer(images, betas, seeds, network, precision)
    together.advance(25)
    for member in range(4):
        alone = trainer(images, [betas[member]], [seeds[member]], network, precision)
        alone.advance(25)
        for name, value in state_of(0, alone).items():
            assert torch.equal(value, state_of(member, together)[name]), name


@pytest.mark.parametrize("network", [MLP(2, 48, 10), Convolutional(width=16, latent_dim=4)], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_number_of_threads_changes_no_bit(
    images: Tensor, network: MLP | Convolutional, precision: Precision, any_threads: None
) -> None:
    states = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        trained = trainer(images, [1.0, 0.01, 1.0, 5.0, 0.3], [0, 0, 1, 2, 2], network, precision)
        trained.advance(12)
        states.append(trained.state())
        assert torch.get_num_threads() == threads
    for state in states[1:]:
        for name, value in states[0].items():
            assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_goes_on_with_another_number_of_threads(images: Tensor, precision: Precision, any_threads: None) -> None:
    betas, seeds = [1.0, 0.1, 0.3], [0, 3, 3]
    torch.set_num_threads(3)
    straight = trainer(images, betas, seeds, MLP(1, 32, 4), precision)
    straight.advance(10)
    torch.set_num_threads(2)
    resumed = trainer(images, betas, seeds, MLP(1, 32, 4), precision)
    resumed.load_state(straight.state())
    for one in (straight, resumed):
        one.advance(20)
    for name, value in straight.state().items():
        assert torch.equal(value, resumed.state()[name]), name


@pytest.mark.parametrize("network", [MLP(2, 48, 10), MLP(2, 24, 5), MLP(3, 17, 3)], ids=str)
def test_a_member_trains_as_alone_to_rounding_with_any_threads_and_width(images: Tensor, network: MLP) -> None:
    together, alone = trainer(images, [1.0, 0.1], [0, 1], network), trainer(images, [0.1], [1], network)
    together.advance(25)
    alone.advance(25)
    for name, value in state_of(0, alone).items():
        torch.testing.assert_close(value, state_of(1, together)[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_member_that_diverges_is_frozen_and_does_not_touch_the_others(images: Tensor, precision: Precision) -> None:
    betas, seeds = [1.0, 1e39, 1.0, 1.0], [0, 0, 1, 0]
    together, alone = trainer(images, betas, seeds, precision=precision), trainer(images, [1.0], [0])
    together.advance(3)
    state = together.state()
    # The second member's loss is infinite from the start, the third's variances overflow from here on, and the fourth's
    # are absurd, though all its losses are finite.
    state["weights/encoder.layers.2.bias"][2] = 1e4
    state["weights/encoder.layers.2.bias"][3, :, 5:] = -236_000
    together.load_state(state)
    frozen = [state_of(member, together) for member in (1, 2, 3)]
    together.advance(8)
    assert together.diverged_at.tolist() == [-1, 1, 4, 4]
    assert together.distortion[3].isfinite()
    for member, before in zip((1, 2, 3), frozen, strict=True):
        for name, value in state_of(member, together).items():
            assert torch.equal(value, before[name]), name
            assert torch.isfinite(value).all(), name
    if precision == "float32":
        alone.advance(8)
        for name, value in state_of(0, alone).items():
            torch.testing.assert_close(value, state_of(0, together)[name], rtol=1e-3, atol=1e-5, msg=name)


def test_a_learning_rate_that_is_far_too_large_makes_its_members_diverge_and_nothing_else(images: Tensor) -> None:
    vae = VAE(MLP(3, 64, 5), PIXELS, [0, 1, 2])
    wild = Trainer(vae, images, torch.arange(200), betas=[1.0] * 3, seeds=[0, 1, 2], batch_size=32, learning_rate=3.0)
    wild.advance(60)
    assert (wild.diverged_at > 0).any()
    for name, value in wild.state().items():
        assert value.isfinite().all(), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("settings", [{}, {"schedule": "cosine", "steps": 50, "warm_up": 30}], ids=str)
def test_a_run_goes_on_from_its_state_to_the_bit(
    images: Tensor, tmp_path: Path, precision: Precision, settings: dict[str, Any]
) -> None:
    straight = trainer(images, [1.0, 0.1], [0, 3], precision=precision, **settings)
    straight.advance(20)
    save_checkpoint(tmp_path / "state", straight.state(), {"rows": [1.5]})
    straight.advance(40)
    resumed = trainer(images, [1.0, 0.1], [0, 3], precision=precision, **settings)
    saved = load_checkpoint(tmp_path / "state")
    assert saved is not None
    assert saved[1] == {"rows": [1.5]}
    resumed.load_state(saved[0])
    assert resumed.step == 20
    resumed.advance(40)
    for name, value in straight.state().items():
        assert torch.equal(value, resumed.state()[name]), name


def test_training_leaves_the_processors_treatment_of_small_numbers_as_it_was(images: Tensor) -> None:
    torch.set_flush_denormal(False)
    trainer(images, [1.0], [0]).advance(2)
    assert torch.tensor(1e-40) != 0


def test_precision_is_chosen_by_asking_the_processor(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    for native, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda native=native: {"avx512_bf16": native})
        assert best_precision(torch.device("cpu")) == precision


def test_floats_in_the_unit_interval_train_as_the_bytes_they_come_from(images: Tensor) -> None:
    of_bytes, of_floats = trainer(images, [1.0, 0.1], [0, 1]), trainer(images.float() / 255, [1.0, 0.1], [0, 1])
    for one in (of_bytes, of_floats):
        one.advance(5)
    for name, value in of_bytes.state().items():
        assert torch.equal(value, of_floats.state()[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_torchs_defaults_change_no_bit(images: Tensor, precision: Precision) -> None:
    expected = trainer(images, [1.0, 0.1], [0, 1], precision=precision)
    expected.advance(5)
    torch.set_default_dtype(torch.float64)
    try:
        ours = trainer(images, [1.0, 0.1], [0, 1], precision=precision)
        torch.set_default_device("meta")
        ours.advance(5)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    for name, value in expected.state().items():
        assert torch.equal(value, ours.state()[name]), name


@pytest.mark.usefixtures("one_thread")
def test_a_state_of_earlier_versions_resumes_as_torchs_adam_would(images: Tensor) -> None:
    """The names and types are typed here by hand: checkpoints on disks have them."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"encoder.layers.0": (192, 16), "encoder.layers.1": (16, 4), "decoder.layers.0": (2, 16)}
    shapes |= {"decoder.layers.1": (16, 192)}
    state: dict[str, Tensor] = {"adam/step": torch.tensor(7), "step": torch.tensor(7)}
    for layer, (inputs, outputs) in shapes.items():
        for part, shape in (("weight", (2, inputs, outputs)), ("bias", (2, 1, outputs))):
            state[f"weights/{layer}.{part}"] = 0.1 * torch.randn(shape, generator=generator)
            state[f"adam/exp_avg/{layer}.{part}"] = torch.randn(shape, generator=generator)
            state[f"adam/exp_avg_sq/{layer}.{part}"] = torch.rand(shape, generator=generator)
    state["diverged_at"] = torch.tensor([-1, 3])
    resumed = trainer(images, [0.5, 0.5], [4, 5], MLP(1, 16, 2))
    assert {name: value.dtype for name, value in resumed.state().items()} == {
        name: value.dtype for name, value in state.items()
    }
    resumed.load_state(state)
    resumed.advance(9)

    oracle = VAE(MLP(1, 16, 2), PIXELS, [0])
    optimizer = torch.optim.Adam(oracle.parameters())
    for name, parameter in oracle.named_parameters():
        parameter.data.copy_(state[f"weights/{name}"][:1])
        optimizer.state[parameter] = {
            "step": torch.tensor(7.0),
            "exp_avg": state[f"adam/exp_avg/{name}"][:1].clone(),
            "exp_avg_sq": state[f"adam/exp_avg_sq/{name}"][:1].clone(),
        }
    streams = Streams([4], 200, 32, 2)
    for step in (7, 8):
        optimizer.zero_grad()
        distortion, rate = oracle(images[streams.batch(step)].float() / 255, streams.noise(step))
        (distortion + 0.5 * rate).mean().backward()
        optimizer.step()
    assert resumed.step == 9
    assert resumed.diverged_at.tolist() == [-1, 3]
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(resumed.vae.get_parameter(name)[:1], parameter, rtol=1e-5, atol=1e-6)
        assert torch.equal(resumed.vae.get_parameter(name)[1], state[f"weights/{name}"][1])


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(images: Tensor) -> None:
    one, other = trainer(images, [1.0], [0], MLP(1, 16, 2)), trainer(images, [1.0], [0], MLP(1, 24, 2))
    before = {name: value.clone() for name, value in one.state().items()}
    with pytest.raises(ValueError, match=r"load_state: weights/encoder.layers.0.weight is of shape \(1, 192, 24\)"):
        one.load_state(other.state())
    with pytest.raises(ValueError, match="load_state: adam/step is missing"):
        one.load_state({name: value + 1 for name, value in one.state().items() if name != "adam/step"})
    for name, value in before.items():
        assert torch.equal(one.state()[name], value), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"betas": [1.0]}, "betas has 1 entries for 2 members"),
        ({"seeds": [0, 1, 2]}, "seeds has 3 entries for 2 members"),
        ({"betas": [1.0, -0.1]}, "betas is .* give finite weights"),
        ({"betas": [1.0, math.nan]}, "betas is"),
        ({"betas": [math.inf, 1.0]}, "betas is"),
        ({"seeds": [0, -1]}, "seeds is .* give an integer from 0"),
        ({"batch_size": 0}, "batch_size is 0; give a positive integer"),
        ({"batch_size": -5}, "batch_size is -5"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"precision": "float64"}, "precision is 'float64'; give one of 'float32', 'bfloat16'"),
        ({"precision": "auto"}, "precision is 'auto'"),
        ({"schedule": "linear"}, "schedule is 'linear'"),
        ({"schedule": "cosine"}, "give steps"),
        ({"steps": 0}, "steps is 0"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"warm_up": 1.5}, "warm_up is 1.5"),
        ({"train": torch.arange(0)}, "train is empty"),
        ({"train": torch.arange(3).int()}, "give the rows of at least one image, int64"),
        ({"train": torch.tensor([0, 300])}, "train has rows from 0 to 300; give rows of the 300 images"),
        ({"train": torch.tensor([-1, 3])}, "train has rows from -1"),
        ({"pixels": torch.zeros(300, 191).byte()}, r"pixels has shape \(300, 191\) .* of 192 pixels"),
        ({"pixels": torch.zeros(300, 3, 8, 8).byte()}, "pixels has shape"),
        ({"pixels": torch.zeros(300, 192, dtype=torch.uint8, device="meta")}, "on meta; give flattened images"),
        ({"pixels": torch.full((300, 192), 255.0)}, r"pixels is torch.float32, not all in \[0, 1\]"),
        ({"pixels": torch.full((300, 192), math.nan)}, "pixels is torch.float32"),
        ({"pixels": torch.zeros(300, 192).int()}, "pixels is torch.int32"),
        ({"vae": VAE(MLP(1, 8, 2), PIXELS, [0, 1]).double()}, r"The weights encoder.* are torch.float64"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_impossible_trainings_are_refused_by_name(images: Tensor, changes: dict[str, Any], message: str) -> None:
    arguments = {"vae": VAE(MLP(1, 8, 2), PIXELS, [0, 1]), "pixels": images, "train": torch.arange(9)}
    arguments |= {"betas": [1.0, 1.0], "seeds": [0, 1], **changes}
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(Trainer.__init__)(object.__new__(Trainer), **arguments)
