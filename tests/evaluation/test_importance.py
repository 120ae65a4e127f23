"""The importance-weighted bound against closed forms, quadrature and enumeration."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from intervals import assert_covered
from linear_gaussian import moments_of
from ratereg.evaluation import LinearVAE, importance_weighted_bound
from ratereg.models import MLP, VAE, Gaussian, SingleModel

SCALE = 0.5


def linear(widths: list[float]) -> LinearVAE:
    """Return linear decoders whose posteriors are diagonal, and encoders of several times their width.

    A width of other than 1 also comes with a mean that is off.
    """
    covariance = torch.diag(torch.tensor([4.0, 1.0, 0.1, 0.1, 0.1]).double())
    model = LinearVAE.optimum(torch.linspace(-1, 1, 5), covariance, [1.0] * len(widths), 2, SCALE)
    width = torch.tensor(widths).double()[:, None]
    off = (width - 1) * (model.log_var / 2).exp() / 2
    return replace(model, log_var=model.log_var + 2 * width.log(), encoder_bias=model.encoder_bias + off)


def elbo(model: LinearVAE, x: Tensor) -> Tensor:
    """Return the mean of the ELBO over images, for each member."""
    return -model.distortion(*moments_of(x)) - model.rate(*moments_of(x))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(30, 5, generator=torch.Generator().manual_seed(8)).double()


@pytest.mark.parametrize("samples", [1, 3, 20])
def test_with_the_exact_posterior_the_bound_is_the_evidence_and_no_sample_is_lost(x: Tensor, samples: int) -> None:
    vae = linear([1.0])
    bound = importance_weighted_bound(vae, x, samples)
    torch.testing.assert_close(bound.per_image[0], vae.log_prob(x)[0])
    torch.testing.assert_close(bound.effective_sample_size, torch.full((1, 30), float(samples)).double())
    assert bound.bound_se < 1e-6
    assert (bound.samples, bound.repeats, bound.quantity) == (samples, 2, "log-likelihood")


def test_one_sample_gives_the_elbo(x: Tensor) -> None:
    vae = linear([0.5, 1.5])
    bound = importance_weighted_bound(vae, x, 1, torch.Generator().manual_seed(0), repeats=400)
    assert ((bound.bound - elbo(vae, x)).abs() < 4 * bound.bound_se).all()
    assert (bound.bound_se < 0.02).all()
    torch.testing.assert_close(bound.effective_sample_size, torch.ones(2, 30).double())


@given(seed=st.integers(0, 10**6), width=st.floats(0.4, 1.6), samples=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_the_bound_rises_with_the_samples_and_stays_below_the_evidence(seed: int, width: float, samples: int) -> None:
    vae = linear([width])
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(20, 5, generator=generator).double()
    few, many = (importance_weighted_bound(vae, x, k, generator, repeats=8) for k in (samples, 8 * samples))
    error = (few.bound_se.square() + many.bound_se.square()).sqrt()
    assert (many.bound - few.bound > -5 * error - 1e-9).all()
    for one in (few, many):
        assert (one.bound < vae.log_prob(x).mean() + 5 * one.bound_se + 1e-9).all()
        assert (one.effective_sample_size >= 1 - 1e-9).all()
        assert (one.effective_sample_size <= one.samples + 1e-9).all()


def test_the_probabilities_of_all_binary_images_add_up_to_one() -> None:
    vae = VAE(MLP(1, 8, 2), (1, 2, 3), seeds=[4]).double()
    x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).double()
    bound = importance_weighted_bound(vae, x, 2000, torch.Generator().manual_seed(5), chunk=50)
    assert bound.quantity == "log-likelihood"
    assert abs(bound.per_image.exp().sum() - 1) < 0.01


@pytest.mark.parametrize(("batch_size", "chunk"), [(1, 1), (7, 3), (30, 10), (100, 100)])
def test_how_the_work_is_cut_changes_nothing_but_rounding(x: Tensor, batch_size: int, chunk: int) -> None:
    vae = linear([0.7, 1.3])
    cut, whole = (
        importance_weighted_bound(vae, x, 10, torch.Generator().manual_seed(1), batch_size=size, chunk=count)
        for size, count in ((batch_size, chunk), (30, 10))
    )
    for name in ("per_image", "bound", "bound_se", "effective_sample_size"):
        torch.testing.assert_close(getattr(cut, name), getattr(whole, name), rtol=1e-9, atol=1e-9)


def test_images_are_encoded_once_and_no_more_than_a_batch_is_decoded(x: Tensor) -> None:
    vae, encoded, decoded = linear([0.7]), [], []

    def encode(images: Tensor) -> tuple[Tensor, Tensor]:
        encoded.append(len(images))
        mean, log_var = vae.encode(images.unsqueeze(0))
        return mean[0], log_var[0]

    def decode(z: Tensor) -> Tensor:
        decoded.append(len(z))
        return vae.decode(z.unsqueeze(0))[0]

    importance_weighted_bound(SingleModel(encode, decode, Gaussian(SCALE)), x, 50, batch_size=8, chunk=3)
    # One image more, and one latent, to see whether they fit.
    assert sum(encoded) == 30 + 1
    assert sum(decoded) == 2 * 50 * 30 + 1
    assert max(decoded) == 24


def test_members_share_the_noise_and_their_order_is_that_of_the_results(x: Tensor) -> None:
    there, back = (
        importance_weighted_bound(linear(widths), x, 6, torch.Generator().manual_seed(1))
        for widths in ([0.5, 1.5], [1.5, 0.5])
    )
    torch.testing.assert_close(there.per_image.flip(0), back.per_image)
    torch.testing.assert_close(there.bound_se.flip(0), back.bound_se)


def test_each_member_may_have_images_of_its_own(x: Tensor) -> None:
    vae = linear([0.5, 1.5])
    both = importance_weighted_bound(vae, torch.stack([x, x.flip(0)]), 5, torch.Generator().manual_seed(1))
    first = importance_weighted_bound(vae, x.unsqueeze(0), 5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(both.per_image[0], first.per_image[0])
    assert not torch.allclose(both.per_image[1], first.per_image[1])


# Of a quarter of the images the spread between them dominates; of all of them only the noise counts.
@pytest.mark.parametrize(("images", "samples"), [(100, 1), (100, 5), (25, 1)])
def test_stated_intervals_cover_the_expectation(images: int, samples: int) -> None:
    vae = linear([0.6])
    generator = torch.Generator().manual_seed(images + samples)
    x = torch.randn(100, 5, generator=generator).double()
    if samples == 1:
        truth = elbo(vae, x)[0]
    else:
        truth = importance_weighted_bound(vae, x, samples, generator, repeats=400, chunk=5).bound[0]
    chosen = (x[torch.randperm(100, generator=generator)[:images]] for _ in range(200))
    bounds = (importance_weighted_bound(vae, some, samples, generator, population=100, chunk=5) for some in chosen)
    assert_covered(((one.bound, one.bound_se) for one in bounds), truth)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples is 0; give an integer of at least 1"),
        ({"repeats": 1}, "repeats is 1; give an integer of at least 2"),
        ({"chunk": 0}, "chunk is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"population": 3}, "population is 3 for 4 images"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, object], message: str) -> None:
    vae = VAE(MLP(1, 8, 2), (1, 2, 3), seeds=[0, 1])
    with pytest.raises(ValueError, match=message):
        importance_weighted_bound(vae, torch.zeros(4, 6), **{"samples": 3} | arguments)
