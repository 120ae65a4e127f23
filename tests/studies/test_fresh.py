"""The information terms on Tetrominoes drawn anew, with fewer images for the fits than a study takes."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from ratereg.data import tetrominoes
from ratereg.models import MLP, VAE
from ratereg.studies import Data, Study, fresh
from ratereg.studies.fresh import fresh_estimates, fresh_sizes

FITTED, EVALUATED = 512, 256


@pytest.fixture(autouse=True)
def fewer_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "FITTED", FITTED)
    monkeypatch.setattr(fresh, "EVALUATED", EVALUATED)
    monkeypatch.setattr(fresh, "_REGRESSION_STEPS", 60)


def study(fresh_images: int, **settings: int) -> Study:
    return Study(Data("tetrominoes"), MLP(1, 32, 3), fresh_images=fresh_images, **settings)


def model(log_var: float, gain: float = 40.0) -> VAE:
    """An encoder with posteriors as narrow as is asked for, and means that differ between images."""
    vae = VAE(MLP(1, 32, 3), (3, 32, 32), seeds=[0])
    with torch.no_grad():
        last = vae.encoder.layers[-1]
        last.weight[..., :3] *= gain
        last.weight[..., 3:] = 0
        last.bias[..., 3:] = log_var
    return vae


def images(count: int) -> torch.Tensor:
    return tetrominoes.render(tetrominoes.draw_factors(count, seed=0), dtype=torch.uint8).flatten(1)


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (256, [256]),
        (257, [256, 257]),
        (1024, [256, 1024]),
        (5000, [256, 1024, 4096, 5000]),
        (163_840, [256, 1024, 4096, 16_384, 65_536, 163_840]),
    ],
)
def test_sizes_are_powers_of_four_times_the_least_and_the_most(most: int, sizes: list[int]) -> None:
    assert fresh_sizes(most) == sizes


@pytest.mark.parametrize("log_var", [-1.0, -4.0, -12.0])
def test_the_rate_is_mutual_information_and_marginal_kl_and_the_ceiling_is_that_of_the_size(log_var: float) -> None:
    rows = fresh_estimates(study(1024), model(log_var), seed=0)
    assert [row["components"] for row in rows] == [row["images"] for row in rows] == [256, 1024]
    for row in rows:
        assert row["rate"] == pytest.approx(row["mutual_information"] + row["marginal_kl"], abs=1e-9)
        room = 4 * row["mutual_information_se"] + 1e-6
        assert -room < row["mutual_information"] < math.log(row["components"]) + room
    if log_var == -12:
        # Posteriors that do not overlap: the information is the ceiling, and follows it.
        for row in rows:
            assert row["mutual_information"] == pytest.approx(math.log(row["components"]), abs=0.02)


def test_the_rate_is_the_mean_of_its_closed_form_over_the_first_images_whatever_the_most() -> None:
    vae = model(-4.0)
    with torch.no_grad():
        mean, log_var = vae.encode(images(1024).float()[None] / 255)
    closed = ((mean.double().square() + log_var.double().exp() - 1 - log_var.double()).sum(-1) / 2)[0]
    rows = fresh_estimates(study(1024), vae, seed=0)
    for row in rows:
        assert row["rate"] == pytest.approx(closed[: row["images"]].mean().item(), rel=1e-5)
    (alone,) = fresh_estimates(study(256), vae, seed=0)
    assert alone["rate"] == pytest.approx(rows[0]["rate"], rel=1e-9)


@pytest.mark.parametrize("log_var", [-1.0, -4.0, -12.0])
def test_the_bounds_on_the_populations_information_are_in_order(log_var: float) -> None:
    first, last = fresh_estimates(study(1024), model(log_var), seed=0)
    names = ("information_lower_bound", "information_upper_bound")
    assert not set(names) & set(first)
    below, above = (last[name] for name in names)
    below_error, above_error = (last[f"{name}_se"] for name in names)
    assert below < above + 4 * math.hypot(below_error, above_error)
    # An average of m posteriors with the own one among them gives a lower bound, too.
    information, error = last["mutual_information"], last["mutual_information_se"]
    assert information < above + 4 * math.hypot(error, above_error)
    assert 0 < below_error < 1
    assert 0 < above_error < 1


def test_the_upper_bound_has_no_ceiling() -> None:
    _, last = fresh_estimates(study(1024), model(-12.0), seed=0)
    assert last["information_upper_bound"] > math.log(1024) + 2


def test_densities_are_fitted_on_other_images_than_they_are_evaluated_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for name in ("fit_marginal", "marginal_bound", "fit_factors", "factor_bound"):
        estimator = getattr(fresh, name)

        def watched(*arguments: Any, name=name, estimator=estimator, **options: Any) -> Any:
            seen[name] = list(arguments)
            return estimator(*arguments, **options)

        monkeypatch.setattr(fresh, name, watched)
    vae = model(-4.0)
    fresh_estimates(study(256), vae, seed=0)
    with torch.no_grad():
        mean, _ = vae.encode(images(256 + FITTED + EVALUATED).float()[None] / 255)
    fitted, evaluated = mean[:, 256 : 256 + FITTED], mean[:, 256 + FITTED :]
    for name in ("fit_marginal", "fit_factors"):
        torch.testing.assert_close(seen[name][0], fitted, rtol=1e-4, atol=1e-4)
    for name in ("marginal_bound", "factor_bound"):
        torch.testing.assert_close(seen[name][0], evaluated, rtol=1e-4, atol=1e-4)
    cube = tetrominoes.unit_cube(tetrominoes.draw_factors(256 + FITTED + EVALUATED, seed=0))
    np.testing.assert_array_equal(seen["fit_factors"][2], cube[256 : 256 + FITTED])
    np.testing.assert_array_equal(seen["factor_bound"][2], cube[256 + FITTED :])


def test_no_more_images_are_queried_than_the_study_says() -> None:
    rows = fresh_estimates(study(1024, final_queries=300), model(-4.0), seed=0)
    assert [row["queries"] for row in rows] == [256, 300]
