import pytest
import torch

from ratereg.models.networks import MLP, Convolutional, Network


@pytest.mark.parametrize(
    ("network", "name", "layers", "width"),
    [(MLP(3, 64, 5), "mlp", 3, 64), (Convolutional(16, 5), "convolutional", 2, 16)],
    ids=["mlp", "convolutional"],
)
def test_a_network_tells_the_tables_columns_and_maps_flat_pixels_to_latents_and_back(
    network: Network, name: str, layers: int, width: int
) -> None:
    assert isinstance(network, Network)
    assert (network.name, network.layers, network.width, network.latent_dim) == (name, layers, width, 5)
    shape, generators = (3, 8, 12), [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    encoder, decoder = network.encoder(shape, generators), network.decoder(shape, generators)
    assert encoder(torch.rand(2, 7, 288)).shape == (2, 7, 10)
    assert decoder(torch.randn(2, 7, 5)).shape == (2, 7, 288)


def test_an_mlp_sees_the_number_of_pixels_alone() -> None:
    flat, square = (
        MLP(1, 8, 2).encoder(shape, [torch.Generator().manual_seed(0)]) for shape in ((1, 1, 48), (3, 4, 4))
    )
    for a, b in zip(flat.parameters(), square.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_convolutional_network_has_the_channels_asked_for() -> None:
    network, generators = Convolutional(width=8, latent_dim=3), [torch.Generator().manual_seed(0)]
    shapes = [
        [tuple(parameter.shape[1:]) for name, parameter in built.named_parameters() if name.endswith("weight")]
        for built in (network.encoder((3, 32, 32), generators), network.decoder((3, 32, 32), generators))
    ]
    assert shapes == [
        [(8, 3, 4, 4), (16, 8, 4, 4), (1024, 256), (256, 6)],
        [(3, 256), (256, 1024), (16, 8, 4, 4), (8, 3, 4, 4)],
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "Convolutional: width is 0"),
        ({"latent_dim": True}, "latent_dim is True"),
    ],
    ids=str,
)
def test_impossible_convolutional_networks_are_refused_by_name(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Convolutional(**settings)


def test_networks_of_equal_settings_are_equal_and_of_other_kinds_are_not() -> None:
    assert len({MLP(), MLP(1), Convolutional(), Convolutional(32), MLP(width=32), Convolutional(16)}) == 4
