"""Information estimates against quadrature and closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratereg.evaluation import decompose_rate


@pytest.mark.parametrize("log_sigma", [-12.0, -20.0, -28.0])
def test_posteriors_almost_without_width_carry_log_n(log_sigma: float) -> None:
    generator = torch.Generator().manual_seed(2)
    mean = 5 * torch.randn(3000, 2, generator=generator)
    parts = decompose_rate(mean, torch.full_like(mean, 2 * log_sigma), generator)
    assert abs(parts.mutual_information_mc - math.log(3000)) < 1e-6


@given(seed=st.integers(0, 10**6), images=st.integers(2, 60), latent=st.integers(1, 6), log_sigma=st.floats(-6, 1))
@settings(max_examples=40, deadline=None)
def test_the_rate_splits_exactly_and_the_information_has_its_ceiling(
    seed: int, images: int, latent: int, log_sigma: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(2, images, latent, generator=generator)
    # Enough draws that a standard error of two images is itself known well enough for the last line.
    parts = decompose_rate(mean, torch.full_like(mean, 2 * log_sigma), generator, draws=64)
    torch.testing.assert_close(parts.rate, parts.mutual_information + parts.marginal_kl, rtol=0, atol=1e-9)
    torch.testing.assert_close(parts.rate_mc, parts.mutual_information_mc + parts.marginal_kl_mc, rtol=0, atol=1e-9)
    assert parts.log_n == math.log(images)
    assert (parts.mutual_information_mc <= parts.log_n + 1e-6).all()
    assert (parts.mutual_information > -5 * parts.mutual_information_se - 1e-6).all()


def quadrature(mean: Tensor, log_var: Tensor) -> tuple[float, float]:
    """Return the mutual information and the marginal KL of a 1-d latent by the trapezoidal rule."""
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    components = torch.distributions.Normal(mean.double(), (log_var.double() / 2).exp())
    log_q = torch.logsumexp(components.log_prob(grid[:, None]), 1) - math.log(len(mean))
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(grid)
    entropy = -torch.trapezoid(log_q.exp() * log_q, grid)
    conditional = components.entropy().mean()
    return float(entropy - conditional), float(torch.trapezoid(log_q.exp() * (log_q - log_p), grid))


@pytest.mark.parametrize("sigma", [1.0, 0.3, 0.05])
def test_both_parts_agree_with_quadrature(sigma: float) -> None:
    generator = torch.Generator().manual_seed(5)
    mean = torch.randn(40, 1, generator=generator)
    log_var = torch.full_like(mean, 2 * math.log(sigma))
    information, marginal_kl = quadrature(mean[:, 0], log_var[:, 0])
    parts = decompose_rate(mean, log_var, generator, draws=400)
    assert abs(parts.mutual_information - information) < 4 * parts.mutual_information_se + 1e-6
    assert abs(parts.marginal_kl - marginal_kl) < 4 * parts.marginal_kl_se + 1e-6
    assert parts.marginal_kl_se < 0.02


@pytest.mark.parametrize(("images", "queried"), [(600, 600), (600, 250), (60, 60), (60, 30)])
def test_stated_intervals_cover_the_truth(images: int, queried: int) -> None:
    generator = torch.Generator().manual_seed(11)
    mean = torch.randn(images, 1, generator=generator)
    log_var = torch.randn(images, 1, generator=generator) / 2 - 2
    _, truth = quadrature(mean[:, 0], log_var[:, 0])
    covered = 0
    for _ in range(200):
        queries = torch.randperm(images, generator=generator)[:queried] if queried < images else None
        parts = decompose_rate(mean, log_var, generator, queries=queries, draws=4)
        covered += abs(parts.marginal_kl.item() - truth) < 1.96 * parts.marginal_kl_se.item()
    assert 0.9 <= covered / 200 <= 0.99


def test_the_control_variate_narrows_the_error_at_saturation() -> None:
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(400, 10, generator=generator)
    parts = decompose_rate(mean, torch.full_like(mean, 2 * math.log(0.01)), generator)
    assert parts.marginal_kl_se < 1e-3
    assert abs(parts.mutual_information - math.log(400)) < 1e-3
    assert abs(parts.marginal_kl_mc - parts.marginal_kl) < 0.6


def test_a_collapsed_posterior_carries_no_information() -> None:
    parts = decompose_rate(torch.zeros(50, 3), torch.zeros(50, 3))
    for value in (parts.rate, parts.mutual_information, parts.marginal_kl):
        assert abs(value) < 1e-6


def test_a_member_axis_changes_nothing() -> None:
    mean, log_var = torch.randn(2, 30, 4), torch.randn(2, 30, 4)
    together = decompose_rate(mean, log_var, torch.Generator().manual_seed(1))
    alone = decompose_rate(mean[1], log_var[1], torch.Generator().manual_seed(1))
    torch.testing.assert_close(together.marginal_kl[1], alone.marginal_kl)
    torch.testing.assert_close(together.marginal_kl_se[1], alone.marginal_kl_se)


def test_no_query_and_a_single_draw_are_refused() -> None:
    with pytest.raises(ValueError, match="queries is empty"):
        decompose_rate(torch.zeros(5, 2), torch.zeros(5, 2), queries=torch.arange(0))
    with pytest.raises(ValueError, match="draws is 1"):
        decompose_rate(torch.zeros(5, 2), torch.zeros(5, 2), draws=1)
