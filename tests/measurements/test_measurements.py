"""What measurements carry into rows and arrays, on an ensemble whose every number tells where it comes from."""

import math

import numpy as np
import pytest
import torch

from ratereg.data import ImageSet
from ratereg.measurements import (
    KINDS,
    Annealed,
    ByDistance,
    FreshInformation,
    ImportanceWeighted,
    Information,
    Latents,
    Pictures,
    RateDistortion,
)
from ratereg.models import MLP, VAE, SingleModel, StandardGaussian

TRAIN, TEST = torch.arange(1, 40, 2), torch.arange(0, 60, 4)[:12]
LOG_VAR = -8.0


def images() -> ImageSet:
    """Images whose number is their pixels' value, and whose one factor grows with it."""
    pixels = torch.arange(60, dtype=torch.uint8)[:, None, None, None].expand(60, 1, 2, 2).contiguous()
    factors = torch.arange(60, dtype=torch.float64)[:, None] ** 1.5
    return ImageSet(
        "counted",
        "default",
        pixels,
        TRAIN,
        TEST,
        factors=factors,
        factor_names=("number",),
        ranges={"number": (0.0, 60**1.5)},
        draw=lambda count, seed: (
            torch.arange(count).remainder(256).byte()[:, None].expand(count, 4).contiguous(),
            torch.linspace(0, 1, count, dtype=torch.float64)[:, None],
        ),
    )


class Told:
    """A likelihood whose distortion is the first parameter, which the decoder chooses, plus the image's number."""

    label = "told"

    def distortion(self, parameters, x):
        return parameters[..., 0] + 255 * x[..., 0]

    def mean(self, parameters):
        return parameters

    def sample(self, parameters, generator=None):
        return parameters

    def is_density(self, x):
        return False


class Counted:
    """Three members; member m encodes image i at m + i / 50, in one latent, and costs 1000 m + i."""

    members, device = 3, torch.device("cpu")
    likelihood, prior = Told(), StandardGaussian().build(1, [torch.Generator() for _ in range(3)])

    def encode(self, x):
        number = 255 * x[..., :1].expand(3, -1, -1)
        mean = torch.arange(3.0)[:, None, None] + number / 50
        return mean, torch.full_like(mean, LOG_VAR)

    def decode(self, z):
        cost = 1000 * torch.arange(3.0)[:, None, None]
        return (cost / 255).expand(3, z.shape[1], 4) * 255


def rate(member: int, number: np.ndarray) -> np.ndarray:
    mean = member + number / 50
    return (mean**2 + math.exp(LOG_VAR) - 1 - LOG_VAR) / 2


@pytest.mark.parametrize("count", [None, 7])
def test_rate_and_distortion_are_of_their_member_and_partition(count: int | None) -> None:
    rows = RateDistortion(images=count)(Counted(), images()).rows
    assert [(row["member"], row["partition"]) for row in rows] == [
        (member, partition) for partition in ("train", "test") for member in range(3)
    ]
    for row in rows:
        population = {"train": TRAIN, "test": TEST}[row["partition"]].numpy()
        distortions = 1000 * row["member"] + population
        rates = rate(row["member"], population)
        n, total = count or len(population), len(population)
        assert row["images"] == n
        if count is None:
            assert row["rate"] == pytest.approx(rates.mean(), rel=1e-6)
            assert row["distortion"] == pytest.approx(distortions.mean(), rel=1e-6)
            assert row["rate_se"] == row["distortion_se"] == 0
        else:
            # The images are those whose mean distortion it is; all members have the same.
            other = next(one for one in rows if one["partition"] == row["partition"] and one["member"] == 0)
            assert row["distortion"] - 1000 * row["member"] == pytest.approx(other["distortion"], abs=1e-3)
            spread = population.std(ddof=1) * math.sqrt(1 / n - 1 / total)
            assert 0.4 * spread < row["distortion_se"] < 2 * spread
            assert abs(row["distortion"] - distortions.mean()) < 5 * spread
        assert row["negative_elbo"] == pytest.approx(row["rate"] + row["distortion"])


def test_the_information_is_that_of_images_that_are_told_apart() -> None:
    rows = Information(queries=5)(Counted(), images()).rows
    for row in rows:
        population = {"train": TRAIN, "test": TEST}[row["partition"]].numpy()
        assert (row["queries"], row["components"]) == (5, len(population))
        assert row["log_n"] == math.log(len(population))
        assert row["mutual_information"] <= row["log_n"] + 1e-9
        total = rate(row["member"], population).mean()
        assert row["mutual_information"] + row["marginal_kl"] == pytest.approx(total, rel=1e-6)


def test_pictures_and_latents_are_of_random_images_of_their_partition() -> None:
    kept, shown = Latents(count=6)(Counted(), images()).arrays, Pictures(count=4)(Counted(), images()).arrays
    for partition, population in (("train", TRAIN), ("test", TEST)):
        numbers = (kept[f"{partition}_mean"] - np.arange(3)[:, None, None]) * 50
        assert numbers.shape == (3, 6, 1)
        np.testing.assert_allclose(numbers[0], numbers[2], atol=1e-3)
        assert set(np.rint(numbers[0, :, 0]).astype(int)) <= set(population.tolist())
        assert (kept[f"{partition}_log_var"] == LOG_VAR).all()
    assert shown["test_originals"].shape == (1, 4, 1, 2, 2)
    assert set(shown["test_originals"].reshape(4, 4)[:, 0]) <= set(TEST.tolist())
    assert shown["test_reconstructions"].shape == (3, 4, 1, 2, 2)
    assert [int(one.max()) for one in shown["test_reconstructions"]] == [0, 255, 255]


def test_distances_are_to_the_nearest_training_image_from_near_to_far() -> None:
    arrays = ByDistance(classes=3)(Counted(), images()).arrays
    cube = images().unit_cube().numpy()[:, 0]
    nearest = np.abs(cube[TEST][:, None] - cube[TRAIN]).min(1)
    order = np.argsort(nearest, kind="stable")
    expected = [nearest[part].mean() for part in np.array_split(order, 3)]
    np.testing.assert_allclose(arrays["distance"], np.tile(expected, (3, 1)))
    costs = [TEST.numpy()[part].mean() for part in np.array_split(order, 3)]
    np.testing.assert_allclose(arrays["distance_distortion"], 1000 * np.arange(3)[:, None] + costs, rtol=1e-6)


def test_fresh_rows_have_a_size_each_and_the_last_one_bounds() -> None:
    one = FreshInformation(images=300, queries=40, fitted=64, evaluated=40, regression_steps=3)
    rows = one(Counted(), images()).rows
    assert [(row["components"], row["member"]) for row in rows] == [(n, m) for n in (256, 300) for m in range(3)]
    for row in rows:
        assert row["rate"] == pytest.approx(rate(row["member"], np.arange(row["components"]) % 256).mean(), rel=1e-5)
        assert ("information_lower_bound" in row) == (row["components"] == 300)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_measurement_takes_an_ensemble_and_a_foreign_model_and_keeps_its_columns(kind: type) -> None:
    settings = {
        ImportanceWeighted: {"images": 4, "samples": 3},
        Annealed: {"images": 3, "temperatures": 3},
        FreshInformation: {"images": 256, "queries": 20, "fitted": 30, "evaluated": 20, "regression_steps": 2},
        ByDistance: {"classes": 2},
    }.get(kind, {})
    vae = VAE(MLP(1, 8, 2), (1, 2, 2), [0, 1])
    encoder, decoder = torch.nn.Linear(4, 4), torch.nn.Linear(2, 4)
    foreign = SingleModel(
        lambda x: encoder(x.flatten(1)).chunk(2, -1),
        lambda z: torch.sigmoid(decoder(z)).unflatten(1, (1, 2, 2)),
        image_shape=(1, 2, 2),
        probabilities=True,
    )
    for model in (vae, foreign):
        with torch.no_grad():
            found = kind(**settings)(model, images())
        assert {row["member"] for row in found.rows} in ({*range(model.members)}, set())
        assert {row["partition"] for row in found.rows} == set(kind.partitions)
        for row in found.rows:
            assert {name for name in row if name not in ("member", "partition")} <= set(kind.columns)
        assert set(found.arrays) == set(kind.arrays)
        for name, values in found.arrays.items():
            assert len(values) == (1 if name == "test_originals" else model.members)
