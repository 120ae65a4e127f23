"""Quadrature against closed forms and dense grids."""

import inspect
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ratereg.evaluation import quadrature
from ratereg.evaluation.importance import importance_weighted_bound
from ratereg.evaluation.quadrature import evidence_by_quadrature
from ratereg.models import MLP, VAE, Bernoulli, Gaussian
from ratereg.models.single import SingleModel


def closed_form(vae: VAE, x: Tensor, scale: float) -> Tensor:
    """log p(x) per member and image, from the posterior, which is accurate for narrow noise too."""
    weight, bias = (p.detach() for p in (vae.decoder.layers[0].weight, vae.decoder.layers[0].bias))
    precision = torch.eye(weight.shape[1]).double() + weight @ weight.mT / scale**2
    residual = x - bias
    mean = torch.linalg.solve(precision, weight @ residual.mT / scale**2).mT
    fit = -((residual - mean @ weight) / scale).square().sum(-1) - mean.square().sum(-1)
    normalizer = x.shape[-1] * (math.log(2 * math.pi) + 2 * math.log(scale)) + torch.logdet(precision)[:, None]
    return (fit - normalizer) / 2


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("latent", [1, 2])
def test_linear_models_are_integrated_right_down_to_narrow_noise(latent: int, scale: float) -> None:
    vae = VAE(MLP(0, latent_dim=latent), (1, 2, 4), [0, 1], Gaussian(scale)).double()
    generator = torch.Generator().manual_seed(6)
    z = torch.randn(2, 4, latent, generator=generator).double()
    x = (vae.decode(z) + scale * torch.randn(2, 4, 8, generator=generator)).detach()
    result = evidence_by_quadrature(vae, x)
    difference = (result.per_image - closed_form(vae, x, scale)).abs()
    assert (difference < 1e-4).all()
    assert (result.error <= 1e-3).all()
    assert (difference <= result.error + 1e-9).all()
    assert result.quantity == "log-likelihood"


def test_a_smaller_tolerance_gives_a_smaller_error() -> None:
    vae = VAE(MLP(0, latent_dim=1), (1, 2, 4), [0], Gaussian(0.1)).double()
    x = vae.decode(torch.linspace(-2, 2, 5).double().view(1, -1, 1))[0].detach()
    result = evidence_by_quadrature(vae, x, tolerance=1e-9)
    torch.testing.assert_close(result.per_image, closed_form(vae, x, 0.1), rtol=0, atol=1e-9)


def test_where_the_tolerance_is_not_reached_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "_MOST_CELLS", 5)
    vae = VAE(MLP(0, latent_dim=1), (1, 2, 4), [0], Gaussian(0.01)).double()
    x = vae.decode(torch.linspace(-2, 2, 5).double().view(1, -1, 1))[0].detach()
    result = evidence_by_quadrature(vae, x)
    difference = (result.per_image - closed_form(vae, x, 0.01)).abs()
    assert (result.error > 1e-2).all()
    assert (difference <= result.error).all()


def crooked(latent: int) -> VAE:
    vae = VAE(MLP(1, 12, latent), (1, 2, 3), seeds=[3, 8], likelihood=Bernoulli()).double()
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(6)
    return vae


def dense(vae: VAE, x: Tensor, points: int) -> Tensor:
    latent = vae.network.latent_dim
    along = torch.linspace(-9, 9, points).double()
    grid = torch.cartesian_prod(*[along] * latent).view(-1, latent)
    parameters = vae.decode(grid.unsqueeze(0)).detach()
    distortion = torch.stack([Bernoulli().distortion(parameters, one.expand_as(parameters)) for one in x], 1)
    log_joint = Normal(0.0, 1.0).log_prob(grid).sum(1) - distortion
    return log_joint.logsumexp(2) + latent * math.log(18 / (points - 1))


@pytest.mark.parametrize(("latent", "points"), [(1, 50_001), (2, 501)])
def test_nonlinear_models_agree_with_a_dense_grid(latent: int, points: int) -> None:
    vae = crooked(latent)
    x = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)).double()
    result = evidence_by_quadrature(vae, x)
    assert ((result.per_image - dense(vae, x, points)).abs() < 1e-3).all()
    assert result.quantity == "pseudo-evidence"


def test_float32_models_reach_the_tolerance_too() -> None:
    vae, x = crooked(2), torch.rand(3, 6, generator=torch.Generator().manual_seed(1)).double()
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
    vae = VAE(MLP(0, latent_dim=1), (1, 2, 4), [0], Gaussian(0.05)).double()
    with torch.no_grad():
        weight = vae.decoder.layers[0].weight[0, 0]
        vae.encoder.layers[0].weight[0, :, 0] = weight / weight.square().sum()
        vae.encoder.layers[0].bias.zero_()
    x = vae.decode(torch.tensor([[[20.0], [-11.0]]]).double())[0].detach()
    result = evidence_by_quadrature(vae, x)
    torch.testing.assert_close(result.per_image, closed_form(vae, x, 0.05), rtol=0, atol=1e-3)


def test_mass_at_the_border_is_part_of_the_error() -> None:
    vae = VAE(MLP(0, latent_dim=1), (1, 2, 4), [0], Gaussian(0.05)).double()
    with torch.no_grad():
        vae.encoder.layers[0].weight.zero_()
    x = vae.decode(torch.tensor([[[20.0]]]).double())[0].detach()
    assert (evidence_by_quadrature(vae, x).error > 0.1).all()


def test_members_images_and_batches_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    vae, x = crooked(1), torch.rand(9, 6, generator=torch.Generator().manual_seed(1)).double()
    whole = evidence_by_quadrature(vae, x)
    each = evidence_by_quadrature(vae, torch.stack([x[:3], x[3:6]]))
    torch.testing.assert_close(each.per_image[1], whole.per_image[1, 3:6], rtol=0, atol=1e-9)
    monkeypatch.setattr(quadrature, "_IMAGES", 4)
    cut = evidence_by_quadrature(vae, x.flip(0), batch_size=30)
    torch.testing.assert_close(whole.per_image, cut.per_image.flip(1), rtol=0, atol=1e-9)
    torch.testing.assert_close(whole.error, cut.error.flip(1), rtol=0, atol=1e-9)


def test_importance_weighting_tends_to_it_from_below() -> None:
    vae, x = crooked(1), torch.rand(20, 6, generator=torch.Generator().manual_seed(1)).double()
    truth = evidence_by_quadrature(vae, x).per_image.mean(1)
    bound = importance_weighted_bound(vae, x, 500, torch.Generator().manual_seed(0), repeats=4, chunk=100)
    assert (bound.bound < truth + 4 * bound.bound_se + 1e-3).all()
    assert (bound.bound > truth - 0.1).all()


@pytest.mark.parametrize(
    ("latent", "arguments", "message"),
    [
        (3, {}, "model has 3 latents; quadrature takes one or two"),
        (1, {"tolerance": 0.0}, "tolerance is 0.0; give a positive number"),
        (1, {"width": -1.0}, "width is -1.0"),
        (1, {"batch_size": 0}, "batch_size is 0"),
        (1, {"x": torch.full((2, 6), math.nan)}, "x holds NaN"),
    ],
)
def test_bad_input_is_refused(latent: int, arguments: dict[str, object], message: str) -> None:
    vae = VAE(MLP(1, 8, latent), (1, 2, 3), seeds=[0])
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(evidence_by_quadrature)(vae, **{"x": torch.zeros(2, 6)} | arguments)


def test_models_that_have_diverged_are_refused() -> None:
    vae = VAE(MLP(1, 8, 1), (1, 2, 3), seeds=[0])
    with torch.no_grad():
        vae.decoder.layers[0].weight[:] = math.nan
    with pytest.raises(ValueError, match="model decodes to NaN"):
        evidence_by_quadrature(vae, torch.zeros(2, 6))
    with torch.no_grad():
        vae.encoder.layers[-1].bias[:] = 1e3
    with pytest.raises(ValueError, match="quadrature takes means up to 40"):
        evidence_by_quadrature(vae, torch.zeros(2, 6))
