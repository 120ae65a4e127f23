"""The key of a training: what changes it, and what does not."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ratereg import MLP, Bernoulli, Data, Gaussian, Training
from ratereg.models import MixtureOfGaussians, StandardGaussian

ONE = Training(Data("tetrominoes"), MLP(), Bernoulli(), StandardGaussian(), beta=1.0, seed=0, steps=100)
OTHER = {
    "data": Data("tetrominoes", split="checkerboard"),
    "network": MLP(width=64),
    "likelihood": Gaussian(0.2),
    "prior": MixtureOfGaussians(components=3),
    "beta": 0.1,
    "seed": 1,
    "steps": 101,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warm_up": 10,
    "precision": "bfloat16",
}


@pytest.mark.parametrize("field", dataclasses.fields(Training), ids=lambda field: field.name)
def test_every_field_changes_the_digest(field: dataclasses.Field) -> None:
    changed = dataclasses.replace(ONE, **{field.name: OTHER[field.name]})
    assert changed.digest != ONE.digest
    assert (changed.setting == ONE.setting) == (field.name in ("beta", "seed"))
    assert (changed.problem == ONE.problem) == (field.name in ("beta", "seed", "steps"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Gaussian(0.1), Gaussian(0.2)),
        (MixtureOfGaussians(components=3), MixtureOfGaussians(components=4)),
        (MLP(hidden=(400, 200, 100)), MLP(hidden=(400, 200, 50))),
    ],
    ids=str,
)
def test_settings_of_likelihoods_priors_and_networks_count(before: object, after: object) -> None:
    name = {Gaussian: "likelihood", MixtureOfGaussians: "prior", MLP: "network"}[type(before)]
    one, other = (dataclasses.replace(ONE, **{name: value}) for value in (before, after))
    assert one.digest != other.digest


def test_the_digest_is_the_same_in_another_object() -> None:
    again = Training(Data("tetrominoes"), MLP(), Bernoulli(), StandardGaussian(), beta=1, seed=0, steps=100)
    assert again.digest == ONE.digest
    assert again == ONE
    assert len({again, ONE}) == 1


def test_the_number_of_test_images_does_not_count_and_that_of_training_images_does() -> None:
    def with_data(**settings: int) -> str:
        return dataclasses.replace(ONE, data=Data("tetrominoes", **settings)).digest

    assert with_data(n_test=10) == with_data(n_test=20) == ONE.digest
    assert len({with_data(n_train=10), with_data(n_train=20), with_data(seed=1), ONE.digest}) == 4


def test_own_data_count_by_their_pixels_and_not_by_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    Path("set").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(f"set/{index}.png")

    def digest(source: str) -> str:
        return dataclasses.replace(ONE, data=Data(source)).digest

    first = digest("./set")
    assert digest("./set/") == digest(str(tmp_path / "set")) == first
    (tmp_path / "set" / ".DS_Store").write_bytes(b"stray")
    shutil.copytree("set", "elsewhere")
    assert digest("./elsewhere") == digest("./set") == first
    np.save("same.npy", pixels)
    assert digest("same.npy") == first
    np.save("turned.npy", pixels[::-1])
    assert digest("turned.npy") != first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "auto"}, "precision is 'auto'"),
        ({"steps": 0}, "steps is 0"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"schedule": "linear"}, "schedule is 'linear'"),
        ({"warm_up": -1}, "warm_up is -1"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ONE, **settings)


def test_recorded_steps_are_log_spaced_and_end_at_the_last() -> None:
    steps = dataclasses.replace(ONE, steps=10_000).record_steps
    assert (steps[0], steps[-1], len(steps)) == (100, 10_000, 17)
    np.testing.assert_allclose(np.diff(np.log(steps)), np.log(100) / 16, atol=0.01)
    assert dataclasses.replace(ONE, steps=1).record_steps == [1]
