"""The rate of some images under the aggregate posterior of others, and under priors without a closed-form rate."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from ratereg.evaluation import decompose_rate, decompose_rate_under
from ratereg.models import StandardGaussian

GRID = torch.linspace(-14, 14, 20_001, dtype=torch.float64)


@dataclass(frozen=True)
class Mixture:
    """A prior of two Gaussians, at -1 and 1."""

    def log_prob(self, z: Float[Tensor, "*lead latent"]) -> Float[Tensor, "*lead"]:
        sides = [StandardGaussian().log_prob((z - center) / 0.5) - z.shape[-1] * math.log(0.5) for center in (-1, 1)]
        return torch.stack(sides).logsumexp(0) - math.log(2)


def one_latent(images: int, width: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    mean = torch.randn(images, 1, generator=generator).double()
    return mean, torch.full_like(mean, 2 * math.log(width)) + torch.randn(images, 1, generator=generator) / 5


def on_grid(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return the log density of the mixture of all posteriors on the grid."""
    components = torch.distributions.Normal(mean[:, 0], (log_var[:, 0] / 2).exp())
    return torch.logsumexp(components.log_prob(GRID[:, None]), 1) - math.log(len(mean))


@pytest.mark.parametrize("width", [0.6, 0.1])
def test_the_parts_under_a_reference_agree_with_quadrature(width: float) -> None:
    generator = torch.Generator().manual_seed(1)
    test, train = one_latent(40, width, generator), one_latent(70, width, generator)
    log_test, log_train, log_prior = on_grid(*test), on_grid(*train), StandardGaussian().log_prob(GRID[:, None])
    density = log_test.exp()
    parts = decompose_rate_under(*test, *train, generator, draws=400)
    marginal = torch.trapezoid(density * (log_train - log_prior), GRID)
    divergence = torch.trapezoid(density * (log_test - log_train), GRID)
    own = -torch.trapezoid(density * log_test, GRID) - (test[1] + math.log(2 * math.pi * math.e)).mean() / 2
    assert abs(parts.marginal_under_reference - marginal) < 4 * parts.marginal_under_reference_se + 1e-6
    assert abs(parts.aggregate_divergence - divergence) < 4 * parts.aggregate_divergence_se + 1e-6
    information_error = 4 * parts.information_under_reference_se + 1e-6
    assert abs(parts.information_under_reference - own - divergence) < information_error


def test_information_under_a_reference_has_no_ceiling_of_its_own() -> None:
    generator = torch.Generator().manual_seed(2)
    test, train = one_latent(20, 0.01, generator), one_latent(20, 0.01, generator)
    parts = decompose_rate_under(*test, *train, generator)
    assert parts.information_under_reference > 10 * math.log(20)
    assert decompose_rate(*test, generator).mutual_information < math.log(20) + 1e-3


def test_the_reference_that_the_images_are_themselves_gives_their_own_parts() -> None:
    mean, log_var = torch.randn(3, 25, 4), torch.randn(3, 25, 4)
    own = decompose_rate(mean, log_var, torch.Generator().manual_seed(1))
    under = decompose_rate_under(mean, log_var, mean, log_var, torch.Generator().manual_seed(1))
    torch.testing.assert_close(under.information_under_reference, own.mutual_information)
    torch.testing.assert_close(under.marginal_under_reference, own.marginal_kl)
    torch.testing.assert_close(under.information_under_reference_se, own.mutual_information_se)
    assert (under.aggregate_divergence.abs() < 1e-12).all()


@given(seed=st.integers(0, 10**6), images=st.integers(1, 20), others=st.integers(1, 30), log_sigma=st.floats(-4, 1))
@settings(max_examples=30, deadline=None)
def test_both_splits_are_exact_and_the_divergence_is_not_negative(
    seed: int, images: int, others: int, log_sigma: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    test, train = torch.randn(2, images, 3, generator=generator), torch.randn(2, others, 3, generator=generator)
    widths = torch.full_like(test, 2 * log_sigma), torch.full_like(train, 2 * log_sigma)
    for prior in (None, Mixture()):
        parts = decompose_rate_under(test, widths[0], train, widths[1], generator, draws=64, prior=prior)
        total = parts.information_under_reference + parts.marginal_under_reference
        torch.testing.assert_close(parts.rate, total, rtol=1e-9, atol=1e-9)
        sampled = parts.information_under_reference_mc + parts.marginal_under_reference_mc
        torch.testing.assert_close(parts.rate_mc, sampled, rtol=1e-9, atol=1e-9)
        assert (parts.aggregate_divergence > -5 * parts.aggregate_divergence_se - 1e-6).all()


@pytest.mark.parametrize("images", [300, 60])
def test_stated_intervals_under_a_reference_cover_the_truth(images: int) -> None:
    generator = torch.Generator().manual_seed(5)
    test, train = one_latent(images, 0.2, generator), one_latent(100, 0.2, generator)
    log_test, log_train = on_grid(*test), on_grid(*train)
    truths = [
        float(torch.trapezoid(log_test.exp() * (log_train - StandardGaussian().log_prob(GRID[:, None])), GRID)),
        float(torch.trapezoid(log_test.exp() * (log_test - log_train), GRID)),
    ]
    covered = [0, 0]
    for _ in range(200):
        parts = decompose_rate_under(*test, *train, generator, draws=4)
        pairs = [
            (parts.marginal_under_reference, parts.marginal_under_reference_se),
            (parts.aggregate_divergence, parts.aggregate_divergence_se),
        ]
        for index, (value, error) in enumerate(pairs):
            covered[index] += abs(value.item() - truths[index]) < 1.96 * error.item()
    assert all(0.9 <= count / 200 <= 0.99 for count in covered), covered


@pytest.mark.parametrize("width", [0.8, 0.1])
def test_a_prior_without_a_closed_form_has_its_rate_sampled(width: float) -> None:
    generator = torch.Generator().manual_seed(3)
    mean, log_var = one_latent(50, width, generator)
    parts = decompose_rate(mean, log_var, generator, draws=400, prior=Mixture())
    log_q, log_prior = on_grid(mean, log_var), Mixture().log_prob(GRID[:, None])
    cross_entropy = -torch.trapezoid(log_q.exp() * log_prior, GRID)
    negative_entropy = -(log_var + math.log(2 * math.pi * math.e)).mean() / 2
    assert 0 < parts.rate_se < 0.05
    assert abs(parts.rate - cross_entropy - negative_entropy) < 4 * parts.rate_se
    marginal_kl = torch.trapezoid(log_q.exp() * (log_q - log_prior), GRID)
    assert abs(parts.marginal_kl - marginal_kl) < 4 * parts.marginal_kl_se
    information = decompose_rate(mean, log_var, generator, draws=400)
    joint_error = (parts.mutual_information_se**2 + information.mutual_information_se**2).sqrt()
    assert abs(parts.mutual_information - information.mutual_information) < 4 * joint_error
    torch.testing.assert_close(parts.rate, parts.mutual_information + parts.marginal_kl)


def test_one_image_has_no_information() -> None:
    parts = decompose_rate(torch.randn(2, 1, 3), torch.randn(2, 1, 3))
    assert (parts.mutual_information.abs() < 1e-9).all()
    torch.testing.assert_close(parts.rate, parts.marginal_kl)


def test_impossible_queries_are_refused_by_name() -> None:
    some = torch.zeros(5, 2)
    with pytest.raises(ValueError, match="rows from 0 to 4"):
        decompose_rate(some, some, queries=torch.tensor([0, 5]))
    with pytest.raises(ValueError, match="a row twice"):
        decompose_rate(some, some, queries=torch.tensor([3, 3]))
    with pytest.raises(ValueError, match="NaN"):
        decompose_rate_under(some, some, torch.full((4, 2), math.nan), torch.zeros(4, 2))
