"""Convolutions of an ensemble are those of its members, computed either way, and train as an ensemble does."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ratereg.evaluation import distortion, encode
from ratereg.models import VAE, convolution
from ratereg.models.layers import EnsembleConv2d, EnsembleConvTranspose2d
from ratereg.models.networks import Convolutional
from ratereg.training import Precision, Trainer

SHAPES = [(1, 28, 28), (3, 32, 32)]
GEOMETRY: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}
LAYERS = [(EnsembleConv2d, nn.Conv2d), (EnsembleConvTranspose2d, nn.ConvTranspose2d)]


@pytest.fixture(params=["one by one", "products"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "runs_one_by_one", lambda device: request.param == "one by one")


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def images_of(shape: tuple[int, int, int]) -> Tensor:
    smooth = torch.rand(150, shape[0], 4, 4, generator=torch.Generator().manual_seed(7))
    return nn.functional.interpolate(smooth, shape[1:], mode="bilinear").mul(255).byte().flatten(1)


def trainer(
    images: Tensor,
    shape: tuple[int, int, int],
    betas: list[float],
    seeds: list[int],
    precision: Precision = "float32",
    width: int = 16,
) -> Trainer:
    vae = VAE(Convolutional(width, 4), shape, seeds)
    rows = torch.arange(100)
    return Trainer(vae, images, rows, betas=betas, seeds=seeds, batch_size=32, precision=precision)


def state_of(member: int, trained: Trainer) -> dict[str, Tensor]:
    return {name: value[member] for name, value in trained.state().items() if value.ndim > 1}


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize(("ours", "theirs"), LAYERS, ids=["convolution", "transposed"])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 6), (6, 1), (5, 3), (5, 7)])
def test_each_member_computes_and_differentiates_torchs_layer_of_its_weights(
    ours: Any, theirs: Any, inputs: int, outputs: int
) -> None:
    layer = ours(inputs, outputs, generators(0, 1, 2)).double()
    x = torch.randn(3, 4, 6, 10, inputs, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    grad = torch.randn_like(y)
    y.backward(grad)
    for member in range(3):
        oracle = theirs(inputs, outputs, **GEOMETRY).double()
        oracle.load_state_dict({name: value[member] for name, value in layer.state_dict().items()})
        x_alone = x.detach()[member].movedim(3, 1).requires_grad_()
        y_alone = oracle(x_alone)
        torch.testing.assert_close(y[member].movedim(3, 1), y_alone)
        y_alone.backward(grad[member].movedim(3, 1))
        torch.testing.assert_close(x.grad[member].movedim(3, 1), x_alone.grad)
        for name, parameter in oracle.named_parameters():
            torch.testing.assert_close(layer.get_parameter(name).grad[member], parameter.grad, msg=name)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("ours", [EnsembleConv2d, EnsembleConvTranspose2d])
@pytest.mark.parametrize("outputs", [1, 64])
def test_bfloat16_differs_from_float64_by_its_rounding(ours: Any, outputs: int) -> None:
    exact, rounded = (
        ours(32, outputs, generators(0, 1)).bfloat16().double(),
        ours(32, outputs, generators(0, 1)).bfloat16(),
    )
    x = torch.randn(2, 4, 6, 6, 32).bfloat16()
    y, y_exact = rounded(x), exact(x.double())
    assert y.dtype == torch.bfloat16
    grad = torch.randn_like(y)
    y.backward(grad)
    y_exact.backward(grad.double())
    for a, b in [(y, y_exact), *((rounded.get_parameter(n).grad, p.grad) for n, p in exact.named_parameters())]:
        assert (a.double() - b).norm() < 0.01 * b.norm()


@pytest.mark.parametrize(("ours", "theirs"), LAYERS, ids=["convolution", "transposed"])
def test_initial_weights_are_spread_as_torchs(ours: Any, theirs: Any) -> None:
    layer, oracle = ours(20, 40, generators(3)), theirs(20, 40, **GEOMETRY)
    for name, parameter in oracle.named_parameters():
        spread = layer.get_parameter(name)
        # Uniform draws: their largest is near the bound.
        assert spread[0].shape == parameter.shape
        torch.testing.assert_close(spread.abs().max(), parameter.abs().max(), rtol=0.25, atol=0)
    torch.testing.assert_close(layer.weight.std(), oracle.weight.std(), rtol=0.03, atol=0)
    assert layer.weight.mean().abs() < 0.03 * layer.weight.std()


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_vae_of_convolutions_takes_and_gives_flat_pixels_and_every_parameter_gets_a_gradient(
    shape: tuple[int, int, int],
) -> None:
    vae = VAE(Convolutional(4, 3), shape, [0, 1])
    pixels = shape[0] * shape[1] * shape[2]
    mean, log_var = vae.encode(torch.rand(1, 5, pixels))
    assert mean.shape == log_var.shape == (2, 5, 3)
    assert vae.decode(torch.randn(1, 7, 3)).shape == (2, 7, pixels)
    distortions, rate = vae(torch.rand(2, 5, pixels), torch.randn(2, 5, 3))
    (distortions + rate).sum().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.is_contiguous(), name
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all(), name


def test_flat_pixels_are_read_and_written_channels_first() -> None:
    shape = (3, 8, 12)
    vae = VAE(Convolutional(4, 3), shape, [0]).double()
    encoder, decoder = vae.encoder, vae.decoder
    x, z = torch.rand(1, 5, 3 * 8 * 12, dtype=torch.float64), torch.randn(1, 5, 3, dtype=torch.float64)
    layers = []
    for ours in (encoder.first, encoder.second, decoder.first, decoder.last):
        transposed = isinstance(ours, EnsembleConvTranspose2d)
        sizes = ours.weight.shape[1:3] if transposed else ours.weight.shape[1:3][::-1]
        layers.append((nn.ConvTranspose2d if transposed else nn.Conv2d)(*sizes, **GEOMETRY).double())
        layers[-1].load_state_dict({name: value[0] for name, value in ours.state_dict().items()})
    features = layers[1](layers[0](x[0].unflatten(1, shape)).relu()).relu()
    hidden = (features.movedim(1, 3).flatten(1) @ encoder.hidden.weight[0] + encoder.hidden.bias[0]).relu()
    torch.testing.assert_close(encoder(x)[0], hidden @ encoder.last.weight[0] + encoder.last.bias[0])
    hidden = (z[0] @ decoder.hidden.weight[0] + decoder.hidden.bias[0]).relu()
    features = (hidden @ decoder.spread.weight[0] + decoder.spread.bias[0]).relu()
    images = layers[3](layers[2](features.unflatten(1, (2, 3, 8)).movedim(3, 1)).relu())
    torch.testing.assert_close(decoder(z)[0], images.flatten(1))


@pytest.mark.parametrize("size", [(1, 30, 28), (1, 28, 30), (3, 2, 4), (1, 0, 4)])
def test_images_that_cannot_be_halved_twice_are_refused_by_shape(size: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"image_shape is \(.*multiples of 4"):
        VAE(Convolutional(4, 3), size, [0])


@pytest.mark.usefixtures("one_thread", "either_way")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_member_trains_as_alone_to_the_bit_with_one_thread(shape: tuple[int, int, int], precision: Precision) -> None:
    images, betas, seeds = images_of(shape), [1.0, 0.01, 5.0], [0, 0, 2]
    together = trainer(images, shape, betas, seeds, precision)
    together.advance(5)
    for member in range(3):
        single = trainer(images, shape, [betas[member]], [seeds[member]], precision)
        single.advance(5)
        for name, value in state_of(0, single).items():
            assert torch.equal(value, state_of(member, together)[name]), name


@pytest.mark.usefixtures("either_way")
def test_a_member_trains_as_alone_to_rounding_with_any_threads() -> None:
    shape = (1, 28, 28)
    images = images_of(shape)
    together, single = trainer(images, shape, [1.0, 0.1], [0, 1]), trainer(images, shape, [0.1], [1])
    together.advance(5)
    single.advance(5)
    for name, value in state_of(0, single).items():
        torch.testing.assert_close(value, state_of(1, together)[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_lowers_the_loss(precision: Precision) -> None:
    shape = (1, 28, 28)
    ensemble = trainer(images_of(shape), shape, [1.0, 0.1], [0, 0], precision, width=8)
    ensemble.advance(3)
    before = ensemble.distortion + ensemble.betas * ensemble.rate
    ensemble.advance(40)
    assert (ensemble.distortion + ensemble.betas * ensemble.rate < before).all()


def test_evaluation_measures_convolutional_networks() -> None:
    images, rows = images_of((3, 32, 32)), torch.arange(100)
    vae = VAE(Convolutional(4, 3), (3, 32, 32), [0, 1])
    encodings = encode(vae, images, rows, batch_size=32)
    assert encodings.mean.shape == (2, 100, 3)
    mean, error = distortion(vae, images, rows, encodings, torch.Generator().manual_seed(0), population=100)
    with torch.no_grad():
        x = images[rows].float().div(255).unsqueeze(0)
        torch.testing.assert_close(encodings.mean, vae.encode(x)[0])
        once = vae.likelihood.distortion(vae.decode(encodings.mean), x).double().mean(1)
    assert torch.isfinite(error).all()
    torch.testing.assert_close(mean, once, rtol=0.05, atol=0)
