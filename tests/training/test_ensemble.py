"""A member trains as it would alone, whatever the other members are."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from ratereg.models import MLP, VAE, Convolutional
from ratereg.storage import load_checkpoint, save_checkpoint
from ratereg.training import Precision, Trainer, best_precision

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
) -> Trainer:
    vae = VAE(network or MLP(2, 24, 5), PIXELS, seeds)
    rows = torch.arange(200)
    return Trainer(vae, images, rows, betas=betas, seeds=seeds, batch_size=batch_size, precision=precision)


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
    betas = [1.0, 1e39, 1.0]
    together, alone = trainer(images, betas, [0, 0, 1], precision=precision), trainer(images, [1.0], [0])
    together.advance(3)
    state = together.state()
    # The second member's loss is infinite from the start, the third's variances overflow from here on.
    state["weights/encoder.layers.2.bias"][2] = 1e4
    together.load_state(state)
    frozen = state_of(1, together), state_of(2, together)
    together.advance(8)
    assert together.diverged_at.tolist() == [-1, 1, 4]
    for member, before in zip((1, 2), frozen, strict=True):
        for name, value in state_of(member, together).items():
            assert torch.equal(value, before[name]), name
            assert torch.isfinite(value).all(), name
    if precision == "float32":
        alone.advance(8)
        for name, value in state_of(0, alone).items():
            torch.testing.assert_close(value, state_of(0, together)[name], rtol=1e-3, atol=1e-5, msg=name)


def test_training_lowers_the_loss(images: Tensor) -> None:
    ensemble = trainer(images, [1.0, 0.1], [0, 0])
    ensemble.advance(5)
    before = ensemble.distortion + ensemble.betas * ensemble.rate
    ensemble.advance(200)
    assert (ensemble.distortion + ensemble.betas * ensemble.rate < before).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_goes_on_from_its_state_to_the_bit(images: Tensor, tmp_path, precision: Precision) -> None:
    straight = trainer(images, [1.0, 0.1], [0, 3], precision=precision)
    straight.advance(20)
    save_checkpoint(tmp_path / "state", straight.state(), {"rows": [1.5]})
    straight.advance(40)
    resumed = trainer(images, [1.0, 0.1], [0, 3], precision=precision)
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


def test_wrong_lengths_are_refused_by_name(images: Tensor) -> None:
    vae = VAE(MLP(1, 8, 2), PIXELS, [0, 1])
    with pytest.raises(ValueError, match="betas has 1 entries for 2 members"):
        Trainer(vae, images, torch.arange(9), betas=[1.0], seeds=[0, 1])
    with pytest.raises(ValueError, match="train is empty"):
        Trainer(vae, images, torch.arange(0), betas=[1.0, 1.0], seeds=[0, 1])
