"""Every estimator under learned priors: against closed forms, quadrature and each other."""

import inspect
import itertools
import math

import pytest
import torch
from torch import Tensor

from bent import bent, distortion_on, grid, images, log_evidence
from ratereg.evaluation import (
    annealed_importance_sampling,
    bidirectional_monte_carlo,
    decompose_rate,
    encode,
    evidence_by_quadrature,
    importance_weighted_bound,
    mean_over_images,
    optimal_rate_distortion,
    simulate,
)
from ratereg.evaluation.posteriors import draw_prior, log_prior
from ratereg.models import VAE, Prior, SingleModel
from ratereg.models.priors import DiagonalGaussian, MixtureOfGaussians

PRIORS = [DiagonalGaussian(), MixtureOfGaussians(3)]


@pytest.fixture
def x() -> Tensor:
    return images(8).round()


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_all_estimates_of_the_evidence_agree_with_a_dense_grid(prior: Prior, x: Tensor) -> None:
    vae = bent(1, prior=prior)
    truth = log_evidence(vae, x)
    assert (truth[0] - truth[1]).abs().mean() > 0.1
    exact = evidence_by_quadrature(vae, x)
    torch.testing.assert_close(exact.per_image, truth, rtol=0, atol=2e-3)
    annealed = annealed_importance_sampling(vae, x, chains=16, temperatures=80)
    assert ((annealed.estimate - annealed.bias - truth.mean(1)).abs() < 4 * annealed.estimate_se + 1e-3).all()
    assert (annealed.estimate_se < 0.1).all()
    weighted = importance_weighted_bound(vae, x, 4000, torch.Generator().manual_seed(0), chunk=200)
    assert (weighted.bound < truth.mean(1) + 4 * weighted.bound_se + 1e-3).all()
    assert (weighted.bound > truth.mean(1) - 1).all()
    curve = optimal_rate_distortion(vae, x, betas=[1.0, 0.5], chains=16, temperatures=80)
    error = 4 * (curve.rate_se + curve.distortion_se)[:, 0]
    assert ((curve.rate + curve.distortion)[:, 0] + truth.mean(1)).abs().sub(error + 0.02).max() < 0


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_the_optimal_curve_agrees_with_a_dense_grid(prior: Prior, x: Tensor) -> None:
    vae = bent(1, prior=prior)
    z, log_mass = grid(vae)
    distortion = distortion_on(vae, z, x)
    curve = optimal_rate_distortion(vae, x, betas=[2.0, 0.4], chains=16, temperatures=80)
    for point, beta in enumerate(curve.betas.tolist()):
        log_density = log_mass[:, None] - distortion / beta
        mean = (log_density.softmax(-1) * distortion).sum(-1)
        rate = -log_density.logsumexp(-1) - mean / beta
        assert ((curve.rate[:, point] - rate.mean(1)).abs() < 4 * curve.rate_se[:, point] + 1e-3).all()
        assert ((curve.distortion[:, point] - mean.mean(1)).abs() < 4 * curve.distortion_se[:, point] + 1e-3).all()


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_simulated_images_are_drawn_from_the_prior_and_enclose_their_evidence(prior: Prior) -> None:
    vae = bent(1, prior=prior)
    z, log_mass = grid(vae)
    simulation = simulate(vae, 4000, 1)
    mean = (log_mass.exp() * z[:, 0]).sum(1)
    torch.testing.assert_close(simulation.z.mean((1, 2)), mean, rtol=0, atol=0.15)
    few = type(simulation)(simulation.z[:, :30], simulation.x[:, :30])
    gap = bidirectional_monte_carlo(vae, few, chains=8, temperatures=60)
    assert (gap.gap > -4 * gap.gap_se).all()
    assert (gap.gap < 0.1 + 4 * gap.gap_se).all()
    truth = torch.stack([log_evidence(vae, drawn)[member] for member, drawn in enumerate(few.x)])
    assert ((gap.lower - truth.mean(1)).abs() < 0.1).all()


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_rates_of_encodings_and_of_the_decomposition_agree_with_quadrature(prior: Prior) -> None:
    vae = bent(1, prior=prior)
    pixels = torch.randint(0, 256, (400, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    encodings = encode(vae, pixels, torch.arange(400))
    z, log_mass = grid(vae)
    q = torch.distributions.Normal(encodings.mean.detach(), (encodings.log_var.detach() / 2).exp())
    log_q = q.log_prob(z[:, 0]) + math.log(float(z[1] - z[0]))
    truth = (log_q.exp() * (log_q - log_mass[:, None])).sum(-1)
    rate, error = mean_over_images(encodings.rate_per_draw, 400)
    assert ((rate - truth.mean(1)).abs() < 4 * error + 1e-6).all()
    parts = decompose_rate(encodings.mean, encodings.log_var, torch.Generator().manual_seed(0), prior=vae.prior)
    assert ((parts.rate - truth.mean(1)).abs() < 4 * parts.rate_se + 1e-6).all()
    if prior.closed_form:
        torch.testing.assert_close(encodings.rate, truth, rtol=1e-6, atol=1e-6)
        assert (parts.rate_se == 0).all()
    else:
        assert (error > 0).all()
        assert not torch.equal(encodings.rate_per_draw[:, 0], encodings.rate_per_draw[:, 1])
        again, other = (encode(vae, pixels, torch.arange(400), 77, seed=seed) for seed in (0, 1))
        torch.testing.assert_close(again.rate, encodings.rate)
        assert not torch.equal(other.rate, encodings.rate)
    torch.testing.assert_close(parts.rate, parts.mutual_information + parts.marginal_kl)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_a_densitys_axes_between_member_and_latent_are_flattened_and_it_stays_float64(prior: Prior) -> None:
    vae = bent(2, prior=prior).float()
    z = torch.randn(2, 3, 4, 5, 2, dtype=torch.float64)
    values = log_prior(vae.prior, z)
    assert values.dtype == torch.float64
    for member, i, j in itertools.product(range(2), range(3), range(4)):
        alone = vae.prior.log_prob(z[:, i, j])[member]
        torch.testing.assert_close(values[member, i, j], alone, rtol=1e-9, atol=1e-9)


def test_a_prior_that_draws_another_shape_is_refused() -> None:
    class Odd(DiagonalGaussian):
        def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
            return super().sample(count, generator)[..., :1]

    vae = bent(2, prior=Odd())
    with pytest.raises(ValueError, match=r"prior\.sample returned .*\(2, 4, 1\).* return \(2, 4, 2\)"):
        inspect.unwrap(draw_prior)(vae, 4, 2, torch.Generator())


def test_a_single_model_of_anybody_is_measured_under_its_own_prior(x: Tensor) -> None:
    vae = bent(1, prior=MixtureOfGaussians(3)).only([1])
    single = SingleModel(
        lambda images: torch.distributions.Normal(*_posterior(vae, images)),
        lambda z: vae.likelihood.mean(vae.decode(z[None])[0]).unflatten(1, (1, 3, 4)),
        prior=vae.prior,
        image_shape=(1, 3, 4),
        probabilities=True,
    )
    squares = x.unflatten(1, (1, 3, 4))
    for estimate in (
        lambda model, x: importance_weighted_bound(model, x, 5, torch.Generator().manual_seed(0)).per_image,
        lambda model, x: annealed_importance_sampling(model, x, chains=2, temperatures=5).per_image,
        lambda model, x: optimal_rate_distortion(model, x, chains=2, temperatures=5).rate,
        lambda model, x: evidence_by_quadrature(model, x).per_image,
        lambda model, _: bidirectional_monte_carlo(model, simulate(model, 4, 1), chains=2, temperatures=5).gap,
        lambda model, x: encode(model, x.flatten(1), torch.arange(8)).rate,
    ):
        torch.testing.assert_close(estimate(single, squares), estimate(vae, x), rtol=1e-6, atol=1e-6)


def _posterior(vae: VAE, images: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_var = vae.encode(images[None])
    return mean[0], (log_var[0] / 2).exp()
