"""Quadrature against closed forms and dense grids."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from bent import bent, images, log_evidence
from linear_gaussian import linear_gaussian, log_z
from ratereg.evaluation import LinearVAE, evidence_by_quadrature, quadrature
from ratereg.models import MLP, VAE, Gaussian, SingleModel


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("latent", [1, 2])
def test_linear_models_are_integrated_right_down_to_narrow_noise(latent: int, scale: float) -> None:
    linear = linear_gaussian(2, latent, pixels=8, scale=scale)
    generator = torch.Generator().manual_seed(6)
    z = torch.randn(2, 4, latent, generator=generator).double()
    x = linear.decode(z) + scale * torch.randn(2, 4, 8, generator=generator)
    result = evidence_by_quadrature(linear, x)
    difference = (result.per_image - log_z(linear, x)).abs()
    assert (difference < 1e-4).all()
    assert (result.error <= 1e-3).all()
    assert (difference <= result.error + 1e-9).all()
    assert result.quantity == "log-likelihood"


def line(scale: float) -> tuple[LinearVAE, Tensor]:
    """A model of one latent, and images along it."""
    linear = linear_gaussian(1, 1, pixels=8, scale=scale)
    return linear, linear.decode(torch.linspace(-2, 2, 5).double().view(1, -1, 1))[0]


def test_a_smaller_tolerance_gives_a_smaller_error() -> None:
    linear, x = line(0.1)
    result = evidence_by_quadrature(linear, x, tolerance=1e-9)
    torch.testing.assert_close(result.per_image, log_z(linear, x), rtol=0, atol=1e-9)


def test_where_the_tolerance_is_not_reached_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "_MOST_CELLS", 5)
    linear, x = line(0.01)
    result = evidence_by_quadrature(linear, x)
    difference = (result.per_image - log_z(linear, x)).abs()
    assert (result.error > 1e-2).all()
    assert (difference <= result.error).all()


@pytest.mark.parametrize("latent", [1, 2])
def test_nonlinear_models_agree_with_a_dense_grid(latent: int) -> None:
    vae, x = bent(latent), images(4)
    result = evidence_by_quadrature(vae, x)
    assert ((result.per_image - log_evidence(vae, x)).abs() < 1e-3).all()
    assert result.quantity == "pseudo-evidence"


def test_float32_models_reach_the_tolerance_too() -> None:
    vae, x = bent(2), images(3)
    exact = evidence_by_quadrature(vae, x).per_image
    result = evidence_by_quadrature(vae.float(), x.float())
    assert result.per_image.dtype == torch.float64
    torch.testing.assert_close(result.per_image, exact, rtol=0, atol=1e-3)


def needle(latent: int, place: float, width: float) -> SingleModel:
    """A decoder that is flat but for a spike, where the encoder says that it is."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.full((len(x), latent), place + width, dtype=x.dtype)
        return mean, torch.zeros_like(mean)

    def decode(z: Tensor) -> Tensor:
        return (-((z - place) / width).square().sum(1, keepdim=True) / 2).exp()

    return SingleModel(encode, decode, Gaussian(0.1))


# At 2 the spike lies on the border of cells.
@pytest.mark.parametrize("place", [2.0, -1.37])
@pytest.mark.parametrize("latent", [1, 2])
def test_a_spike_that_no_first_cell_sees_is_found_at_the_encoders_mean(latent: int, place: float) -> None:
    width = 3e-3
    result = evidence_by_quadrature(needle(latent, place, width), torch.ones(2, 1).double())
    along = place + width * torch.linspace(-12, 12, 1001).double()
    z = torch.cartesian_prod(*[along] * latent).view(-1, latent)
    fit = -Gaussian(0.1).distortion(
        needle(latent, place, width).decode(z.unsqueeze(0))[0], torch.ones(len(z), 1).double()
    )
    spike = (fit + Normal(0.0, 1.0).log_prob(z).sum(1)).logsumexp(0) + latent * math.log(24 * width / 1000)
    flat = Normal(0.0, 0.1).log_prob(torch.tensor(1.0).double())
    truth = torch.logaddexp(spike, flat)
    assert spike > flat + 20
    torch.testing.assert_close(result.per_image, truth.expand(1, 2), rtol=0, atol=1e-3)


def test_images_far_outside_the_prior_widen_the_grid() -> None:
    linear = linear_gaussian(1, 1, pixels=8, scale=0.05)
    x = linear.decode(torch.tensor([[[20.0], [-11.0]]]).double())[0]
    result = evidence_by_quadrature(linear, x)
    torch.testing.assert_close(result.per_image, log_z(linear, x), rtol=0, atol=1e-3)


def test_mass_at_the_border_is_part_of_the_error() -> None:
    linear = linear_gaussian(1, 1, pixels=8, scale=0.05)
    x = linear.decode(torch.tensor([[[20.0]]]).double())[0]
    blind = replace(linear, encoder_weight=0 * linear.encoder_weight, encoder_bias=torch.zeros(1, 1).double())
    assert (evidence_by_quadrature(blind, x).error > 0.1).all()


def test_images_and_batches_change_nothing_but_rounding_and_members_nothing_beyond_the_tolerance() -> None:
    vae, x = bent(1), images(9)
    whole = evidence_by_quadrature(vae, x)
    # Members share their cells, so that images of another member change which are halved.
    each = evidence_by_quadrature(vae, torch.stack([x[:3], x[3:6]]))
    assert ((each.per_image[1] - whole.per_image[1, 3:6]).abs() <= each.error[1] + whole.error[1, 3:6]).all()
    cut = evidence_by_quadrature(vae, x.flip(0)[3:], batch_size=30)
    torch.testing.assert_close(whole.per_image[:, :6], cut.per_image.flip(1), rtol=0, atol=1e-9)
    torch.testing.assert_close(whole.error[:, :6], cut.error.flip(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("latent", "arguments", "message"),
    [
        (3, {}, "model has 3 latents; quadrature takes one or two"),
        (1, {"tolerance": 0.0}, "tolerance is 0.0; give a positive number"),
        (1, {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_input_is_refused(latent: int, arguments: dict[str, object], message: str) -> None:
    vae = VAE(MLP(1, 8, latent), (1, 2, 3), seeds=[0])
    with pytest.raises(ValueError, match=message):
        evidence_by_quadrature(vae, torch.zeros(2, 6), **arguments)
