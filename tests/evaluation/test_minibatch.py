"""Minibatch estimates of log q(z): their forms, their ceilings, and the signs of their biases."""

import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratereg.evaluation import aggregate_log_prob
from ratereg.evaluation.minibatch import MinibatchMethod, minibatch_log_prob, minibatch_weights

METHODS: list[MinibatchMethod] = ["plain", "weighted", "stratified"]


def own_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return torch.distributions.Normal(mean, (log_var / 2).exp()).log_prob(z).sum(-1)


@given(batch=st.integers(2, 40), more=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_rows_of_the_weights_have_their_sums(batch: int, more: int) -> None:
    images = batch + more
    one = torch.ones(batch, dtype=torch.float64)
    torch.testing.assert_close(minibatch_weights(batch, images, "plain").sum(1), one)
    torch.testing.assert_close(minibatch_weights(batch, images, "weighted").sum(1), one / images)
    torch.testing.assert_close(minibatch_weights(batch, images, "stratified").sum(1), one)


@given(batch=st.integers(3, 40), more=st.integers(1, 1000))
@settings(max_examples=30, deadline=None)
def test_each_stratified_row_has_its_own_weight_one_odd_one_and_equal_others(batch: int, more: int) -> None:
    # A widespread implementation writes with the stride of a row into the flattened matrix: 1/N goes into column 0 of
    # every row and the odd weight into column 1. An own component then weighs 1/M, and one row does not sum to one.
    images, others = batch + more, batch - 1
    weights = minibatch_weights(batch, images, "stratified")
    odd = (images - others) / (images * others)
    for row in range(batch):
        rest = torch.cat([weights[row, :row], weights[row, row + 1 :]])
        expected = torch.full((others,), 1 / others, dtype=torch.float64)
        expected[-1] = odd
        assert weights[row, row] == 1 / images
        torch.testing.assert_close(rest.sort(descending=True).values, expected)
    strided = torch.full((batch, batch), 1 / others, dtype=torch.float64)
    strided.view(-1)[::batch] = 1 / images
    strided.view(-1)[1::batch] = odd
    assert not torch.equal(strided, weights)


@pytest.mark.parametrize(
    ("method", "ceiling"),
    [("plain", math.log(6)), ("weighted", math.log(6 * 500)), ("stratified", math.log(500))],
)
def test_separate_encodings_reach_the_ceiling(method: MinibatchMethod, ceiling: float) -> None:
    mean = torch.arange(6.0)[:, None].expand(6, 2).double()
    log_var = torch.full_like(mean, 2 * math.log(1e-3))
    z = mean + 1e-3 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    information = own_log_prob(z, mean, log_var) - minibatch_log_prob(z, mean, log_var, 500, method)
    torch.testing.assert_close(information, torch.full_like(information, ceiling))


@given(seed=st.integers(0, 10**6), batch=st.integers(2, 20), log_sigma=st.floats(-6, 1))
@settings(max_examples=30, deadline=None)
def test_no_term_exceeds_its_ceiling(seed: int, batch: int, log_sigma: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(batch, 3, generator=generator).double()
    log_var = torch.full_like(mean, 2 * log_sigma)
    z = mean + math.exp(log_sigma) * torch.randn(batch, 3, generator=generator)
    for method, ceiling in zip(METHODS, (batch, 100 * batch, 100), strict=True):
        terms = own_log_prob(z, mean, log_var) - minibatch_log_prob(z, mean, log_var, 100, method)
        assert (terms <= math.log(ceiling) + 1e-6).all()


def test_a_batch_of_all_images_makes_plain_exact() -> None:
    generator = torch.Generator().manual_seed(2)
    mean, log_var, z = (torch.randn(2, 30, 4, generator=generator) for _ in range(3))
    torch.testing.assert_close(
        minibatch_log_prob(z, mean, log_var, 30, "plain"), aggregate_log_prob(z, mean, log_var), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("batch", [2, 3])
def test_stratified_estimates_the_density_itself_without_bias(batch: int) -> None:
    generator = torch.Generator().manual_seed(3)
    images = 5
    mean, log_var, z = (torch.randn(images, 2, generator=generator).double() for _ in range(3))
    exact = aggregate_log_prob(z[:1], mean, log_var).exp()
    values = []
    # All ordered batches whose first image is image 0, which the estimate belongs to.
    for others in itertools.permutations(range(1, images), batch - 1):
        rows = torch.tensor([0, *others])
        values.append(minibatch_log_prob(z[rows], mean[rows], log_var[rows], images, "stratified")[0].exp())
    torch.testing.assert_close(torch.stack(values).mean(), exact[0])


def table_of(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return log q(z_i|x_j) as (..., i, j)."""
    posteriors = torch.distributions.Normal(mean.unsqueeze(-3), (log_var / 2).exp().unsqueeze(-3))
    return posteriors.log_prob(z.unsqueeze(-2)).sum(-1)


@given(seed=st.integers(0, 10**6), batch=st.integers(2, 20), more=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_an_estimate_is_the_log_of_the_weighted_sum_of_densities(seed: int, batch: int, more: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_var, z = (torch.randn(batch, 3, generator=generator).double() for _ in range(3))
    densities = table_of(z, mean, log_var).exp()
    for method in METHODS:
        expected = (minibatch_weights(batch, batch + more, method) * densities).sum(1).log()
        torch.testing.assert_close(minibatch_log_prob(z, mean, log_var, batch + more, method), expected)


def expected_information(method: MinibatchMethod, sigma: float, batch: int) -> tuple[float, float]:
    """Return the expectation over all batches of a small data set, and the exact value, on the same many samples."""
    generator = torch.Generator().manual_seed(4)
    images, draws = 6, 2000
    mean = torch.linspace(-1.5, 1.5, images).double()[:, None].expand(draws, images, 1)
    z = mean + sigma * torch.randn(draws, images, 1, generator=generator)
    table = table_of(z, mean, torch.full_like(mean, 2 * math.log(sigma)))
    own = table.diagonal(dim1=-2, dim2=-1)
    exact = (own - table.logsumexp(-1) + math.log(images)).mean().item()
    log_weights = minibatch_weights(batch, images, method).log()
    estimates = []
    for rows in map(list, itertools.permutations(range(images), batch)):
        estimate = (table[:, rows][..., rows] + log_weights).logsumexp(-1)
        estimates.append((own[:, rows] - estimate).mean().item())
    return sum(estimates) / len(estimates), exact


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5])
def test_the_bias_of_the_information_has_the_documented_sign(sigma: float) -> None:
    for batch in (2, 3):
        plain, exact = expected_information("plain", sigma, batch)
        weighted, _ = expected_information("weighted", sigma, batch)
        stratified, _ = expected_information("stratified", sigma, batch)
        assert plain < exact - 1e-3
        assert weighted > math.log(6)
        assert weighted == pytest.approx(plain + math.log(6))
        # Equal only where the encodings are all apart, so that the estimate is the ceiling for every batch.
        assert exact < stratified <= math.log(6) + 1e-9


def test_a_leading_axis_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(5)
    mean, log_var, z = (torch.randn(3, 2, 7, 4, generator=generator) for _ in range(3))
    for method in METHODS:
        together = minibatch_log_prob(z, mean, log_var, 50, method)
        assert together.shape == (3, 2, 7)
        assert together.dtype == torch.float64
        alone = minibatch_log_prob(z[2, 1], mean[2, 1], log_var[2, 1], 50, method)
        torch.testing.assert_close(together[2, 1], alone)


@pytest.mark.parametrize(
    ("batch", "images", "method", "message"),
    [
        (4, 3, "plain", "batch is 4 and images is 3"),
        (0, 3, "plain", "batch is 0"),
        (1, 3, "stratified", "batch is 1"),
        (4, 9, "naive", "method is 'naive'"),
    ],
)
def test_batches_and_methods_that_do_not_exist_are_refused(
    batch: int, images: int, method: MinibatchMethod, message: str
) -> None:
    # Unwrapped, since the tests' own check of types comes first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(minibatch_weights)(batch, images, method)


def test_there_is_one_latent_for_each_image_of_the_batch() -> None:
    with pytest.raises(ValueError, match="one z for each image"):
        inspect.unwrap(minibatch_log_prob)(torch.zeros(3, 2), torch.zeros(4, 2), torch.zeros(4, 2), 9, "plain")
