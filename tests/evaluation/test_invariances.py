"""What must leave the information terms as they are, whatever the posteriors."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ratereg.evaluation import aggregate_log_prob, decompose_rate, decompose_rate_under

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
