"""What each latent carries, against closed forms and quadrature."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from intervals import assert_covered
from ratereg.evaluation import active_units, decompose_rate, rate_per_dimension, split_marginal_kl
from ratereg.models import StandardGaussian


def marginal_kl(mean: Tensor, log_var: Tensor) -> float:
    """Return KL(q(z) || p(z)) of one latent or two by a sum over a grid."""
    latent = mean.shape[1]
    axis = torch.linspace(-9, 9, 20_001 if latent == 1 else 901, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latent).view(-1, latent)
    components = torch.distributions.Normal(mean.double(), (log_var.double() / 2).exp())
    log_q = torch.cat([components.log_prob(some[:, None]).sum(-1).logsumexp(1) for some in z.split(20_000)])
    log_q = log_q - math.log(len(mean))
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    return float((log_q.exp() * (log_q - log_p)).sum() * (axis[1] - axis[0]) ** latent)


def correlated(images: int, width: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    first = torch.randn(images, 1, generator=generator)
    mean = torch.cat([first, 0.8 * first + 0.3 * torch.randn(images, 1, generator=generator)], 1)
    return mean, torch.full((images, 2), 2 * math.log(width)) + torch.randn(images, 2, generator=generator) / 5


def test_rates_of_the_dimensions_add_up_to_the_rate() -> None:
    mean, log_var = torch.randn(2, 30, 4), torch.randn(2, 30, 4)
    by_dimension = rate_per_dimension(mean, log_var)
    assert by_dimension.shape == (2, 4)
    torch.testing.assert_close(by_dimension.sum(-1), StandardGaussian().rate(mean.double(), log_var.double()).mean(-1))
    alone = StandardGaussian().rate(mean[1, :, 2:3].double(), log_var[1, :, 2:3].double()).mean()
    torch.testing.assert_close(by_dimension[1, 2], alone)


def test_a_unit_is_active_when_its_mean_varies_over_images() -> None:
    varying = torch.linspace(-1, 1, 50)
    mean = torch.stack([varying, 0.15 * varying, torch.full_like(varying, 3.0)], 1)
    assert active_units(mean).tolist() == [True, False, False]
    assert active_units(mean, threshold=0.001).tolist() == [True, True, False]
    assert active_units(torch.stack([mean, mean.flip(1)])).tolist() == [[True, False, False], [False, False, True]]


@pytest.mark.parametrize("width", [0.7, 0.2])
def test_the_split_agrees_with_quadrature(width: float) -> None:
    generator = torch.Generator().manual_seed(3)
    mean, log_var = correlated(40, width, generator)
    split = split_marginal_kl(mean, log_var, generator, draws=400)
    one_by_one = torch.tensor([marginal_kl(mean[:, [k]], log_var[:, [k]]) for k in (0, 1)], dtype=torch.float64)
    assert ((split.dimension_wise_kl - one_by_one).abs() < 4 * split.dimension_wise_kl_se).all()
    correlation = marginal_kl(mean, log_var) - one_by_one.sum()
    assert abs(split.total_correlation - correlation) < 4 * split.total_correlation_se
    assert split.total_correlation_se < 0.05 * correlation


def test_stated_intervals_of_the_split_cover_the_truth() -> None:
    generator = torch.Generator().manual_seed(4)
    mean, log_var = correlated(150, 0.3, generator)
    one_by_one = torch.tensor([marginal_kl(mean[:, [k]], log_var[:, [k]]) for k in (0, 1)], dtype=torch.float64)
    correlation = marginal_kl(mean, log_var) - one_by_one.sum()
    splits = [split_marginal_kl(mean, log_var, generator, draws=2) for _ in range(200)]
    assert_covered(((split.total_correlation, split.total_correlation_se) for split in splits), correlation)
    assert_covered(((split.dimension_wise_kl, split.dimension_wise_kl_se) for split in splits), one_by_one)


@given(seed=st.integers(0, 10**6), images=st.integers(1, 40), latent=st.integers(1, 5), log_sigma=st.floats(-6, 1))
@settings(max_examples=20, deadline=None)
def test_total_correlation_and_dimensions_add_up_to_the_marginal_kl(
    seed: int, images: int, latent: int, log_sigma: float
) -> None:
    mean = torch.randn(2, images, latent, generator=torch.Generator().manual_seed(seed))
    log_var = torch.full_like(mean, 2 * log_sigma)
    split = split_marginal_kl(mean, log_var, torch.Generator().manual_seed(seed), draws=64)
    total = split.total_correlation + split.dimension_wise_kl.sum(-1)
    torch.testing.assert_close(split.marginal_kl, total, rtol=0, atol=1e-9)
    parts = decompose_rate(mean, log_var, torch.Generator().manual_seed(seed + 1), draws=64)
    errors = parts.marginal_kl_se + split.total_correlation_se + split.dimension_wise_kl_se.sum(-1)
    assert ((parts.marginal_kl - split.marginal_kl).abs() < 5 * errors + 1e-6).all()
    if latent == 1:
        assert (split.total_correlation.abs() < 1e-9).all()


def test_too_few_images_and_bad_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        active_units(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="threshold is -1"):
        active_units(torch.zeros(4, 3), threshold=-1)
    with pytest.raises(ValueError, match="queries is empty"):
        split_marginal_kl(torch.zeros(4, 3), torch.zeros(4, 3), queries=torch.arange(0))
