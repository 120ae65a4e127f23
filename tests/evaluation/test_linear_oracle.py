"""Training and the estimators against the closed forms of the linear VAE."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

import linear_gaussian
from intervals import assert_covered
from linear_gaussian import Moments, moments_of, perturbed, sample
from ratereg.evaluation import (
    LinearVAE,
    active_units,
    component_log_prob,
    decompose_rate,
    decompose_rate_under,
    distortion,
    encode,
    factor_bound,
    fit_factors,
    fit_marginal,
    marginal_bound,
    optimal_decoder,
    population_information,
    rate_per_dimension,
    split_marginal_kl,
)
from ratereg.models import MLP, VAE, Gaussian, LatentVariableModel
from ratereg.training import Trainer

SCALE = 0.5
EIGENVALUES = torch.tensor([2.0, 1.0, 0.6, 0.1, 0.05], dtype=torch.float64)
population = partial(linear_gaussian.population, eigenvalues=EIGENVALUES)


def quantized(x: Tensor) -> tuple[Tensor, Moments]:
    """Return images as bytes, and the moments that these have."""
    pixels = (255 * x).round().clamp(0, 255).to(torch.uint8)
    return pixels, moments_of(pixels.double() / 255)


def gray(images: int, seed: int) -> tuple[Tensor, Moments]:
    """Return images far from black and white, as bytes, and their moments."""
    mean, covariance = population(seed)
    return quantized(sample((0.5 + 0 * mean, covariance / 144), images, seed))


def test_training_arrives_at_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(4, 4, generator=generator))[0]
    x = 0.4 + torch.randn(64, 4, generator=generator) * torch.tensor([0.2, 0.1, 0.05, 0.05]) @ basis.T
    (pixels, moments), betas, scale = quantized(x), [2.0, 0.5], 0.1
    optimum = LinearVAE.optimum(*moments, betas, 2, scale)
    vae = VAE(MLP(0, latent_dim=2), (1, 2, 2), seeds=[0, 0], likelihood=Gaussian(scale))
    rows = torch.arange(64)
    # Starting Adam anew leaves the plateau on which one latent is off, where its moments hold the steps short.
    for learning_rate, steps in ((3e-2, 500), (3e-2, 500), (3e-3, 300)):
        trainer = Trainer(vae, pixels, rows, betas=betas, seeds=[0, 0], batch_size=64, learning_rate=learning_rate)
        trainer.advance(steps)
    encodings = encode(vae, pixels, rows)
    trained, error = distortion(vae, pixels, rows, encodings, generator, population=64, draws=512)
    torch.testing.assert_close(encodings.rate.mean(1), optimum.rate(*moments), rtol=0, atol=0.05)
    assert ((trained - optimum.distortion(*moments)).abs() < 0.06 + 4 * error).all()
    excess = trained + torch.tensor(betas) * encodings.rate.mean(1)
    excess = excess - optimum.distortion(*moments) - torch.tensor(betas) * optimum.rate(*moments)
    assert ((excess > -4 * error) & (excess < 0.03 + 4 * error)).all()


def test_the_measured_rate_is_the_closed_form() -> None:
    pixels, moments = gray(50, 3)
    model = perturbed(LinearVAE.optimum(*moments, [3.0, 0.3], 3, 0.05), 0.1, 1)
    assert isinstance(model, LatentVariableModel)
    encodings = encode(model, pixels, torch.arange(50))
    torch.testing.assert_close(encodings.rate.mean(1), model.rate(*moments), rtol=1e-6, atol=1e-6)


def test_intervals_of_the_measured_distortion_cover_the_closed_form() -> None:
    pixels, moments = gray(50, 4)
    model = LinearVAE.optimum(*moments, [3.0, 1.0, 0.3, 0.05], 3, 0.05)
    rows, truth = torch.arange(50), model.distortion(*moments)
    encodings, generator = encode(model, pixels, rows), torch.Generator().manual_seed(0)
    settings = {"population": 50, "draws": 4}
    assert_covered((distortion(model, pixels, rows, encodings, generator, **settings) for _ in range(200)), truth)


def test_the_rates_parts_are_those_of_a_gaussian() -> None:
    model = perturbed(LinearVAE.optimum(*population(11), [3.0, 1.0], 2, SCALE), 0.1, 2)
    images = 3000
    x = sample(population(12), images, 4)
    own = moments_of(x)
    information, marginal_kl = model.mutual_information(own[1]), model.marginal_kl(*own)
    parts = decompose_rate(*model.encode(x[None]), torch.Generator().manual_seed(0), draws=4)
    torch.testing.assert_close(parts.rate, model.rate(*own))
    # The mixture of N components falls short of the Gaussian by about (exp(2 I) - 1) / 2N, for I far below log N.
    assert (information < math.log(images) / 3).all()
    short = ((2 * information).exp() - 1) / (2 * images)
    assert (short < 0.02).all()
    assert ((parts.mutual_information - information).abs() < short + 4 * parts.mutual_information_se).all()
    assert ((parts.marginal_kl - marginal_kl).abs() < short + 4 * parts.marginal_kl_se).all()
    assert (parts.mutual_information_se < 0.01).all()


def test_rates_of_latents_are_the_water_filling_and_those_below_the_water_are_not_active() -> None:
    # tau = 1 x 0.25, above the two smallest eigenvalues.
    model = LinearVAE.optimum(*population(0), [1.0], 5, SCALE)
    posteriors = model.encode(sample(population(0), 200_000, seed=1)[None])
    rates = (EIGENVALUES / SCALE**2).log().clamp_min(0) / 2
    torch.testing.assert_close(rate_per_dimension(*posteriors)[0], rates, rtol=0, atol=0.01)
    assert active_units(posteriors[0]).tolist() == [[True, True, True, False, False]]


def test_the_split_of_the_marginal_kl_is_that_of_a_gaussian() -> None:
    mean, covariance = population(1)
    model = LinearVAE.optimum(mean, covariance, [1.0, 0.4], 3, SCALE)
    # Images of another population: their aggregate posterior is neither the prior nor independent.
    x = sample((mean + 0.3, population(7)[1]), 4000, seed=2)
    split = split_marginal_kl(*model.encode(x[None]), torch.Generator().manual_seed(3))
    z_mean, z_covariance = model.aggregate(*moments_of(x))
    variance = z_covariance.diagonal(dim1=-2, dim2=-1)
    dimension_wise = (z_mean.square() + variance - 1 - variance.log()) / 2
    correlation = (variance.log().sum(-1) - torch.logdet(z_covariance)) / 2
    # A mixture of N posteriors follows its N images: for 4,000 and three latents by less than 0.03 nats.
    assert ((split.dimension_wise_kl - dimension_wise).abs() < 4 * split.dimension_wise_kl_se + 0.01).all()
    assert ((split.total_correlation - correlation).abs() < 4 * split.total_correlation_se + 0.03).all()
    assert (correlation > 0.05).all()


def test_the_rate_of_test_images_under_training_images_is_that_of_two_gaussians() -> None:
    mean, covariance = population(2)
    model = LinearVAE.optimum(mean, covariance, [1.5, 0.6], 2, SCALE)
    test, train = (sample((mean + shift, covariance), 5000, seed) for shift, seed in ((0.4, 5), (0.0, 4)))
    posteriors = *model.encode(test[None]), *model.encode(train[None])
    parts = decompose_rate_under(*posteriors, torch.Generator().manual_seed(6))
    ours, reference = (MultivariateNormal(*model.aggregate(*moments_of(x))) for x in (test, train))
    between, tolerance = kl_divergence(ours, reference), 0.02
    assert ((parts.aggregate_divergence - between).abs() < 4 * parts.aggregate_divergence_se + tolerance).all()
    information = model.mutual_information(moments_of(test)[1]) + between
    error = (parts.information_under_reference - information).abs()
    assert (error < 4 * parts.information_under_reference_se + tolerance).all()
    torch.testing.assert_close(parts.rate, model.rate(*moments_of(test)))


def test_bounds_on_the_populations_information_hold_on_both_sides() -> None:
    moments = population(18)
    model = LinearVAE.optimum(*moments, [3.0, 0.3], 3, SCALE)
    truth = model.mutual_information(moments[1])
    fitted_on, x = (model.encode(sample(moments, 1000, seed)[None]) for seed in (10, 11))
    generator = torch.Generator().manual_seed(0)
    lower, upper = population_information(*x, generator, sizes=[1000])
    above = marginal_bound(*x, fit_marginal(*fitted_on, generator), generator, sizes=[1000])
    assert (lower.value[0] < truth + 4 * lower.standard_error[0]).all()
    assert (upper.value[0] > truth - 4 * upper.standard_error[0]).all()
    assert (above.value[0] > truth - 4 * above.standard_error[0]).all()
    # Far below the ceiling of log 1,000 all three are close, too.
    for bound in (lower, upper, above):
        assert abs(bound.value[0, 0] - truth[0]) < 0.2


def test_factors_that_are_the_images_coordinates_tell_their_information() -> None:
    mean, covariance = population(3)
    model = LinearVAE.optimum(mean, covariance, [1.0, 0.3], 2, SCALE)
    leading = torch.linalg.eigh(covariance)[1].flip(1)[:, :2] / EIGENVALUES[:2].sqrt()
    fit, fresh = (sample((mean, covariance), 6000, seed) for seed in (7, 8))
    # Normal coordinates become uniform factors; the latents depend on the first two directions alone.
    fit_factor, factors = (torch.special.ndtr((x - mean) @ leading) for x in (fit, fresh))
    regression = fit_factors(*model.encode(fit[None]), fit_factor, steps=800, width=32)
    noise = torch.Generator().manual_seed(9)
    bound = factor_bound(*model.encode(fresh[None]), factors, regression, noise, sizes=[6000])
    truth = model.mutual_information(covariance)
    assert (bound.value[0] < truth + 4 * bound.standard_error[0]).all()
    assert (bound.value[0] > truth - 0.25 - 4 * bound.standard_error[0]).all()


def test_the_optimum_of_a_flexible_decoder_is_the_linear_decoder_when_images_are_many() -> None:
    pixels, moments = gray(60_000, 4)
    model = LinearVAE.optimum(*moments, [1.0], 2, SCALE / 12)
    posteriors = model.encode(pixels.double()[None] / 255)
    z = posteriors[0][:, :50] + (posteriors[1][:, :50] / 2).exp() * 0.5
    average, perplexity = optimal_decoder(z, *posteriors, pixels, torch.arange(60_000))
    # E[x|z] of jointly Gaussian x and z, which for the optimum is the decoder itself.
    torch.testing.assert_close(average, model.decode(z), rtol=0, atol=0.01)
    weights = component_log_prob(z, *posteriors).softmax(-1)
    entropy = -torch.special.xlogy(weights, weights).sum(-1)
    torch.testing.assert_close(perplexity, entropy.exp(), rtol=1e-5, atol=0)
