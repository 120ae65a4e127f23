"""Bounds on the population's mutual information against quadrature, for images that are one uniform factor."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from intervals import assert_covered
from ratereg.evaluation import factor_bound, fit_factors, fit_marginal, marginal_bound, population_information

REACH = 3.0


def encode(images: int, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return one uniform factor for each image, and the posterior N(REACH f, sigma^2) of it."""
    factors = torch.rand(images, 1, generator=generator, dtype=torch.float64)
    return factors, REACH * factors, torch.full((images, 1), 2 * math.log(sigma), dtype=torch.float64)


def log_aggregate(z: Tensor, sigma: float) -> Tensor:
    """Return the population's log q(z): a uniform density of width REACH, blurred by sigma."""
    inside = torch.special.ndtr(z / sigma) - torch.special.ndtr((z - REACH) / sigma)
    return (inside / REACH).clamp_min(1e-300).log()


def grid(sigma: float) -> Tensor:
    return torch.linspace(-9 * sigma, REACH + 9 * sigma, 40_001, dtype=torch.float64)


def information(sigma: float) -> float:
    z = grid(sigma)
    log_q = log_aggregate(z, sigma)
    return float(-torch.trapezoid(log_q.exp() * log_q, z)) - 0.5 * math.log(2 * math.pi * math.e * sigma**2)


@pytest.mark.parametrize("sigma", [1.0, 0.1, 0.01])
def test_the_bounds_enclose_the_populations_information(sigma: float) -> None:
    _, mean, log_var = encode(2000, sigma, torch.Generator().manual_seed(1))
    lower, upper = population_information(mean, log_var, torch.Generator().manual_seed(2), sizes=[20, 200, 2000])
    truth = information(sigma)
    assert (lower.value - 4 * lower.standard_error < truth).all()
    assert (upper.value + 4 * upper.standard_error > truth).all()
    assert (lower.value <= lower.ceiling + 1e-9).all()
    assert upper.ceiling.isinf().all()
    # With two hundred images for each encoding that is told apart, both are near.
    if sigma >= 0.1:
        assert abs(lower.value[-1] - truth) < 4 * lower.standard_error[-1] + 0.02
        assert abs(upper.value[-1] - truth) < 4 * upper.standard_error[-1] + 0.02


def test_the_ceiling_moves_with_the_number_of_images() -> None:
    _, mean, log_var = encode(512, 1e-5, torch.Generator().manual_seed(1))
    lower, upper = population_information(mean, log_var, torch.Generator().manual_seed(2), sizes=[8, 64, 512])
    torch.testing.assert_close(lower.value, lower.ceiling, rtol=0, atol=0.03)
    torch.testing.assert_close(lower.ceiling, torch.tensor([8.0, 64, 512], dtype=torch.float64).log())
    assert (upper.value > 100).all()


@pytest.mark.parametrize(("sigma", "images"), [(0.5, 50), (0.05, 50), (0.1, 400)])
def test_stated_intervals_of_both_bounds_cover_their_expectations(sigma: float, images: int) -> None:
    generator = torch.Generator().manual_seed(3)
    repetitions = 200
    runs = []
    for _ in range(4 * repetitions):
        _, mean, log_var = encode(images, sigma, generator)
        runs.append(population_information(mean, log_var, generator, sizes=[images]))
    for side in (0, 1):
        bounds = [(run[side].value[0], run[side].standard_error[0]) for run in runs]
        # The expectation is the mean over runs, whose own error is a twentieth of one run's.
        expected = torch.stack([value for value, _ in bounds]).mean()
        assert_covered(bounds[:repetitions], expected)


@pytest.mark.parametrize("sigma", [1.0, 0.1, 1e-3])
def test_a_fitted_marginal_bounds_from_above_without_saturating(sigma: float) -> None:
    generator = torch.Generator().manual_seed(6)
    _, fit_mean, fit_log_var = encode(4000, sigma, generator)
    marginal = fit_marginal(fit_mean, fit_log_var, generator)
    _, mean, log_var = encode(3000, sigma, generator)
    bound = marginal_bound(mean, log_var, marginal, generator)
    truth = information(sigma)
    z = grid(sigma)
    cross_entropy = -torch.trapezoid(log_aggregate(z, sigma).exp() * marginal.log_prob(z[:, None]), z)
    expected = float(cross_entropy) - 0.5 * math.log(2 * math.pi * math.e * sigma**2)
    assert expected > truth
    assert abs(bound.value[-1] - expected) < 4 * bound.standard_error[-1]
    assert expected < truth + 0.1


@pytest.mark.parametrize("images", [30, 300])
def test_stated_intervals_of_the_fitted_bound_cover_its_expectation(images: int) -> None:
    generator = torch.Generator().manual_seed(7)
    _, fit_mean, fit_log_var = encode(500, 0.2, generator)
    marginal = fit_marginal(fit_mean, fit_log_var, generator)
    z = grid(0.2)
    cross_entropy = -torch.trapezoid(log_aggregate(z, 0.2).exp() * marginal.log_prob(z[:, None]), z)
    expected = float(cross_entropy) - 0.5 * math.log(2 * math.pi * math.e * 0.2**2)
    bounds = (
        marginal_bound(*encode(images, 0.2, generator)[1:], marginal, generator, sizes=[images]) for _ in range(200)
    )
    assert_covered(((bound.value[0], bound.standard_error[0]) for bound in bounds), expected)


@pytest.mark.parametrize(("sigma", "looseness"), [(1.0, 0.03), (0.1, 0.08)])
def test_factors_told_from_the_latents_bound_from_below(sigma: float, looseness: float) -> None:
    generator = torch.Generator().manual_seed(8)
    fit_factor, fit_mean, fit_log_var = encode(4000, sigma, generator)
    regression = fit_factors(fit_mean, fit_log_var, fit_factor, steps=600, width=32)
    factors, mean, log_var = encode(4000, sigma, generator)
    bound = factor_bound(mean, log_var, factors, regression, generator)
    truth = information(sigma)
    assert bound.value[-1] < truth + 4 * bound.standard_error[-1]
    assert bound.value[-1] > truth - looseness - 4 * bound.standard_error[-1]


@pytest.mark.parametrize("images", [30, 300])
def test_stated_intervals_of_the_factors_bound_cover_its_expectation(images: int) -> None:
    generator = torch.Generator().manual_seed(12)
    fit_factor, fit_mean, fit_log_var = encode(1000, 0.2, generator)
    regression = fit_factors(fit_mean, fit_log_var, fit_factor, steps=150, width=16)

    def bound(count: int) -> tuple[Tensor, Tensor]:
        factors, mean, log_var = encode(count, 0.2, generator)
        result = factor_bound(mean, log_var, factors, regression, generator, sizes=[count])
        return result.value, result.standard_error

    # Of so many images that its own error counts for nothing beside that of a repetition.
    expected, _ = bound(200_000)
    assert_covered((bound(images) for _ in range(200)), expected)


def test_collapsed_latents_tell_no_factor() -> None:
    generator = torch.Generator().manual_seed(9)
    factors, latents = torch.rand(2000, 3, generator=generator), torch.zeros(2, 2000, 4)
    regression = fit_factors(latents, latents, factors, steps=300, width=16)
    fresh = torch.rand(2000, 3, generator=generator)
    bound = factor_bound(latents, latents, fresh, regression, generator, sizes=[2000])
    assert bound.value.shape == (1, 2)
    assert (bound.value.abs() < 0.1).all()


def test_the_density_of_factors_is_one_on_the_unit_cube() -> None:
    generator = torch.Generator().manual_seed(10)
    factors, mean, log_var = encode(500, 0.3, generator)
    regression = fit_factors(mean, log_var, factors, steps=50, width=8)
    points = torch.linspace(0, 1, 4001)[:, None]
    for z in (-1.0, 0.5, 4.0):
        log_density = regression.log_prob(points.unsqueeze(0), torch.full((1, len(points), 1), z))
        assert abs(torch.trapezoid(log_density[0].exp(), points[:, 0]) - 1) < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [1]}, r"sizes is \[1\]"),
        ({"sizes": [4, 9]}, r"sizes is \[4, 9\]"),
        ({"sizes": []}, r"sizes is \[\]"),
        ({"draws": 0}, "draws is 0"),
    ],
)
def test_impossible_sizes_and_draws_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        population_information(torch.zeros(8, 2), torch.zeros(8, 2), **change)


def test_bad_input_to_the_fitted_bounds_is_refused() -> None:
    some = torch.zeros(30, 2)
    with pytest.raises(ValueError, match="at least 4"):
        fit_marginal(some[:3], some[:3])
    with pytest.raises(ValueError, match="at least 20"):
        fit_factors(some[:9], some[:9], torch.zeros(9, 1))
    with pytest.raises(ValueError, match=r"outside of \[0, 1\]"):
        fit_factors(some, some, torch.full((30, 1), 1.5))
    with pytest.raises(ValueError, match=r"factors has shape \(29, 1\)"):
        inspect.unwrap(fit_factors)(some, some, torch.zeros(29, 1))
    regression = fit_factors(some, some, torch.rand(30, 1), steps=1, width=4)
    with pytest.raises(ValueError, match="leading axes"):
        factor_bound(some.expand(2, -1, -1), some.expand(2, -1, -1), torch.rand(30, 1), regression)
