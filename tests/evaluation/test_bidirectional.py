import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from linear_gaussian import linear_gaussian
from ratereg.evaluation import journal
from ratereg.evaluation.bidirectional import Simulation, bidirectional_monte_carlo, simulate
from ratereg.models import MLP, VAE


def test_the_bounds_bracket_the_closed_form_and_close_with_more_temperatures() -> None:
    linear = linear_gaussian()
    simulation = simulate(linear.vae, 60, 3)
    truth = linear.log_z(simulation.x)
    coarse, fine = (
        bidirectional_monte_carlo(linear.vae, simulation, chains=8, temperatures=temperatures, widen=4.0)
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
    simulation = simulate(linear.vae, 3000, 2)
    result = bidirectional_monte_carlo(linear.vae, simulation, chains=2, temperatures=10, widen=2.0)
    truth = linear.log_z(simulation.x)
    for ratio in ((result.per_image_lower - truth).exp(), (truth - result.per_image_upper).exp()):
        error = ratio.std() / math.sqrt(3000)
        assert (ratio.mean() - 1).abs() < 4 * error
        assert error < 0.05


def test_the_gap_of_a_binary_model_is_small_with_long_chains() -> None:
    vae = VAE(MLP(1, 8, 2), (1, 3, 4), seeds=[0, 1]).double()
    simulation = simulate(vae, 20, 2, seed=3)
    assert vae.likelihood.is_density(simulation.x)
    result = bidirectional_monte_carlo(vae, simulation, chains=8, temperatures=40)
    assert (result.gap > -4 * result.gap_se).all()
    assert (result.gap < 0.1).all()
    for acceptance in (result.forward_acceptance, result.reverse_acceptance):
        assert ((acceptance > 0.6) & (acceptance < 0.95)).all()


def test_simulated_images_are_the_models_own_and_members_share_the_noise() -> None:
    linear = linear_gaussian(members=1, scale=0.5)
    simulation = simulate(linear.vae, 4000, 3)
    residual = simulation.x - linear.vae.decode(simulation.z).detach()
    torch.testing.assert_close(residual.std(), torch.tensor(0.5).double(), rtol=0.03, atol=0)
    torch.testing.assert_close(simulation.z.std(), torch.tensor(1.0).double(), rtol=0.03, atol=0)
    assert (residual.flatten() @ simulation.z.repeat(1, 1, 2).flatten()).abs() / residual.numel() < 0.02
    twins = simulate(VAE(MLP(1, 8, 2), (1, 3, 4), seeds=[7, 7]), 5, 2)
    assert torch.equal(twins.x[0], twins.x[1])


def test_a_killed_computation_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = linear_gaussian()
    simulation, checkpoint = simulate(linear.vae, 3, 3), tmp_path / "state.safetensors"
    uninterrupted = bidirectional_monte_carlo(linear.vae, simulation, chains=2, temperatures=5)
    save, made = journal.save_checkpoint, 0

    def save_or_die(*arguments: object) -> None:
        nonlocal made
        made += 1
        if made == 13:
            raise KeyboardInterrupt
        save(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "save_checkpoint", save_or_die)
    kept = {"chains": 2, "temperatures": 5, "checkpoint": checkpoint, "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        bidirectional_monte_carlo(linear.vae, simulation, **kept)
    resumed = bidirectional_monte_carlo(linear.vae, simulation, **kept)
    assert all(torch.equal(value, getattr(resumed, name)) for name, value in vars(uninterrupted).items())


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
