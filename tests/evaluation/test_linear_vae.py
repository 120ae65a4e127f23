"""The linear VAE against autograd and textbook formulas."""

import inspect
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import linear_gaussian
from linear_gaussian import Moments, moments_of, perturbed, sample
from ratereg.evaluation import LinearVAE, spiked_limit

PARAMETERS = ("decoder_weight", "decoder_bias", "encoder_weight", "encoder_bias", "log_var")
BETAS = (3.0, 1.0, 0.3, 0.05)
SCALE = 0.3


def population(seed: int) -> Moments:
    """Return moments of images whose eigenvalues fall from 1 to far below SCALE squared."""
    return linear_gaussian.population(seed, torch.logspace(0, -3, 7, dtype=torch.float64))


@pytest.mark.parametrize("latent_dim", [1, 3, 7])
def test_the_optimum_has_no_gradient_and_no_better_neighbor(latent_dim: int) -> None:
    moments, betas = population(0), torch.tensor(BETAS, dtype=torch.float64)
    model = LinearVAE.optimum(*moments, BETAS, latent_dim, SCALE)

    def objective(model: LinearVAE) -> Tensor:
        return model.distortion(*moments) + betas * model.rate(*moments)

    tensors = {name: getattr(model, name).clone().requires_grad_() for name in PARAMETERS}
    gradients = torch.autograd.grad(objective(replace(model, **tensors)).sum(), list(tensors.values()))
    assert max(gradient.abs().max() for gradient in gradients) < 1e-9
    for seed in range(20):
        for size in (1e-4, 1e-2, 0.5):
            assert (objective(perturbed(model, size, seed)) > objective(model)).all()


def test_rate_and_distortion_along_the_path_are_reverse_water_filling() -> None:
    moments = population(1)
    eigenvalues = torch.linalg.eigvalsh(moments[1]).flip(0)
    model = LinearVAE.optimum(*moments, BETAS, 3, SCALE)
    for member, beta in enumerate(BETAS):
        tau = beta * SCALE**2
        active = eigenvalues[:3][eigenvalues[:3] > tau]
        square = tau * len(active) + eigenvalues[len(active) :].sum()
        constant = 7 * math.log(2 * math.pi * SCALE**2) / 2
        torch.testing.assert_close(model.rate(*moments)[member], (active / tau).log().sum() / 2)
        torch.testing.assert_close(model.distortion(*moments)[member], square / (2 * SCALE**2) + constant)


def test_the_slope_of_the_path_is_minus_beta() -> None:
    moments, beta, step = population(2), torch.tensor(BETAS, dtype=torch.float64), 1e-5
    ends = [LinearVAE.optimum(*moments, (beta * factor).tolist(), 4, SCALE) for factor in (1 - step, 1 + step)]
    rates, distortions = ([getattr(end, name)(*moments) for end in ends] for name in ("rate", "distortion"))
    torch.testing.assert_close((distortions[1] - distortions[0]) / (rates[1] - rates[0]), -beta, rtol=1e-5, atol=0)


def test_above_the_largest_eigenvalue_everything_collapses_onto_the_prior() -> None:
    moments = population(3)
    model = LinearVAE.optimum(*moments, [1.01 / SCALE**2], 3, SCALE)
    assert model.rate(*moments).item() == 0
    mean, log_var = model.encode(sample(moments, 5, 0)[None])
    assert (mean == 0).all()
    assert (log_var == 0).all()
    assert (model.decode(torch.randn(1, 5, 3)) == moments[0]).all()


def test_at_the_optimum_the_aggregate_posterior_is_the_prior_and_the_rate_all_information() -> None:
    moments = population(4)
    model = LinearVAE.optimum(*moments, BETAS, 3, SCALE)
    assert model.marginal_kl(*moments).abs().max() < 1e-12
    torch.testing.assert_close(model.mutual_information(moments[1]), model.rate(*moments))
    other = population(5)
    parts = model.mutual_information(other[1]) + model.marginal_kl(*other)
    torch.testing.assert_close(parts, model.rate(*other))
    assert (model.marginal_kl(*other) > 0.01).all()


def test_at_beta_one_the_encoder_is_the_true_posterior_and_the_bound_is_tight() -> None:
    moments = population(6)
    model, x = LinearVAE.optimum(*moments, [1.0], 4, SCALE), sample(moments, 20, 1)
    mean, covariance = model.posterior(x)
    own_mean, own_log_var = model.encode(x[None])
    torch.testing.assert_close(mean, own_mean)
    torch.testing.assert_close(covariance, torch.diag_embed(own_log_var[:, 0].exp()))
    bound = -model.distortion(*moments) - model.rate(*moments)
    torch.testing.assert_close(model.expected_log_prob(*moments), bound)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_evidence_and_posterior_are_those_of_the_joint_gaussian(seed: int) -> None:
    model = perturbed(LinearVAE.optimum(*population(seed), BETAS, 3, SCALE), 0.3, seed)
    x = sample(population(seed + 1), 30, seed)
    noise = SCALE**2 * torch.eye(7, dtype=torch.float64)
    for member in range(model.members):
        weight, bias = model.decoder_weight[member], model.decoder_bias[member]
        marginal = torch.distributions.MultivariateNormal(bias, weight @ weight.T + noise)
        torch.testing.assert_close(model.log_prob(x)[member], marginal.log_prob(x))
        # Conditioning of the joint Gaussian of z and x, by the covariance of x.
        gain = weight.T @ torch.linalg.inv(weight @ weight.T + noise)
        torch.testing.assert_close(model.posterior(x)[0][member], (x - bias) @ gain.T)
        torch.testing.assert_close(model.posterior(x)[1][member], torch.eye(3).double() - gain @ weight)
    torch.testing.assert_close(model.log_prob(x.expand(4, -1, -1)), model.log_prob(x))
    torch.testing.assert_close(model.expected_log_prob(*moments_of(x)), model.log_prob(x).mean(1))


def test_evidence_is_bound_plus_divergence_to_the_true_posterior() -> None:
    model = perturbed(LinearVAE.optimum(*population(8), BETAS, 3, SCALE), 0.1, 0)
    x = sample(population(9), 1, 2)
    moments = x[0], torch.zeros(7, 7).double()
    gap = model.log_prob(x)[:, 0] + model.distortion(*moments) + model.rate(*moments)
    mean, covariance = model.posterior(x)
    own_mean, own_log_var = model.encode(x[None])
    true = torch.distributions.MultivariateNormal(mean[:, 0], covariance)
    own = torch.distributions.MultivariateNormal(own_mean[:, 0], torch.diag_embed(own_log_var[:, 0].exp()))
    torch.testing.assert_close(gap, torch.distributions.kl_divergence(own, true))


def test_the_tempered_posterior_is_the_optimal_encoder_of_another_beta() -> None:
    moments = population(10)
    x = sample(moments, 10, 3)
    model = LinearVAE.optimum(*moments, [1.0], 2, SCALE)
    # The same decoder, seen as the optimum of beta = 0.25 for images with a smaller covariance.
    variances = (model.decoder_weight[0] ** 2).sum(0)
    directions = model.decoder_weight[0] / variances.sqrt()
    explained = directions * (variances + 0.25 * SCALE**2) @ directions.T
    other = LinearVAE.optimum(moments[0], explained, [0.25], 2, SCALE)
    mean, covariance = model.posterior(x, power=4.0)
    own_mean, own_log_var = other.encode(x[None])
    torch.testing.assert_close(mean.abs(), own_mean.abs())
    torch.testing.assert_close(covariance.diagonal(dim1=1, dim2=2), own_log_var[:, 0].exp())


@given(seed=st.integers(0, 10**6), latent_dim=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_the_test_distortion_of_every_direction_has_its_formula(seed: int, latent_dim: int) -> None:
    train, test = (moments_of(sample(population(seed), 40, seed + k)) for k in (1, 2))
    model = LinearVAE.optimum(*train, BETAS, latent_dim, SCALE)
    eigenvalues, eigenvectors = torch.linalg.eigh(train[1])
    seen, directions = eigenvalues.flip(0)[:latent_dim], eigenvectors.flip(1)[:, :latent_dim]
    about = test[1] + torch.outer(test[0] - train[0], test[0] - train[0])
    true = ((directions.T @ about) * directions.T).sum(1)
    tau = torch.tensor(BETAS, dtype=torch.float64)[:, None] * SCALE**2
    tau_or_off = torch.minimum(tau, seen)
    square = tau_or_off + (true / seen**2 - 1 / seen) * tau_or_off**2
    whole = square.sum(1) + about.trace() - true.sum()
    expected = (whole / SCALE**2 + 7 * math.log(2 * math.pi * SCALE**2)) / 2
    torch.testing.assert_close(model.distortion(*test), expected)
    rate = ((seen - tau_or_off) * true / seen**2 + tau_or_off / seen - 1 + (seen / tau_or_off).log()).sum(1) / 2
    torch.testing.assert_close(model.rate(*test), rate)
    # The smallest betas are the best for the test distortion, whatever the two covariances are.
    smaller = LinearVAE.optimum(*train, [1e-6], latent_dim, SCALE)
    assert (smaller.distortion(*test) < model.distortion(*test)).all()


# What is best on unseen images


@pytest.mark.parametrize(("seen", "true"), [(4.0, 3.0), (9.0, 2.0), (30.0, 28.0), (5.0, 5.0)])
def test_the_best_beta_of_one_direction_has_its_formula(seen: float, true: float) -> None:
    zero, betas = torch.zeros(1), torch.linspace(0.02, 1.2 * seen, 20_001).double().tolist()
    model = LinearVAE.optimum(zero, torch.tensor([[seen]]), betas, 1, 1.0)
    moments = zero, torch.tensor([[true]])
    evidence = model.expected_log_prob(*moments)
    assert betas[int(evidence.argmax())] == pytest.approx(min(1 + seen - true, seen), abs=1e-3 * seen)
    ratio = (seen - true) / seen**2
    best = (1 + ratio - math.sqrt((1 + ratio) ** 2 - 8 * ratio)) / (4 * ratio) if ratio else 1.0
    active = torch.tensor(betas) < seen
    bound = (model.distortion(*moments) + model.rate(*moments))[active]
    # The least value apart from the end at which the direction turns off.
    inner = (bound[1:-1] < bound[:-2]) & (bound[1:-1] < bound[2:])
    assert betas[1 + int(inner.nonzero()[0])] == pytest.approx(best, abs=1e-3 * seen)


def test_a_direction_that_keeps_less_than_half_has_a_hump() -> None:
    zero = torch.zeros(1)
    for share in (0.1, 0.45, 0.55, 0.9):
        betas = torch.linspace(1e-3, 1, 1000).double().tolist()
        model = LinearVAE.optimum(zero, torch.tensor([[1.0]]), betas, 1, 1.0)
        rises = model.distortion(zero, torch.tensor([[share]])).diff() < 0
        assert bool(rises.any()) == (share < 0.5)
        if share < 0.5:
            turn = 1 / (2 * (1 - share))
            assert betas[int(rises.nonzero()[0])] == pytest.approx(turn, abs=3e-3)


# The limit of many images and pixels


def test_the_limit_is_near_what_drawn_training_sets_teach() -> None:
    pixels, images, noise = 400, 200, 0.5
    spikes = noise * torch.tensor([20.0, 6.0, 1.7], dtype=torch.float64)
    limits = torch.stack(spiked_limit(spikes, noise, pixels=pixels, images=images))
    variances = torch.full((pixels,), noise, dtype=torch.float64)
    variances[:3] = spikes
    generator, repeated = torch.Generator().manual_seed(0), []
    for _ in range(10):
        x = torch.randn(images, pixels, generator=generator, dtype=torch.float64) * variances.sqrt()
        mean, covariance = moments_of(x)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        about = (eigenvectors**2 * variances[:, None]).sum(0) + (eigenvectors.T @ mean) ** 2
        repeated.append(torch.stack([eigenvalues, about]).flip(1))
    drawn = torch.stack(repeated).mean(0)
    # Two signals are seen and the third is not. The largest eigenvalues of noise are the last to reach their limit.
    torch.testing.assert_close(drawn[:, :2], limits[:, :2], rtol=0.1, atol=0)
    torch.testing.assert_close(drawn[:, 2:10], limits[:, 2:10], rtol=0.15, atol=0)
    torch.testing.assert_close(drawn[:, 10:150], limits[:, 10:150], rtol=0.1, atol=0)
    torch.testing.assert_close(drawn.sum(1), limits.sum(1), rtol=0.02, atol=0)
    # With the mean removed, N images have N - 1 directions.
    assert (limits[0, 199:] == 0).all()
    assert (drawn[0, 199:] < 1e-9).all()


@pytest.mark.parametrize("images", [100, 400, 1600])
def test_noise_alone_follows_the_marchenko_pastur_law(images: int) -> None:
    gamma = 400 / images
    seen, true = spiked_limit(torch.zeros(0), 2.0, pixels=400, images=images)
    # The law's first two moments.
    assert seen.mean() == pytest.approx(2 * (1 - 1 / images), rel=1e-9)
    assert seen.square().mean() == pytest.approx(4 * (1 + gamma), rel=0.03)
    assert 2 * (1 + math.sqrt(gamma)) ** 2 > seen[0] > 0.9 * 2 * (1 + math.sqrt(gamma)) ** 2
    torch.testing.assert_close(true, torch.full((400,), 2 * (1 + 1 / images)).double())


def test_with_ever_more_images_the_limit_is_the_population() -> None:
    spikes = torch.tensor([4.0, 9.0], dtype=torch.float64)
    truth = torch.ones(50, dtype=torch.float64)
    truth[:2] = torch.tensor([9.0, 4.0])
    for limit in spiked_limit(spikes, 1.0, pixels=50, images=10**9):
        torch.testing.assert_close(limit, truth, rtol=1e-3, atol=0)


def test_at_the_threshold_nothing_is_learned_and_nothing_jumps() -> None:
    gamma, threshold = 0.25, 1.5
    below, above = (
        spiked_limit(torch.tensor([threshold + change], dtype=torch.float64), 1.0, pixels=10_000, images=40_000)
        for change in (-1e-9, 1e-9)
    )
    assert above[0][0] == pytest.approx((1 + math.sqrt(gamma)) ** 2, abs=1e-6)
    assert above[1][0] == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(below[0], above[0], rtol=0.01, atol=0)
    torch.testing.assert_close(below[1], above[1], rtol=0.001, atol=0)


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"covariance": torch.ones(3, 3).triu()}, "not symmetric"),
        ({"covariance": -torch.eye(3)}, "below zero"),
        ({"covariance": torch.full((3, 3), math.nan)}, "NaN"),
        ({"covariance": torch.eye(4)}, "has shape"),
        ({"betas": []}, "betas"),
        ({"betas": [1.0, 0.0]}, "betas"),
        ({"betas": [math.nan]}, "betas"),
        ({"latent_dim": 4}, "latent_dim is 4"),
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"scale": 0.0}, "scale"),
    ],
)
def test_an_optimum_that_does_not_exist_is_refused(changes: dict[str, object], message: str) -> None:
    arguments = {"mean": torch.zeros(3), "covariance": torch.eye(3), "betas": [1.0], "latent_dim": 2, "scale": 1.0}
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(LinearVAE.optimum.__func__)(LinearVAE, **(arguments | changes))


def test_moments_that_do_not_fit_and_powers_below_zero_are_refused() -> None:
    model = LinearVAE.optimum(torch.zeros(3), torch.eye(3), [0.5], 2, 1.0)
    with pytest.raises(ValueError, match="not symmetric"):
        model.distortion(torch.zeros(3), torch.ones(3, 3).triu())
    with pytest.raises(ValueError, match="power is 0"):
        model.posterior(torch.zeros(1, 3), power=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spikes": torch.tensor([0.5])}, "greater than noise"),
        ({"spikes": torch.tensor([math.nan])}, "greater than noise"),
        ({"noise": 0.0}, "noise is 0"),
        ({"images": 1}, "images is 1"),
        ({"spikes": 2 * torch.ones(10)}, "10 spikes"),
        ({"spikes": torch.tensor([1000.0, 1000.0]), "images": 2}, "too few"),
    ],
)
def test_a_limit_that_does_not_exist_is_refused(changes: dict[str, object], message: str) -> None:
    arguments = {"spikes": torch.tensor([3.0]), "noise": 1.0, "pixels": 10, "images": 20}
    with pytest.raises(ValueError, match=message):
        spiked_limit(**(arguments | changes))  # type: ignore[arg-type]
