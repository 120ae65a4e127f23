"""Distances by brute force, and distortions of a decoder that says the same for every latent."""

import itertools

import numpy as np
import pytest
import torch

from ratereg.data import ImageSet, tetrominoes
from ratereg.models import MLP, VAE
from ratereg.studies import distances
from ratereg.studies.distances import distances_to_training, distortion_by_distance

PERIODS = {"angle": 360.0, "hue": 1.0}


def brute_force(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    squares = np.zeros((len(test), len(train)))
    for column, (name, (low, high)) in enumerate(tetrominoes.RANGES.items()):
        apart = np.abs(test[:, None, column] - train[None, :, column])
        if name in PERIODS:
            apart = np.minimum(apart, PERIODS[name] - apart)
        squares += (apart / (high - low)) ** 2
    return np.sqrt(squares).min(1)


def factors_of(**values: float) -> np.ndarray:
    middle = {"angle": 100.0, "hue": 0.4, "scale": 3.0, "x": 12.0, "y": 15.0, "shape": 0.0}
    return np.array([list((middle | values).values())])


def test_distances_are_those_of_brute_force() -> None:
    train, test = tetrominoes.draw_factors(60, seed=1), tetrominoes.draw_factors(400, seed=2)
    expected = brute_force(train, test)
    np.testing.assert_allclose(distances_to_training(train, test), expected, rtol=1e-10)
    # The circles matter for some.
    flat = np.linalg.norm(tetrominoes.unit_cube(test)[:, None] - tetrominoes.unit_cube(train)[None], axis=2).min(1)
    assert (flat > expected + 1e-6).any()


@pytest.mark.parametrize(
    ("train", "test", "distance"),
    [
        ({"angle": 1.0}, {"angle": 337.0}, 24 / 337.5),
        ({"angle": 337.0}, {"angle": 1.0}, 24 / 337.5),
        ({"hue": 0.01}, {"hue": 0.87}, 0.14 / 0.875),
        ({"angle": 50.0}, {"angle": 60.0}, 10 / 337.5),
        # Size and place do not close.
        ({"scale": 2.0}, {"scale": 4.9}, 2.9 / 3),
        ({"x": 8.0}, {"x": 22.9}, 14.9 / 15),
        ({"y": 22.9}, {"y": 8.0}, 14.9 / 15),
    ],
)
def test_angle_and_hue_are_circles_and_nothing_else(train: dict, test: dict, distance: float) -> None:
    assert distances_to_training(factors_of(**train), factors_of(**test)) == pytest.approx([distance])


def test_an_image_of_the_training_is_at_distance_zero() -> None:
    train = tetrominoes.draw_factors(50, seed=1)
    np.testing.assert_array_equal(distances_to_training(train, train[::7]), 0)


@pytest.fixture
def images() -> ImageSet:
    factors = tetrominoes.draw_factors(100, seed=0)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    return ImageSet(
        "tetrominoes",
        "default",
        tetrominoes.render(factors, dtype=torch.uint8),
        order[:30].sort().values,
        order[30:].sort().values,
        factors=torch.from_numpy(factors),
        factor_names=tetrominoes.FACTOR_NAMES,
    )


@pytest.fixture
def vae() -> VAE:
    """Two members whose logits are the same for all latents, so that the distortion is the image's alone."""
    made = VAE(MLP(1, 8, 2), (3, 32, 32), seeds=[0, 1])
    with torch.no_grad():
        last = made.decoder.layers[-1]
        last.weight.zero_()
        last.bias.copy_(torch.randn(last.bias.shape, generator=torch.Generator().manual_seed(2)))
    return made


def by_image(vae: VAE, images: ImageSet) -> np.ndarray:
    """The distortion of each test image, member first."""
    logits = vae.decoder.layers[-1].bias.detach().double().flatten(1).numpy()
    x = images.pixels[images.test].flatten(1).double().numpy() / 255
    return np.stack([(np.log1p(np.exp(one)) - one * x).sum(1) for one in logits])


def classes_of(vae: VAE, images: ImageSet, classes: int) -> dict[str, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    return distortion_by_distance(vae, images.pixels.flatten(1), images, classes, generator)


@pytest.mark.parametrize("classes", [1, 4, 7, 10])
def test_classes_are_equally_many_from_near_to_far(vae: VAE, images: ImageSet, classes: int) -> None:
    assert images.factors is not None
    away = brute_force(images.factors[images.train].numpy(), images.factors[images.test].numpy())
    order = np.argsort(away)
    cost = by_image(vae, images)
    # 70 images: as equal as can be, the first classes being one larger.
    sizes = [70 // classes + (index < 70 % classes) for index in range(classes)]
    edges = np.cumsum([0, *sizes])
    parts = [order[start:stop] for start, stop in itertools.pairwise(edges)]
    kept = classes_of(vae, images, classes)
    for member in range(2):
        np.testing.assert_allclose(kept["distance"][member], [away[part].mean() for part in parts], rtol=1e-10)
        expected = [cost[member, part].mean() for part in parts]
        np.testing.assert_allclose(kept["distance_distortion"][member], expected, rtol=1e-4)
    assert (np.diff(kept["distance"]) > 0).all()


def test_the_weighted_mean_of_the_classes_is_the_mean_distortion(vae: VAE, images: ImageSet) -> None:
    kept = classes_of(vae, images, 4)
    mean = np.average(kept["distance_distortion"], axis=1, weights=[18, 18, 17, 17])
    np.testing.assert_allclose(mean, by_image(vae, images).mean(1), rtol=1e-5)


def test_there_are_no_more_classes_than_images(vae: VAE, images: ImageSet) -> None:
    kept = classes_of(vae, images, 1000)
    assert kept["distance"].shape == kept["distance_distortion"].shape == (2, 70)


def test_of_many_test_images_a_random_part_is_taken(
    vae: VAE, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "_MOST_IMAGES", 12)
    kept = classes_of(vae, images, 12)
    cost = by_image(vae, images)[0]
    assert images.factors is not None
    away = brute_force(images.factors[images.train].numpy(), images.factors[images.test].numpy())
    # With one image a class, each is one of the test images with its own distance and distortion.
    nearest = np.abs(away[:, None] - kept["distance"][0]).argmin(0)
    assert len(set(nearest)) == 12
    np.testing.assert_allclose(kept["distance"][0], away[nearest], rtol=1e-10)
    np.testing.assert_allclose(kept["distance_distortion"][0], cost[nearest], rtol=1e-4)
    # Not the first ones.
    assert sorted(nearest) != list(range(12))
