"""Distortions against float64 and torch.distributions, samples against means, and inputs that do not fit."""

import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from ratereg.models import Bernoulli, Gaussian, Likelihood

BOTH = pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)], ids=str)
DTYPES = [torch.bfloat16, torch.float32, torch.float64]


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Draw parameters of a type, and pixels of which some are 0, some 1 and the others in between."""
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.rand(shape, generator=generator) - 1).clamp(0, 1)
    return (4 * torch.randn(shape, generator=generator)).to(dtype), x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_the_bernoulli_distortion_is_the_cross_entropy_of_the_logits_at_least_in_float32(
    dtype: torch.dtype, size: float
) -> None:
    logits, x = draw(3, 20, 784, dtype=dtype)
    logits = (size * logits).requires_grad_()
    value = Bernoulli().distortion(logits, x)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact, x = logits.detach().double(), x.double()
    # In this form nothing cancels.
    terms = exact.abs() * torch.where(exact < 0, x, 1 - x) + torch.log1p(torch.exp(-exact.abs()))
    torch.testing.assert_close(value.double(), terms.sum(-1), rtol=1e-6, atol=1e-6)
    value.sum().backward()
    assert logits.grad is not None
    rounding = 2**-8 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(logits.grad.double(), torch.sigmoid(exact) - x, rtol=rounding, atol=3e-7)


@BOTH
def test_a_members_distortion_is_that_of_the_member_alone_to_the_bit(likelihood: Likelihood) -> None:
    parameters, x = draw(6, 50, 61)
    together = likelihood.distortion(parameters, x)
    for member in range(6):
        alone = likelihood.distortion(parameters[member : member + 1], x[member : member + 1])
        assert torch.equal(alone, together[member : member + 1])


@BOTH
def test_images_may_be_the_same_for_all_members_and_lie_anyhow(likelihood: Likelihood) -> None:
    parameters, x = draw(3, 8, 70)
    shared = (x[:1], x[:, :1], x[0], x[0, 0], x[:1].expand(3, 8, 70), x.permute(2, 0, 1).contiguous().movedim(0, 2))
    for images in shared:
        full = images.expand(3, 8, 70).contiguous()
        torch.testing.assert_close(likelihood.distortion(parameters, images), likelihood.distortion(parameters, full))


@BOTH
@pytest.mark.parametrize(
    ("parameters", "x"),
    [
        (torch.zeros(2, 3, 6), torch.zeros(2, 3, 5)),
        (torch.zeros(2, 3, 6), torch.zeros(2, 3, 1)),
        (torch.zeros(2, 3, 6), torch.zeros(3, 3, 6)),
        (torch.zeros(3, 6), torch.zeros(2, 3, 6)),
        (torch.zeros(3, 6), torch.zeros(3, 6, dtype=torch.uint8)),
        (torch.zeros(3, 6), torch.zeros(3, 6, device="meta")),
        (torch.zeros(3, 6, dtype=torch.int64), torch.zeros(3, 6)),
    ],
    ids=["pixels", "one pixel", "members", "axes", "uint8", "device", "integers"],
)
def test_images_that_do_not_fit_are_refused(likelihood: Likelihood, parameters: Tensor, x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"distortion: (x is .*give floats for parameters|parameters are torch.int64)"):
        inspect.unwrap(type(likelihood).distortion)(likelihood, parameters, x)


@given(scale=st.floats(0.01, 10))
@settings(max_examples=20, deadline=None)
def test_the_gaussian_distortion_is_the_negative_log_density(scale: float) -> None:
    means, x = torch.randn(2, 5, 12).double(), torch.rand(2, 5, 12).double()
    oracle = -Normal(means, scale).log_prob(x).sum(-1)
    torch.testing.assert_close(Gaussian(scale).distortion(means, x), oracle)
    assert Gaussian(scale).distortion(means.bfloat16(), x.float()).dtype == torch.float32


@BOTH
def test_samples_have_the_likelihoods_mean_and_spread(likelihood: Likelihood) -> None:
    parameters = 2 * torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    samples = likelihood.sample(parameters.expand(20_000, -1, -1), torch.Generator().manual_seed(1))
    assert samples.dtype == parameters.dtype
    mean = likelihood.mean(parameters)[0]
    spread = (mean * (1 - mean)).sqrt() if isinstance(likelihood, Bernoulli) else torch.full_like(mean, 0.3)
    assert ((samples.mean(0) - mean).abs() < 5 * spread / 20_000**0.5).all()
    torch.testing.assert_close(samples.std(0), spread, rtol=0.05, atol=0)
    assert likelihood.is_density(samples)


def test_the_bernoulli_is_a_density_of_binary_images_only() -> None:
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double()
    logits = torch.randn(1, 4).double()
    total = (-Bernoulli().distortion(logits.expand(16, 4), every)).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0).double())
    assert Bernoulli().is_density(every)
    assert not Bernoulli().is_density(torch.tensor([[0.0, 1.0], [1.0, 0.5]]))
    assert Gaussian().is_density(torch.tensor([[0.5]]))


def test_a_likelihood_is_a_value_with_a_label_and_a_positive_scale() -> None:
    assert Gaussian(1) == Gaussian(1.0)
    assert repr(Gaussian(1)) == "Gaussian(scale=1.0)"
    assert (Bernoulli().label, Gaussian().label, Gaussian(2).label) == ("bernoulli", "gaussian 0.1", "gaussian 2")
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="Gaussian: scale is"):
            Gaussian(scale)
