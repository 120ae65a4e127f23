"""Architectures as values, and the networks that they build."""

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch

from ratereg.models import MLP, VAE, Convolutional, Network

SHAPE = (3, 8, 12)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize(
    ("network", "name", "layers", "width", "label"),
    [
        (MLP(3, 64, 5), "mlp", 3, 64, "3 x 64"),
        (MLP(layers=6, width=8, latent_dim=5), "mlp", 6, 8, "6 x 8"),
        (MLP(0, latent_dim=5), "mlp", 0, 512, "linear"),
        (MLP(hidden=(40, 20, 10), latent_dim=5), "mlp", 3, 40, "40-20-10"),
        (MLP(encoder=(16,), decoder=(16, 32), latent_dim=5), "mlp", 1, 16, "16 / 16-32"),
        (MLP(encoder=(), decoder=(16,), latent_dim=5), "mlp", 0, 512, "linear / 16"),
        (Convolutional(16, 5), "convolutional", 2, 16, "convolutional 16"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_a_network_tells_the_tables_columns_and_maps_flat_pixels_to_latents_and_back(
    network: Network, name: str, layers: int, width: int, label: str
) -> None:
    assert isinstance(network, Network)
    assert (network.name, network.layers, network.width, network.latent_dim) == (name, layers, width, 5)
    assert network.label == label
    encoder = network.build_encoder(SHAPE, generators(0, 1))
    decoder = network.build_decoder(SHAPE, generators(0, 1))
    assert encoder(torch.rand(2, 7, 288)).shape == (2, 7, 10)
    assert decoder(torch.randn(2, 7, 5)).shape == (2, 7, 288)


@pytest.mark.parametrize(
    ("network", "encoder", "decoder"),
    [
        (MLP(layers=2, width=16, latent_dim=3), [(288, 16), (16, 16), (16, 6)], [(3, 16), (16, 16), (16, 288)]),
        (MLP(hidden=(40, 20), latent_dim=3), [(288, 40), (40, 20), (20, 6)], [(3, 20), (20, 40), (40, 288)]),
        (MLP(encoder=(40,), decoder=(7, 9), latent_dim=3), [(288, 40), (40, 6)], [(3, 7), (7, 9), (9, 288)]),
        (
            Convolutional(width=8, latent_dim=3),
            [(8, 3, 4, 4), (16, 8, 4, 4), (96, 256), (256, 6)],
            [(3, 256), (256, 96), (16, 8, 4, 4), (8, 3, 4, 4)],
        ),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_a_network_has_the_layers_asked_for(network: Network, encoder: list[Any], decoder: list[Any]) -> None:
    built = network.build_encoder(SHAPE, generators(0)), network.build_decoder(SHAPE, generators(0))
    for side, shapes in zip(built, (encoder, decoder), strict=True):
        weights = [weight for name, weight in side.named_parameters() if name.endswith("weight")]
        assert [tuple(weight.shape[1:]) for weight in weights] == shapes


@pytest.mark.parametrize(
    "equal",
    [
        (MLP(), MLP(1), MLP(hidden=(512,)), MLP(hidden=[512]), MLP(encoder=(512,), decoder=(512,)), MLP(decoder=[512])),
        (MLP(2, 64), MLP(hidden=(64, 64)), MLP(encoder=(64, 64)), MLP(encoder=(64, 64), decoder=(64, 64))),
        (MLP(hidden=(40, 20)), MLP(encoder=(40, 20)), MLP(encoder=(40, 20), decoder=(20, 40)), MLP(decoder=(20, 40))),
        (MLP(0), MLP(hidden=()), MLP(encoder=(), decoder=())),
        (Convolutional(), Convolutional(32)),
    ],
    ids=lambda networks: networks[0].label,
)
def test_equal_architectures_are_equal_however_they_are_given(equal: tuple[Any, ...]) -> None:
    assert len(set(equal)) == 1
    assert len({repr(one) for one in equal}) == 1
    assert eval(repr(equal[0])) == equal[0]


def test_other_architectures_are_not_equal() -> None:
    different = [MLP(), MLP(2), MLP(width=32), MLP(latent_dim=2), MLP(hidden=(512, 256)), MLP(hidden=(256, 512))]
    different += [MLP(encoder=(512, 256), decoder=(512, 256)), MLP(0), Convolutional(), Convolutional(16)]
    assert len(set(different)) == len(different)


def test_a_field_may_be_replaced() -> None:
    assert replace(MLP(hidden=(40, 20)), latent_dim=2) == MLP(hidden=(40, 20), latent_dim=2)
    assert replace(MLP(2, 64), layers=3) == MLP(3, 64)


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        (MLP, {"layers": -1}, "MLP: layers is -1"),
        (MLP, {"layers": True}, "layers is True"),
        (MLP, {"width": 0}, "width is 0"),
        (MLP, {"latent_dim": 2.0}, "latent_dim is 2.0"),
        (MLP, {"hidden": (40, 0)}, r"hidden\[1\] is 0"),
        (MLP, {"hidden": 40}, "hidden is 40; give the units of each hidden layer"),
        (MLP, {"decoder": "40"}, "decoder is '40'"),
        (MLP, {"hidden": (40,), "encoder": (40,)}, "'hidden': .*'encoder': .*contradict each other"),
        (MLP, {"hidden": (40, 20), "layers": 3}, "'layers': 3, .*contradict each other"),
        (MLP, {"hidden": (40, 20), "width": 20}, "'width': 20} contradict each other"),
        (Convolutional, {"width": 0}, "Convolutional: width is 0"),
        (Convolutional, {"latent_dim": True}, "latent_dim is True"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused_by_name(network: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(network.__init__)(object.__new__(network), **settings)


@pytest.mark.parametrize(
    "network", [MLP(2, 16, 3), MLP(encoder=(8,), decoder=(8, 12), latent_dim=3), Convolutional(4, 3)]
)
def test_initial_weights_depend_on_the_seed_and_not_on_the_position_nor_on_torchs_defaults(network: Network) -> None:
    many = VAE(network, (1, 4, 4), seeds=[3, 5, 3])
    torch.set_default_dtype(torch.float64)
    try:
        few = VAE(network, (1, 4, 4), seeds=[5])
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(many.parameters(), few.parameters(), strict=True):
        assert torch.equal(a[0], a[2])
        assert torch.equal(a[1], b[0])
        assert not torch.equal(a[0], a[1])
    with torch.device("meta"):
        assert VAE(network, (1, 4, 4), seeds=[5]).device.type == "meta"


def test_initial_weights_are_those_of_earlier_versions() -> None:
    vae = VAE(MLP(1, 16, 2), (1, 2, 2), seeds=[7])
    generator = torch.Generator().manual_seed(7)
    for name, fan_in in (
        ("encoder.layers.0", 4),
        ("encoder.layers.1", 16),
        ("decoder.layers.0", 2),
        ("decoder.layers.1", 16),
    ):
        for part in ("weight", "bias"):
            parameter = vae.get_parameter(f"{name}.{part}")
            bound = fan_in**-0.5
            drawn = torch.empty(parameter.shape[1:]).uniform_(-bound, bound, generator=generator)
            assert torch.equal(parameter[0], drawn)


@pytest.mark.parametrize(
    "network", [MLP(1, 16, 3), MLP(3, 16, 3), MLP(0, latent_dim=3), MLP(encoder=(8,), decoder=(8, 9, 7))]
)
def test_every_parameter_of_every_member_gets_a_gradient(network: Network) -> None:
    vae = VAE(network, (3, 4, 4), seeds=[0, 1])
    distortion, rate = vae(torch.rand(2, 8, 48), torch.randn(2, 8, network.latent_dim))
    assert distortion.shape == rate.shape == (2, 8)
    (distortion + rate).sum().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all(), name
