"""Convolutions of an ensemble are those of its members."""

from typing import Any

import pytest
import torch
from torch import nn

from ratereg.models import VAE, Convolutional
from ratereg.models.convolution import EnsembleConv2d, EnsembleConvTranspose2d

GEOMETRY: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}
LAYERS = pytest.mark.parametrize(
    ("ours", "theirs"),
    [(EnsembleConv2d, nn.Conv2d), (EnsembleConvTranspose2d, nn.ConvTranspose2d)],
    ids=["convolution", "transposed"],
)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@LAYERS
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 6), (6, 1), (5, 7)])
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


@LAYERS
def test_initial_weights_are_spread_as_torchs(ours: Any, theirs: Any) -> None:
    layer, oracle = ours(20, 40, generators(3)), theirs(20, 40, **GEOMETRY)
    for name, parameter in oracle.named_parameters():
        spread = layer.get_parameter(name)
        # Uniform draws: their largest is near the bound.
        assert spread[0].shape == parameter.shape
        torch.testing.assert_close(spread.abs().max(), parameter.abs().max(), rtol=0.25, atol=0)
    torch.testing.assert_close(layer.weight.std(), oracle.weight.std(), rtol=0.03, atol=0)
    assert layer.weight.mean().abs() < 0.03 * layer.weight.std()


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


@pytest.mark.parametrize("shape", [(1, 30, 28), (1, 28, 30), (3, 2, 4)])
def test_images_that_cannot_be_halved_twice_are_refused_by_shape(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"image_shape is \(.*multiples of 4"):
        VAE(Convolutional(4, 3), shape, [0])
