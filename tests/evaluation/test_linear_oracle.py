"""More estimators against the linear VAE: of test images, single latents, factors and memorization."""

import torch
from torch import Tensor

from ratereg.evaluation import (
    LinearVAE,
    active_units,
    component_log_prob,
    decompose_rate_under,
    factor_bound,
    fit_factors,
    optimal_decoder,
    rate_per_dimension,
    split_marginal_kl,
)

SCALE = 0.5
EIGENVALUES = torch.tensor([2.0, 1.0, 0.6, 0.1, 0.05], dtype=torch.float64)


def population(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a mean, the directions of EIGENVALUES as columns, and the covariance."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0]
    return torch.randn(5, generator=generator, dtype=torch.float64), basis, basis * EIGENVALUES @ basis.T


def sample(mean: Tensor, basis: Tensor, images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return Gaussian images and the standard normal coordinates that they were made of."""
    generator = torch.Generator().manual_seed(seed)
    coordinates = torch.randn(images, 5, generator=generator, dtype=torch.float64)
    return mean + coordinates * EIGENVALUES.sqrt() @ basis.T, coordinates


def divergence(mean: Tensor, covariance: Tensor, reference_mean: Tensor, reference: Tensor) -> Tensor:
    ours = torch.distributions.MultivariateNormal(mean, covariance)
    return torch.distributions.kl_divergence(ours, torch.distributions.MultivariateNormal(reference_mean, reference))


def test_rates_of_latents_are_the_water_filling_and_those_below_the_water_are_not_active() -> None:
    mean, basis, covariance = population(0)
    # tau = 1 x 0.25, above the two smallest eigenvalues.
    model = LinearVAE.optimum(mean, covariance, [1.0], 5, SCALE)
    x, _ = sample(mean, basis, 200_000, seed=1)
    posteriors = model.encode(x[None])
    rates = (EIGENVALUES / SCALE**2).log().clamp_min(0) / 2
    torch.testing.assert_close(rate_per_dimension(*posteriors)[0], rates, rtol=0, atol=0.01)
    assert active_units(posteriors[0]).tolist() == [[True, True, True, False, False]]


def test_the_split_of_the_marginal_kl_is_that_of_a_gaussian() -> None:
    mean, _, covariance = population(1)
    model = LinearVAE.optimum(mean, covariance, [1.0, 0.4], 3, SCALE)
    # Images of another population: their aggregate posterior is neither the prior nor independent.
    x, _ = sample(mean + 0.3, population(7)[1], 4000, seed=2)
    other = x.mean(0), torch.cov(x.T, correction=0)
    split = split_marginal_kl(*model.encode(x[None]), torch.Generator().manual_seed(3))
    z_mean, z_covariance = model.aggregate(*other)
    variance = z_covariance.diagonal(dim1=-2, dim2=-1)
    dimension_wise = (z_mean.square() + variance - 1 - variance.log()) / 2
    correlation = (variance.log().sum(-1) - torch.logdet(z_covariance)) / 2
    # A mixture of N posteriors follows its N images: for 4,000 and three latents by less than 0.03 nats.
    assert ((split.dimension_wise_kl - dimension_wise).abs() < 4 * split.dimension_wise_kl_se + 0.01).all()
    assert ((split.total_correlation - correlation).abs() < 4 * split.total_correlation_se + 0.03).all()
    assert (correlation > 0.05).all()


def test_the_rate_of_test_images_under_training_images_is_that_of_two_gaussians() -> None:
    mean, basis, covariance = population(2)
    model = LinearVAE.optimum(mean, covariance, [1.5, 0.6], 2, SCALE)
    train, _ = sample(mean, basis, 5000, seed=4)
    test, _ = sample(mean + 0.4, basis, 5000, seed=5)
    parts = decompose_rate_under(
        *model.encode(test[None]), *model.encode(train[None]), torch.Generator().manual_seed(6)
    )
    moments = [(x.mean(0), torch.cov(x.T, correction=0)) for x in (test, train)]
    ours, reference = (model.aggregate(*both) for both in moments)
    between = divergence(*ours, *reference)
    tolerance = 0.02
    assert ((parts.aggregate_divergence - between).abs() < 4 * parts.aggregate_divergence_se + tolerance).all()
    information = model.mutual_information(moments[0][1]) + between
    error = (parts.information_under_reference - information).abs()
    assert (error < 4 * parts.information_under_reference_se + tolerance).all()
    torch.testing.assert_close(parts.rate, model.rate(*moments[0]))


def test_factors_that_are_the_images_coordinates_tell_their_information() -> None:
    mean, basis, covariance = population(3)
    model = LinearVAE.optimum(mean, covariance, [1.0, 0.3], 2, SCALE)
    fit, fit_coordinates = sample(mean, basis, 6000, seed=7)
    fresh, coordinates = sample(mean, basis, 6000, seed=8)
    # Normal coordinates become uniform factors; the latents depend on the first two directions alone.
    fit_factor, factors = (torch.special.ndtr(some[:, :2]) for some in (fit_coordinates, coordinates))
    regression = fit_factors(*model.encode(fit[None]), fit_factor, steps=800, width=32)
    bound = factor_bound(
        *model.encode(fresh[None]), factors, regression, torch.Generator().manual_seed(9), sizes=[6000]
    )
    truth = model.mutual_information(covariance)
    assert (bound.value[0] < truth + 4 * bound.standard_error[0]).all()
    assert (bound.value[0] > truth - 0.25 - 4 * bound.standard_error[0]).all()


def test_the_optimum_of_a_flexible_decoder_is_the_linear_decoder_when_images_are_many() -> None:
    mean, basis, covariance = population(4)
    model = LinearVAE.optimum(mean, covariance, [1.0], 2, SCALE)
    # Whole steps of a byte, as the estimator takes images; far from 0 and 255.
    x, _ = sample(0.5 + 0 * mean, basis / 12, 60_000, seed=10)
    pixels = (255 * x).round().clamp(0, 255).to(torch.uint8)
    images = pixels.double() / 255
    model = LinearVAE.optimum(images.mean(0), torch.cov(images.T, correction=0), [1.0], 2, SCALE / 12)
    posteriors = model.encode(images[None])
    z = posteriors[0][:, :50] + (posteriors[1][:, :50] / 2).exp() * 0.5
    average, perplexity = optimal_decoder(z, *posteriors, pixels, torch.arange(60_000))
    # E[x|z] of jointly Gaussian x and z, which for the optimum is the decoder itself.
    torch.testing.assert_close(average, model.decode(z), rtol=0, atol=0.01)
    weights = component_log_prob(z, *posteriors).softmax(-1)
    entropy = -torch.special.xlogy(weights, weights).sum(-1)
    torch.testing.assert_close(perplexity, entropy.exp(), rtol=1e-5, atol=0)
