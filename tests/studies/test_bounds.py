"""What a study keeps of the likelihood, on a model whose likelihood has a closed form."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from linear_gaussian import LinearGaussian, linear_gaussian
from ratereg.evaluation import importance_weighted_bound
from ratereg.studies import MLP, Data, Study, bounds, load_or_run
from ratereg.studies.bounds import likelihood_bounds

BOUND, ANNEALED = bounds.BOUNDS
# Rows of `pixels` that are in the partition, and a few more that are not.
ROWS = torch.tensor([1, 2, 4, 5, 7, 8])


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(256, (10, 6), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Tensor]]:
    """The images that each bound was given, call by call."""
    images: dict[str, list[Tensor]] = {name: [] for name in bounds.BOUNDS}
    for name in bounds.BOUNDS:
        estimator = getattr(bounds, name)

        def watched(vae, x, *arguments, name=name, estimator=estimator, **options):
            images[name].append(x)
            return estimator(vae, x, *arguments, **options)

        monkeypatch.setattr(bounds, name, watched)
    return images


def study(**settings: int) -> Study:
    return Study(Data("tetrominoes"), **({"bound_images": 4, "bound_samples": 16, "temperatures": 20} | settings))


def model(width: float = 1.0, seed: int = 0) -> LinearGaussian:
    """One latent, so that at `width` 1 the encoder is the exact posterior, and every weight is p(x)."""
    return linear_gaussian(members=1, latent=1, width=width, seed=seed)


def log_likelihood(linear: LinearGaussian, x: Tensor) -> Tensor:
    return linear.log_z(x.double()[None])[0]


def test_with_the_exact_posterior_the_bound_is_the_mean_log_likelihood_of_some_of_the_images(pixels: Tensor) -> None:
    linear = model()
    exact = log_likelihood(linear, pixels[ROWS] / 255)
    subsets = torch.tensor(list(itertools.combinations(range(len(ROWS)), 4)))
    means = exact[subsets].mean(1)
    found = set()
    for seed in range(6):
        value = likelihood_bounds(study(), linear.vae, pixels, ROWS, seed)[BOUND]
        distances = (means - value).abs()
        assert distances.min() < 1e-5
        found.add(int(distances.argmin()))
    # The seed chooses the images.
    assert len(found) > 1


@pytest.mark.parametrize("bound_images", [6, 7, 1000])
def test_a_partition_of_fewer_images_is_taken_whole(pixels: Tensor, bound_images: int) -> None:
    linear = model()
    estimates = likelihood_bounds(study(bound_images=bound_images), linear.vae, pixels, ROWS, 0)
    assert estimates[BOUND] == pytest.approx(log_likelihood(linear, pixels[ROWS] / 255).mean().item(), abs=1e-5)
    # With all images there and weights without noise nothing is uncertain.
    assert estimates[f"{BOUND}_se"] < 1e-5


def test_the_error_of_a_subset_is_that_of_the_choice_of_images(pixels: Tensor) -> None:
    linear = model()
    exact = log_likelihood(linear, pixels[ROWS] / 255)
    errors = [likelihood_bounds(study(), linear.vae, pixels, ROWS, seed)[f"{BOUND}_se"] for seed in range(40)]
    # Without replacement, 4 of 6.
    expected = exact.var() / 4 * (1 - 4 / 6)
    assert np.mean(np.square(errors)) == pytest.approx(expected.item(), rel=0.2)


def test_the_value_is_that_of_the_bound_on_the_same_images_with_other_noise(pixels: Tensor, seen) -> None:
    linear = model(width=0.2)
    estimates = likelihood_bounds(study(bound_images=6), linear.vae, pixels, ROWS, 0)
    (x,) = seen[BOUND]
    assert sorted(map(tuple, x.tolist())) == sorted(map(tuple, (pixels[ROWS] / 255).tolist()))
    again = importance_weighted_bound(linear.vae, x, 16, torch.Generator().manual_seed(99), repeats=200)
    difference = estimates[BOUND] - again.bound.item()
    assert abs(difference) < 5 * estimates[f"{BOUND}_se"] + 5 * again.bound_se.item()
    assert again.bound.item() < log_likelihood(linear, x).mean().item()


def test_images_and_noise_are_the_same_for_every_member_and_others_for_another_seed(pixels: Tensor, seen) -> None:
    settings = study(annealed_images=2)
    first, second = model(width=0.2), model(width=0.2, seed=1)
    values = [likelihood_bounds(settings, one.vae, pixels, ROWS, 0) for one in (first, second, first)]
    likelihood_bounds(settings, first.vae, pixels, ROWS, 1)
    assert values[0] == values[2] != values[1]
    for images in seen.values():
        assert torch.equal(images[0], images[1])
        assert not torch.equal(images[0], images[3])


def test_annealing_is_done_on_the_first_of_the_images_and_comes_near_their_likelihood(pixels: Tensor, seen) -> None:
    linear = model(width=0.2)
    settings = study(annealed_images=2, temperatures=200)
    estimates = likelihood_bounds(settings, linear.vae, pixels, ROWS, 0)
    assert torch.equal(seen[ANNEALED][0], seen[BOUND][0][:2])
    exact = log_likelihood(linear, seen[ANNEALED][0])
    assert estimates[ANNEALED] == pytest.approx(exact.mean().item(), abs=0.3)
    assert math.isfinite(estimates[f"{ANNEALED}_se"])


def test_what_is_not_asked_for_is_not_computed(pixels: Tensor, seen) -> None:
    vae = model().vae
    assert likelihood_bounds(study(bound_images=0), vae, pixels, ROWS, 0) == {}
    assert set(likelihood_bounds(study(), vae, pixels, ROWS, 0)) == {BOUND, f"{BOUND}_se"}
    assert not seen[ANNEALED]


def test_a_study_has_its_bounds_at_the_last_step_alone_and_many_samples_are_above_the_elbo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    small = Study(
        Data("tetrominoes", n_train=40, n_test=30),
        MLP(1, 16, 2),
        steps=4,
        batch_size=8,
        records=3,
        precision="float32",
        bound_images=40,
        bound_samples=64,
        annealed_images=3,
        temperatures=4,
    )
    results = load_or_run(small, progress=False)
    columns = [f"{name}{suffix}" for name in bounds.BOUNDS for suffix in ("", "_se")]
    before = results.table[results.table["step"] < small.steps]
    assert len(before)
    assert before[columns].isna().all(axis=None)
    assert np.isfinite(results.final[columns]).all(axis=None)
    # Of all images of either partition, as the ELBO is: more samples make the bound tighter.
    elbo, error = -results.final["negative_elbo"], results.final["negative_elbo_se"]
    assert (results.final[BOUND] > elbo - 4 * error).all()
