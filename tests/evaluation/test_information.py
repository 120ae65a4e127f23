"""Information terms against quadrature and closed forms: under the images' own aggregate, and under a reference's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from intervals import assert_covered
from ratereg.evaluation import aggregate_log_prob, decompose_rate, decompose_rate_under
from ratereg.models.priors import MixtureOfGaussians

GRID = torch.linspace(-14, 14, 20_001, dtype=torch.float64)
LOG_NORMAL = torch.distributions.Normal(0.0, 1.0).log_prob(GRID)


def two_sides(members: int, latent: int) -> MixtureOfGaussians:
    """A prior of two Gaussians of width 0.5, at -1 and 1."""
    prior = MixtureOfGaussians(2).build(latent, [torch.Generator() for _ in range(members)]).double()
    with torch.no_grad():
        prior.mean.copy_(torch.tensor([-1.0, 1.0])[:, None])
        prior.log_var.fill_(2 * math.log(0.5))
    return prior


def one_latent(images: int, width: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    mean = torch.randn(images, 1, generator=generator).double()
    return mean, torch.full_like(mean, 2 * math.log(width)) + torch.randn(images, 1, generator=generator) / 5


def on_grid(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return the log density of the mixture of all posteriors on the grid."""
    components = torch.distributions.Normal(mean[:, 0], (log_var[:, 0] / 2).exp())
    return torch.logsumexp(components.log_prob(GRID[:, None]), 1) - math.log(len(mean))


def quadrature(mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mutual information and the marginal KL of a 1-d latent by the trapezoidal rule."""
    log_q, negative_entropy = on_grid(mean, log_var), -(log_var + math.log(2 * math.pi * math.e)).mean() / 2
    density = log_q.exp()
    information = negative_entropy - torch.trapezoid(density * log_q, GRID)
    return information, torch.trapezoid(density * (log_q - LOG_NORMAL), GRID)


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


@pytest.mark.parametrize("width", [1.0, 0.3, 0.05])
def test_both_parts_agree_with_quadrature(width: float) -> None:
    generator = torch.Generator().manual_seed(5)
    mean, log_var = one_latent(40, width, generator)
    information, marginal_kl = quadrature(mean, log_var)
    parts = decompose_rate(mean, log_var, generator, draws=400)
    assert abs(parts.mutual_information - information) < 4 * parts.mutual_information_se + 1e-6
    assert abs(parts.marginal_kl - marginal_kl) < 4 * parts.marginal_kl_se + 1e-6
    assert parts.marginal_kl_se < 0.02


@pytest.mark.parametrize(("images", "queried"), [(600, 600), (600, 250), (60, 60), (60, 30)])
def test_stated_intervals_cover_the_truth(images: int, queried: int) -> None:
    generator = torch.Generator().manual_seed(11)
    mean = torch.randn(images, 1, generator=generator)
    log_var = torch.randn(images, 1, generator=generator) / 2 - 2
    _, truth = quadrature(mean.double(), log_var.double())

    def repetition() -> tuple[Tensor, Tensor]:
        queries = torch.randperm(images, generator=generator)[:queried] if queried < images else None
        parts = decompose_rate(mean, log_var, generator, queries=queries, draws=4)
        return parts.marginal_kl, parts.marginal_kl_se

    assert_covered((repetition() for _ in range(200)), truth)


def test_the_control_variate_narrows_the_error_at_saturation() -> None:
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(400, 10, generator=generator)
    parts = decompose_rate(mean, torch.full_like(mean, 2 * math.log(0.01)), generator)
    assert parts.marginal_kl_se < 1e-3
    assert abs(parts.mutual_information - math.log(400)) < 1e-3
    assert abs(parts.marginal_kl_mc - parts.marginal_kl) < 0.6


def test_one_image_has_no_information() -> None:
    parts = decompose_rate(torch.randn(2, 1, 3), torch.randn(2, 1, 3))
    assert (parts.mutual_information.abs() < 1e-9).all()
    torch.testing.assert_close(parts.rate, parts.marginal_kl)


# Under a reference


@pytest.mark.parametrize("width", [0.6, 0.1])
def test_the_parts_under_a_reference_agree_with_quadrature(width: float) -> None:
    generator = torch.Generator().manual_seed(1)
    test, train = one_latent(40, width, generator), one_latent(70, width, generator)
    log_test, log_train, log_prior = on_grid(*test), on_grid(*train), LOG_NORMAL
    density = log_test.exp()
    parts = decompose_rate_under(*test, *train, generator, draws=400)
    marginal = torch.trapezoid(density * (log_train - log_prior), GRID)
    divergence = torch.trapezoid(density * (log_test - log_train), GRID)
    own, _ = quadrature(*test)
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
    for prior in (None, two_sides(1, 3)):
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
    repeated = [decompose_rate_under(*test, *train, generator, draws=4) for _ in range(200)]
    for name, log_ratio in (
        ("marginal_under_reference", log_train - LOG_NORMAL),
        ("aggregate_divergence", log_test - log_train),
    ):
        truth = torch.trapezoid(log_test.exp() * log_ratio, GRID)
        assert_covered(((getattr(parts, name), getattr(parts, f"{name}_se")) for parts in repeated), truth)


# Other priors


@pytest.mark.parametrize("width", [0.8, 0.1])
def test_a_prior_without_a_closed_form_has_its_rate_sampled(width: float) -> None:
    generator = torch.Generator().manual_seed(3)
    mean, log_var = one_latent(50, width, generator)
    parts = decompose_rate(mean, log_var, generator, draws=400, prior=two_sides(1, 1))
    log_q = on_grid(mean, log_var)
    sides = [torch.distributions.Normal(side, 0.5).log_prob(GRID) for side in (-1.0, 1.0)]
    log_prior = torch.stack(sides).logsumexp(0) - math.log(2)
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


# What must leave the terms as they are


NAMES = ("rate", "mutual_information", "marginal_kl", "mutual_information_se", "mutual_information_mc", "rate_mc")
anything = {
    "seed": st.integers(0, 10**6),
    "images": st.integers(2, 30),
    "latent": st.integers(1, 5),
    "log_sigma": st.floats(-5, 0.5),
}


def posteriors(seed: int, images: int, latent: int, log_sigma: float) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(3, images, latent, generator=generator).double()
    log_var = 2 * log_sigma + torch.randn(3, images, latent, generator=generator).double() / 3
    return mean, log_var, generator


def again(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed + 1)


@given(**anything)
@settings(max_examples=25, deadline=None)
def test_the_order_of_images_members_and_latents_does_not_matter(
    seed: int, images: int, latent: int, log_sigma: float
) -> None:
    mean, log_var, generator = posteriors(seed, images, latent, log_sigma)
    before = decompose_rate(mean, log_var, again(seed))
    order = torch.randperm(images, generator=generator)
    # The same images are queried in the same order, so that each keeps its noise.
    place = order.argsort()
    shuffled = decompose_rate(mean[:, order], log_var[:, order], again(seed), queries=place)
    members = torch.randperm(3, generator=generator)
    permuted = decompose_rate(mean[members], log_var[members], again(seed))
    for name in NAMES:
        torch.testing.assert_close(getattr(shuffled, name), getattr(before, name), rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(getattr(permuted, name), getattr(before, name)[members], rtol=1e-9, atol=1e-9)
    turned = torch.randperm(latent, generator=generator)
    z = mean + (log_var / 2).exp()
    torch.testing.assert_close(
        aggregate_log_prob(z[..., turned], mean[..., turned], log_var[..., turned]),
        aggregate_log_prob(z, mean, log_var),
        rtol=1e-7,
        atol=1e-6,
    )


@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50), **anything)
@settings(max_examples=25, deadline=None)
def test_scaling_and_shifting_the_latents_leaves_the_information_alone(
    seed: int, images: int, latent: int, log_sigma: float, scale: float, shift: float
) -> None:
    mean, log_var, generator = posteriors(seed, images, latent, log_sigma)
    scales = scale * torch.rand(latent, generator=generator).double().add(0.5)
    moved = scales * mean + shift, log_var + 2 * scales.log()
    # Enough draws that a standard error of two images is itself known well enough for what follows.
    before, after = (decompose_rate(*both, again(seed), draws=64) for both in ((mean, log_var), moved))
    torch.testing.assert_close(after.mutual_information_mc, before.mutual_information_mc, rtol=0, atol=2e-5)
    # The steadied estimate has another control, so it is the same number with another error.
    difference = (after.mutual_information - before.mutual_information).abs()
    assert (difference <= 5 * (after.mutual_information_se + before.mutual_information_se) + 1e-6).all()
    other = mean.flip(1) + 0.3
    divergence = [
        decompose_rate_under(*both, *reference, again(seed)).information_under_reference_mc
        for both, reference in (
            ((mean, log_var), (other, log_var)),
            (moved, (scales * other + shift, moved[1])),
        )
    ]
    torch.testing.assert_close(divergence[1], divergence[0], rtol=1e-5, atol=1e-4)


@given(**anything)
@settings(max_examples=15, deadline=None)
def test_the_marginal_kl_of_independent_halves_adds_up(seed: int, images: int, latent: int, log_sigma: float) -> None:
    mean, log_var, _ = posteriors(seed, min(images, 8), latent, log_sigma)
    # All pairs of two sets of posteriors: an aggregate that is a product.
    count = mean.shape[1]
    first, second = torch.cartesian_prod(torch.arange(count), torch.arange(count)).T
    pairs = [torch.cat([values[:, first], values.flip(1)[:, second] / 2], -1) for values in (mean, log_var)]
    half = decompose_rate(mean / 2, log_var / 2, again(seed), draws=64)
    whole, other = decompose_rate(*pairs, again(seed), draws=64), decompose_rate(mean, log_var, again(seed), draws=64)
    error = half.marginal_kl_se + whole.marginal_kl_se + other.marginal_kl_se
    assert ((whole.marginal_kl - half.marginal_kl - other.marginal_kl).abs() < 5 * error + 1e-6).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": torch.arange(0)}, "queries is empty"),
        ({"queries": torch.tensor([0, 5])}, "rows from 0 to 4"),
        ({"queries": torch.tensor([3, 3])}, "a row twice"),
        ({"draws": 1}, "draws is 1"),
        ({"draws": 0}, "draws is 0"),
    ],
)
def test_impossible_queries_and_draws_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decompose_rate(torch.zeros(5, 2), torch.zeros(5, 2), **change)  # type: ignore[arg-type]
