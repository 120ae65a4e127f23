"""The optimal rate-distortion curve of a decoder against closed forms and quadrature."""

import math

import pytest
import torch

from intervals import assert_covered
from linear_gaussian import linear_gaussian, rate_and_distortion
from ratereg.evaluation import geometric_schedule, optimal_rate_distortion
from ratereg.evaluation.annealed_walk import Chains, Walk, path_from_prior, tuned_walk
from ratereg.evaluation.optimal_rd import _curve

BETAS = [0.2, 5.0, 1.0, 0.5]


def test_the_curve_of_a_linear_gaussian_decoder_is_met() -> None:
    linear = linear_gaussian()
    x = 1.5 * torch.randn(12, 6, generator=torch.Generator().manual_seed(1)).double()
    curve = optimal_rate_distortion(linear, x, betas=BETAS, chains=16, temperatures=150)
    assert curve.betas.tolist() == [5.0, 1.0, 0.5, 0.2]
    for point, beta in enumerate(curve.betas.tolist()):
        rate, distortion = rate_and_distortion(linear, x, 1 / beta)
        assert ((curve.rate[:, point] - rate.mean(1)).abs() < 4 * curve.rate_se[:, point]).all()
        assert ((curve.distortion[:, point] - distortion.mean(1)).abs() < 4 * curve.distortion_se[:, point]).all()
    assert (curve.rate_se < 0.4).all()
    assert ((curve.effective_sample_size >= 1) & (curve.effective_sample_size <= 16)).all()


def test_intervals_of_95_percent_cover_the_curve_in_90_to_99_percent_of_repetitions() -> None:
    linear, images, repetitions = linear_gaussian(members=1, latent=2), 6, 200
    x = torch.randn(images, 6, generator=torch.Generator().manual_seed(1)).double()
    truth = torch.stack([values.mean() for values in rate_and_distortion(linear, x, 1.0)])[:, None]
    path = path_from_prior(linear, x.repeat(repetitions, 1), decodes=2**16)
    walked = tuned_walk(path, geometric_schedule(30, 1.0), Chains(32, 3, 0), moves=30, record=[30])
    ((log_weights, distortion),) = walked.recorded
    repeated = []
    for here in torch.arange(images * repetitions).split(images):
        own = Walk(log_weights[:, here], [], walked.acceptance, [(log_weights[:, here], distortion[:, here])])
        curve = _curve(torch.ones(1).double(), own, images)
        repeated.append((torch.cat([curve.rate, curve.distortion]), torch.cat([curve.rate_se, curve.distortion_se])))
    assert_covered(repeated, truth)


def test_rate_rises_and_distortion_falls_as_beta_falls_and_the_slope_is_minus_beta() -> None:
    linear = linear_gaussian(members=1)
    x = 1.5 * torch.randn(10, 6, generator=torch.Generator().manual_seed(1)).double()
    betas = [2.0, 1.9, 0.6, 0.57]
    curve = optimal_rate_distortion(linear, x, betas=betas, chains=32, temperatures=120)
    rate, distortion = curve.rate[0].diff(), curve.distortion[0].diff()
    assert (rate > 0).all()
    assert (distortion < 0).all()
    for near, beta in ((0, 1.95), (2, 0.585)):
        assert float(-distortion[near] / rate[near]) == pytest.approx(beta, rel=0.15)


def test_a_short_way_is_covered_to_its_end() -> None:
    linear = linear_gaussian(members=1, latent=1)
    x = 0.5 * torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()
    curve = optimal_rate_distortion(linear, x, betas=[0.5, 2.0], chains=16, temperatures=60)
    assert curve.reliable.all()


def test_points_that_too_few_temperatures_lead_to_are_called_unreliable() -> None:
    linear = linear_gaussian(scale=0.02)
    x = 3 * torch.randn(8, 6, generator=torch.Generator().manual_seed(1)).double()
    curve = optimal_rate_distortion(linear, x, betas=[1e6, 0.01], chains=16, temperatures=20)
    assert curve.reliable[:, 0].all()
    assert not curve.reliable[:, 1].any()


def test_the_curve_does_not_depend_on_the_encoder() -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).double()
    wide, narrow = (
        optimal_rate_distortion(linear_gaussian(width=width), x, betas=[1.0], chains=4, temperatures=10)
        for width in (1.0, 0.001)
    )
    assert torch.equal(wide.rate, narrow.rate)


def test_the_geometric_schedule_rises_from_0_to_its_end() -> None:
    schedule = torch.tensor(geometric_schedule(100, 10.0), dtype=torch.float64)
    assert len(schedule) == 101
    assert schedule[0] == 0
    assert schedule[-1] == 10
    assert (schedule.diff() > 0).all()
    ratios = (schedule[1:] + 0.01) / (schedule[:-1] + 0.01)
    torch.testing.assert_close(ratios, torch.full_like(ratios, 1001 ** (1 / 100)))


@pytest.mark.parametrize("betas", [[], [0.0], [1.0, -1.0], [math.nan]])
def test_mistaken_betas_are_named(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="betas is"):
        optimal_rate_distortion(linear_gaussian(), torch.zeros(2, 6).double(), betas=betas)
