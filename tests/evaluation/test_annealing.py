"""Annealed importance sampling and its bounds on simulated images, against closed forms and quadrature."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bent import bent, images, log_evidence
from intervals import assert_covered
from linear_gaussian import linear_gaussian, log_z
from ratereg.evaluation import (
    AnnealedEvidence,
    Simulation,
    annealed_importance_sampling,
    bidirectional_monte_carlo,
    importance_weighted_bound,
    sigmoid_schedule,
    simulate,
)
from ratereg.evaluation.standard_errors import leave_one_out, log_mean_exp, mean_and_error
from ratereg.models import MLP, VAE, Bernoulli, Gaussian


def equal(a: AnnealedEvidence, b: AnnealedEvidence) -> bool:
    return all(torch.equal(value, getattr(b, name)) for name, value in vars(a).items() if isinstance(value, Tensor))


def test_the_log_likelihood_of_a_linear_gaussian_model_is_met() -> None:
    linear = linear_gaussian(members=3)
    x = 1.5 * torch.randn(20, 6, generator=torch.Generator().manual_seed(1)).double()
    result = annealed_importance_sampling(linear, x, chains=16, temperatures=40, widen=2.0)
    truth = log_z(linear, x)
    assert result.quantity == "log-likelihood"
    assert ((result.estimate - result.bias - truth.mean(1)).abs() < 4 * result.estimate_se).all()
    assert (result.estimate_se < 0.1).all()
    assert (result.effective_sample_size > 4).all()
    assert ((result.acceptance > 0.6) & (result.acceptance < 0.9)).all()
    torch.testing.assert_close(result.estimate, result.per_image.mean(1))


def test_where_the_encoder_is_narrow_importance_sampling_fails_and_annealing_from_the_widened_encoder_holds() -> None:
    linear = linear_gaussian(members=1, latent=8, pixels=12, width=0.01)
    x = 3 * torch.randn(8, 12, generator=torch.Generator().manual_seed(1)).double()
    truth, chains, temperatures = log_z(linear, x), 16, 100
    result = annealed_importance_sampling(linear, x, chains=chains, temperatures=temperatures, widen=100.0)
    assert ((result.estimate - result.bias - truth.mean(1)).abs() < 4 * result.estimate_se).all()
    assert (result.estimate_se < 0.2).all()
    weighted = importance_weighted_bound(linear, x, 3 * chains * temperatures, torch.Generator().manual_seed(0))
    assert weighted.bound < truth.mean() - 3


@pytest.mark.parametrize("latent", [1, 2])
@pytest.mark.parametrize("binary", [True, False])
def test_bent_bernoulli_models_agree_with_quadrature_and_soft_pixels_give_the_pseudo_evidence(
    latent: int, binary: bool
) -> None:
    vae, x = bent(latent, [0, 1]), images(10)
    x = x.round() if binary else x
    result = annealed_importance_sampling(vae, x, chains=32, temperatures=50, widen=1e6)
    assert result.quantity == ("log-likelihood" if binary else "pseudo-evidence")
    truth = log_evidence(vae, x).mean(1)
    assert ((result.estimate - result.bias - truth).abs() < 4 * result.estimate_se).all()
    assert (result.estimate_se < 0.05).all()


def test_weights_are_unbiased_even_from_few_temperatures() -> None:
    vae, x = bent(1, [0]), images(1)
    copies = x.expand(3000, -1)
    result = annealed_importance_sampling(vae, copies, chains=2, temperatures=4, widen=1e6)
    ratio = (result.log_weights - log_evidence(vae, x)[..., None]).exp()[0].mean(-1)
    error = ratio.std() / math.sqrt(len(ratio))
    assert (ratio.mean() - 1).abs() < 4 * error
    assert error < 0.03
    # The log of so coarse an estimate is a bound, not the thing itself.
    assert result.estimate < log_evidence(vae, x).mean() - 4 * result.estimate_se


def test_intervals_of_95_percent_cover_the_truth_in_90_to_99_percent_of_repetitions() -> None:
    linear, repetitions, images = linear_gaussian(members=1, latent=2), 300, 4
    x = torch.randn(images, 6, generator=torch.Generator().manual_seed(1)).double()
    result = annealed_importance_sampling(linear, x.repeat(repetitions, 1), chains=8, temperatures=40, widen=2.0)
    log_weights = result.log_weights.view(repetitions, images, 8)
    estimate, error, _ = mean_and_error(log_mean_exp(log_weights), log_mean_exp(leave_one_out(log_weights)), images)
    assert_covered(zip(estimate, error, strict=True), log_z(linear, x).mean())


def test_the_error_of_a_subset_of_images_covers_the_mean_over_all() -> None:
    linear, repetitions, images, population = linear_gaussian(members=1, latent=2), 300, 30, 60
    x = torch.randn(population, 6, generator=torch.Generator().manual_seed(1)).double()
    result = annealed_importance_sampling(linear, x, chains=8, temperatures=40, widen=2.0)
    generator, truth = torch.Generator().manual_seed(2), log_z(linear, x).mean()
    rows = torch.stack([torch.randperm(population, generator=generator)[:images] for _ in range(repetitions)])
    log_weights = result.log_weights[0][rows]
    left_out = log_mean_exp(leave_one_out(log_weights))
    estimate, error, _ = mean_and_error(log_mean_exp(log_weights), left_out, population)
    assert_covered(zip(estimate, error, strict=True), truth)
    part = annealed_importance_sampling(linear, x[:images], chains=8, temperatures=40, widen=2.0, population=population)
    torch.testing.assert_close(part.estimate_se, error.mean()[None], rtol=0.5, atol=0)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_result() -> None:
    vae, x = bent(2), images(3)
    first, again, other = (
        annealed_importance_sampling(vae, x, chains=3, temperatures=10, seed=seed) for seed in (5, 5, 6)
    )
    assert equal(first, again)
    assert not torch.equal(first.log_weights, other.log_weights)


def test_permuting_members_permutes_results_and_members_share_their_noise() -> None:
    vae, x = bent(2, [0, 1, 2]), images(3)
    swapped, order = bent(2, [0, 1, 2]), [2, 0, 1]
    with torch.no_grad():
        for ours, theirs in zip(swapped.parameters(), vae.parameters(), strict=True):
            ours.copy_(theirs[order])
    own = x.expand(3, -1, -1) * torch.tensor([1.0, 0.5, 0.2]).double()[:, None, None]
    result = annealed_importance_sampling(vae, own, chains=3, temperatures=10, widen=[1.0, 10.0, 100.0])
    permuted = annealed_importance_sampling(swapped, own[order], chains=3, temperatures=10, widen=[100.0, 1.0, 10.0])
    torch.testing.assert_close(permuted.log_weights, result.log_weights[order], rtol=1e-10, atol=1e-10)
    twins = VAE(MLP(1, 8, 2), (1, 3, 4), seeds=[7, 7]).double()
    alike = annealed_importance_sampling(twins, x, chains=3, temperatures=10).log_weights
    torch.testing.assert_close(alike[0], alike[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("decodes", [1, 14, 10_000])
def test_blocks_of_images_and_images_that_follow_change_nothing_but_rounding(decodes: int) -> None:
    vae, x = bent(2), images(5)
    whole = annealed_importance_sampling(vae, x, chains=3, temperatures=10)
    cut = annealed_importance_sampling(vae, x, chains=3, temperatures=10, decodes=decodes)
    torch.testing.assert_close(cut.log_weights, whole.log_weights, rtol=1e-10, atol=1e-10)
    fewer = annealed_importance_sampling(vae, x[:2], chains=3, temperatures=10, decodes=decodes)
    torch.testing.assert_close(fewer.log_weights, whole.log_weights[:, :2], rtol=1e-10, atol=1e-10)


def test_no_gradient_of_a_parameter_is_left_behind_and_float32_models_agree_with_float64() -> None:
    vae, x = bent(2), images(3)
    exact = annealed_importance_sampling(vae, x, chains=3, temperatures=10)
    single = annealed_importance_sampling(vae.float(), x.float(), chains=3, temperatures=10)
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert single.log_weights.dtype == torch.float64
    torch.testing.assert_close(single.estimate, exact.estimate, rtol=0, atol=1e-2)


def test_the_sigmoid_schedule_rises_symmetrically_and_is_densest_at_its_ends() -> None:
    schedule = torch.tensor(sigmoid_schedule(100), dtype=torch.float64)
    assert schedule[0] == 0
    assert schedule[-1] == 1
    steps = schedule.diff()
    assert (steps > 0).all()
    torch.testing.assert_close(steps, steps.flip(0), rtol=1e-9, atol=0)
    assert steps[50] / steps[0] > 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 1}, "chains is 1"),
        ({"leapfrog": 0}, "leapfrog is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"temperatures": 0}, "temperatures is 0"),
        ({"temperatures": [0.0, 0.5, 0.5, 1.0]}, "temperatures has 4 entries"),
        ({"temperatures": [0.0, 0.5]}, "temperatures has 2 entries"),
        ({"temperatures": []}, "temperatures has 0 entries"),
        ({"widen": 0.0}, "widen is 0.0"),
        ({"widen": [1.0, math.nan]}, "widen is"),
        ({"widen": [1.0]}, "widen has 1 entries for 2 members"),
        ({"population": 2}, "population is 2 for 3 images"),
        ({"decodes": 0}, "decodes is 0"),
    ],
)
def test_mistaken_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        annealed_importance_sampling(bent(1), images(3), **settings)  # type: ignore[arg-type]


def test_one_image_of_several_is_refused() -> None:
    with pytest.raises(ValueError, match="population is 9 for 1 image"):
        annealed_importance_sampling(bent(1), images(1), population=9)


# Simulated images


def test_the_bounds_bracket_the_closed_form_and_close_with_more_temperatures() -> None:
    linear = linear_gaussian()
    simulation = simulate(linear, 60, 3)
    truth = log_z(linear, simulation.x)
    coarse, fine = (
        bidirectional_monte_carlo(linear, simulation, chains=8, temperatures=temperatures, widen=4.0)
        for temperatures in (4, 80)
    )
    for result in (coarse, fine):
        below, above = truth - result.per_image_lower, result.per_image_upper - truth
        for excess in (below, above):
            assert (excess.mean(1) > -4 * excess.std(1) / math.sqrt(60)).all()
        assert (result.gap > -4 * result.gap_se).all()
        torch.testing.assert_close(result.gap, result.upper - result.lower)
    assert (coarse.gap > 4 * coarse.gap_se).all()
    assert (fine.gap < 0.25 * coarse.gap).all()
    assert (fine.gap_se < fine.lower_se).all()


def test_forward_weights_and_inverse_reverse_weights_are_unbiased() -> None:
    linear = linear_gaussian(members=1, latent=2)
    simulation = simulate(linear, 3000, 2)
    result = bidirectional_monte_carlo(linear, simulation, chains=2, temperatures=10, widen=2.0)
    truth = log_z(linear, simulation.x)
    for ratio in ((result.per_image_lower - truth).exp(), (truth - result.per_image_upper).exp()):
        error = ratio.std() / math.sqrt(3000)
        assert (ratio.mean() - 1).abs() < 4 * error
        assert error < 0.05


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.5)], ids=str)
def test_the_gap_of_a_model_is_small_with_long_chains(likelihood: Bernoulli | Gaussian) -> None:
    vae = VAE(MLP(1, 8, 2), (1, 3, 4), seeds=[0, 1], likelihood=likelihood).double()
    simulation = simulate(vae, 20, 2, seed=3)
    assert vae.likelihood.is_density(simulation.x)
    result = bidirectional_monte_carlo(vae, simulation, chains=8, temperatures=40)
    assert (result.gap > -4 * result.gap_se).all()
    assert (result.gap < 0.1).all()
    for acceptance in (result.forward_acceptance, result.reverse_acceptance):
        assert ((acceptance > 0.6) & (acceptance < 0.95)).all()


def test_simulated_images_are_the_models_own_and_members_share_the_noise() -> None:
    linear = linear_gaussian(members=1, scale=0.5)
    simulation = simulate(linear, 4000, 3)
    residual = simulation.x - linear.decode(simulation.z).detach()
    torch.testing.assert_close(residual.std(), torch.tensor(0.5).double(), rtol=0.03, atol=0)
    torch.testing.assert_close(simulation.z.std(), torch.tensor(1.0).double(), rtol=0.03, atol=0)
    assert (residual.flatten() @ simulation.z.repeat(1, 1, 2).flatten()).abs() / residual.numel() < 0.02
    twins = simulate(VAE(MLP(1, 8, 2), (1, 3, 4), seeds=[7, 7]), 5, 2)
    assert torch.equal(twins.x[0], twins.x[1])


def test_mistaken_simulations_are_named() -> None:
    vae = VAE(MLP(1, 8, 2), (1, 3, 4), seeds=[0, 1])
    simulation = simulate(vae, 3, 2)
    with pytest.raises(ValueError, match="images is 1"):
        simulate(vae, 1, 2)
    with pytest.raises(ValueError, match="latent_dim is 3"):
        simulate(vae, 4, 3)
    with pytest.raises(ValueError, match=r"simulation\.z has shape"):
        bidirectional_monte_carlo(vae, replace(simulation, z=simulation.z.repeat(1, 1, 2)))
    with pytest.raises(ValueError, match="soft pixels"):
        bidirectional_monte_carlo(vae, replace(simulation, x=simulation.x / 2))
    with pytest.raises(ValueError, match="has 1 image"):
        bidirectional_monte_carlo(vae, Simulation(simulation.z[:, :1], simulation.x[:, :1]))
