import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from ratereg.models import MLP, VAE, Bernoulli, Gaussian, StandardGaussian


def test_bernoulli_distortion_is_the_cross_entropy_summed_over_pixels() -> None:
    logits, x = torch.randn(2, 5, 48).double(), torch.rand(2, 5, 48).double()
    oracle = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    torch.testing.assert_close(Bernoulli().distortion(logits, x), oracle)


def test_bernoulli_distortion_has_the_gradient_of_finite_differences() -> None:
    logits = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    x = torch.rand(1, 3, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda parameters: Bernoulli().distortion(parameters, x), (logits,))


def test_bernoulli_distortion_stays_finite_for_extreme_logits() -> None:
    logits = torch.tensor([[-1e4, 1e4]])
    assert torch.isfinite(Bernoulli().distortion(logits, torch.tensor([[1.0, 0.0]]))).all()


@given(scale=st.floats(0.01, 10))
@settings(max_examples=20, deadline=None)
def test_gaussian_distortion_is_the_negative_log_density(scale: float) -> None:
    means, x = torch.randn(2, 5, 12).double(), torch.rand(2, 5, 12).double()
    oracle = -Normal(means, scale).log_prob(x).sum(-1)
    torch.testing.assert_close(Gaussian(scale).distortion(means, x), oracle)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)], ids=str)
def test_samples_have_the_likelihoods_mean_and_spread(likelihood: Bernoulli | Gaussian) -> None:
    parameters = 2 * torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    samples = likelihood.sample(parameters.expand(20_000, -1, -1), torch.Generator().manual_seed(1))
    assert samples.dtype == parameters.dtype
    mean = likelihood.mean(parameters)[0]
    spread = (mean * (1 - mean)).sqrt() if isinstance(likelihood, Bernoulli) else torch.full_like(mean, 0.3)
    assert ((samples.mean(0) - mean).abs() < 5 * spread / 20_000**0.5).all()
    torch.testing.assert_close(samples.std(0), spread, rtol=0.05, atol=0)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)], ids=str)
def test_samples_are_images_that_the_likelihood_is_a_density_of(likelihood: Bernoulli | Gaussian) -> None:
    parameters = torch.randn(4, 50, 5, generator=torch.Generator().manual_seed(0))
    draws = [likelihood.sample(parameters, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert likelihood.is_density(draws[0])


def test_the_bernoulli_is_a_density_of_binary_images_alone() -> None:
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double()
    assert Bernoulli().is_density(every)
    logits = torch.randn(1, 4).double()
    torch.testing.assert_close(
        (-Bernoulli().distortion(logits.expand(16, 4), every)).exp().sum(), torch.tensor(1.0).double()
    )
    assert not Bernoulli().is_density(torch.tensor([[0.0, 1.0], [1.0, 0.5]]))
    assert Gaussian().is_density(torch.tensor([[0.5]]))


def test_rate_is_the_kl_divergence_to_the_prior() -> None:
    mean, log_var = torch.randn(3, 7, 4).double(), torch.randn(3, 7, 4).double()
    oracle = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(StandardGaussian().rate(mean, log_var), oracle)


def test_prior_log_prob_is_that_of_standard_normals() -> None:
    z = torch.randn(3, 7, 4).double()
    torch.testing.assert_close(StandardGaussian().log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_parameter_of_every_member_gets_a_gradient(layers: int) -> None:
    vae = VAE(MLP(layers, 16, 3), (3, 4, 4), seeds=[0, 1])
    distortion, rate = vae(torch.rand(2, 8, 48), torch.randn(2, 8, 3))
    assert distortion.shape == rate.shape == (2, 8)
    (distortion + rate).sum().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all(), name


def test_networks_have_the_hidden_layers_asked_for() -> None:
    vae = VAE(MLP(layers=2, width=16, latent_dim=3), (1, 4, 4), seeds=[0])
    assert [tuple(p.shape[1:]) for n, p in vae.named_parameters() if n.endswith("weight")] == [
        (16, 16),
        (16, 16),
        (16, 6),
        (3, 16),
        (16, 16),
        (16, 16),
    ]


def test_initial_weights_depend_on_the_seed_and_not_on_the_position() -> None:
    many, few = VAE(MLP(), (1, 4, 4), seeds=[3, 5, 3]), VAE(MLP(), (1, 4, 4), seeds=[5])
    for a, b in zip(many.parameters(), few.parameters(), strict=True):
        assert torch.equal(a[0], a[2])
        assert torch.equal(a[1], b[0])
        assert not torch.equal(a[0], a[1])


@pytest.mark.parametrize(("settings", "name"), [({"layers": 4}, "layers"), ({"width": 0}, "width")])
def test_impossible_networks_are_refused_by_name(settings: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        MLP(**settings)


def test_an_ensemble_needs_a_seed_and_a_gaussian_a_scale() -> None:
    with pytest.raises(ValueError, match="seeds"):
        VAE(MLP(), (1, 4, 4), seeds=[])
    with pytest.raises(ValueError, match="scale"):
        Gaussian(0.0)
