"""Data are identified by their pixels and their split, and image sets bring ranges, periods and fresh draws."""

import inspect
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ratereg import data
from ratereg.data import Data, tetrominoes

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
FACTORS = np.stack([np.arange(12.0), np.full(12, 7.0), RNG.uniform(-3, 5, 12)], axis=1)
PERIODS = np.array([np.inf, np.inf, 10.0])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `set` of the images and a file of them with their factors, in the folder that the tests work in."""
    monkeypatch.chdir(tmp_path)
    write_images(Path("set"))
    np.savez("set.npz", images=PIXELS, factors=FACTORS, factor_periods=PERIODS)
    return tmp_path / "set"


def write_images(folder: Path, pixels: np.ndarray = PIXELS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")


def own(**arrays: np.ndarray) -> str | None:
    """The content of a file of other arrays."""
    path = Path(f"{time.perf_counter_ns()}.npz")
    np.savez(path, **({"images": PIXELS, "factors": FACTORS, "factor_periods": PERIODS} | arrays))
    return Data(path).content


def unchecked(**arguments: object) -> Data:
    """Data made without the tests' type checker."""
    made = object.__new__(Data)
    inspect.unwrap(Data.__init__)(made, **arguments)
    return made


# What a training is identified by


def test_content_is_that_of_the_pixels_wherever_and_however_they_lie(folder: Path) -> None:
    content = Data("set").content
    (folder / ".DS_Store").write_bytes(b"no image")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "0.png").write_bytes(b"no image")
    np.save("array.npy", PIXELS)
    np.save("floats.npy", (PIXELS / 255).astype(np.float32))
    Path("link").symlink_to("set")
    for source in (
        "./set/",
        folder,
        str(folder),
        "../" + folder.parent.name + "/set",
        "link",
        "array.npy",
        "floats.npy",
    ):
        assert Data(source).content == content, source
        assert Data(source).training_settings == Data("set").training_settings
    assert data.load("./set/").name == data.load(folder).name == "set"


def test_content_changes_with_each_part_of_the_images_that_trainings_depend_on() -> None:
    pixel = PIXELS.copy()
    pixel[7, 2, 1, 0] ^= 1
    np.savez("sides4.npz", train=PIXELS[:4], test=PIXELS[4:])
    np.savez("sides5.npz", train=PIXELS[:5], test=PIXELS[5:])
    contents = [
        Data("set").content,
        own(),
        own(images=pixel),
        own(images=PIXELS[::-1]),
        own(images=PIXELS[:11], factors=FACTORS[:11]),
        own(images=PIXELS.transpose(0, 2, 1, 3)),
        own(images=PIXELS.reshape(12, 5, 12, 1)),
        own(factors=FACTORS[:, ::-1], factor_periods=PERIODS[::-1]),
        own(factor_periods=np.array([np.inf, np.inf, 11.0])),
        Data("sides4.npz").content,
        Data("sides5.npz").content,
    ]
    assert len(set(contents)) == len(contents)
    assert own(labels=np.arange(12)) == own()


def test_changed_files_are_read_again_and_others_are_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Data("set").content
    with monkeypatch.context() as closed:
        closed.setattr(Image, "open", lambda _: pytest.fail("an image was read again"))
        assert Data("set").content == content
        assert Data("./set").training_settings == {"content": content}
    shutil.copyfile(folder / "0.png", folder / "5.png")
    os.utime(folder / "5.png", (0, 0))
    assert Data("set").content != content


def test_every_setting_counts_and_for_training_all_but_the_number_of_test_images() -> None:
    plain = Data("set.npz", split="cd", share=0.9, n_train=2)
    others = {
        "source": "set",
        "split": "cv",
        "share": 0.8,
        "n_train": 1,
        "n_test": 2,
        "seed": 1,
        "binarize": "static",
    }
    assert others.keys() == {field.name for field in fields(Data)}
    for name, value in others.items():
        other = replace(plain, **{name: value})
        assert other.settings != plain.settings, name
        assert (other.training_settings == plain.training_settings) == (name == "n_test")


def test_settings_leave_out_defaults_and_paths(folder: Path) -> None:
    assert Data("tetrominoes").settings == {"source": "tetrominoes"}
    settings = unchecked(source=folder, split="cv", share=np.float64(0.5), n_train=np.int64(3), n_test=4).settings
    assert settings == {"content": Data("set").content, "split": "cv", "share": 0.5, "n_train": 3, "n_test": 4}
    assert [type(value) for value in settings.values()] == [str, str, float, int, int]


def test_a_path_with_the_name_of_a_known_set_is_a_path() -> None:
    write_images(Path("mnist"))
    assert Data(Path("mnist")).content == Data("set").content
    assert Data("mnist").content is None


def test_missing_and_damaged_data_have_no_content() -> None:
    with pytest.raises(FileNotFoundError, match=r"'nowhere/set' is not there"):
        _ = Data("nowhere/set").content
    for name in ("", "imagenet"):
        with pytest.raises(ValueError, match="neither a known set nor a path"):
            _ = Data(name).content
    Path("set/3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"3\.png cannot be read as an image"):
        _ = Data("set").training_settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": PIXELS}, r"source is of type ndarray; give a name or a path\. Save"),
        ({"n_test": 2.0}, r"n_test is 2\.0; give a positive integer"),
        ({"split": "random"}, "split is 'random'; give one of 'default', 'checkerboard'"),
        ({"split": "cv"}, "share is None; give a number between 0 and 1"),
        ({"split": "cd", "share": 1.5}, r"share is 1\.5"),
        ({"share": 0.5}, r"share is 0\.5, which the split 'default' does not take"),
        ({"n_train": 0}, "n_train is 0; give a positive integer, or None"),
        ({"n_test": True}, "n_test is True"),
        ({"seed": -1}, "seed is -1"),
        ({"binarize": "Static"}, "binarize is 'Static'; give None, 'static' or 'dynamic'"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unchecked(**({"source": "nowhere"} | arguments))


def test_loaded_images_are_those_of_the_arguments_and_the_last_ones_are_kept() -> None:
    chosen = Data("set.npz", split="cv", share=0.5, n_train=3, n_test=4, seed=2, binarize="dynamic")
    images = chosen.load()
    expected = data.load("set.npz", split="cv", share=0.5, n_train=3, n_test=4, seed=2, binarize="dynamic")
    for name in ("pixels", "gray", "train", "test", "factors"):
        assert torch.equal(getattr(images, name), getattr(expected, name)), name
    assert chosen.load() is images
    assert Data("set.npz").load() is not images
    assert chosen.load() is not images
    np.savez("set.npz", images=PIXELS[::-1])
    assert chosen.load().factors is None


# Factors and fresh draws


def test_own_factors_bring_the_unit_cube_ranges_and_periods() -> None:
    images = data.load("set.npz", n_train=3, n_test=4)
    low, high = FACTORS[:, 2].min(), FACTORS[:, 2].max()
    assert images.ranges == {"factor 0": (0.0, 11.0), "factor 2": (low, high)}
    assert images.periods == {"factor 2": 10.0}
    cube = images.unit_cube()
    assert cube.shape == (7, 2)
    np.testing.assert_allclose(cube[:, 0] * 11, images.factors[:, 0])
    np.testing.assert_allclose(cube[:, 1] * (high - low) + low, images.factors[:, 2])
    assert images.unit_periods() == [np.inf, 10 / (high - low)]
    assert images.draw is None


def test_images_without_factors_have_no_unit_cube() -> None:
    with pytest.raises(ValueError, match="unit_cube: 'set' has no factors that vary"):
        data.load("set").unit_cube()


def test_tetrominoes_have_two_circles_and_five_ranges() -> None:
    images = data.load("tetrominoes", n_train=20, n_test=30)
    assert images.periods == {"angle": 360.0, "hue": 1.0}
    np.testing.assert_array_equal(images.unit_cube(), tetrominoes.unit_cube(images.factors.numpy()))
    assert images.unit_periods() == [360 / 337.5, 1 / 0.875, np.inf, np.inf, np.inf]


def test_fresh_draws_are_rendered_from_their_factors_and_the_first_are_the_same_for_every_count() -> None:
    draw = data.load("tetrominoes", n_train=1, n_test=1).draw
    pixels, cube = draw(30, 4)
    factors = tetrominoes.draw_factors(30, 4)
    assert torch.equal(pixels.view(30, 3, 32, 32), tetrominoes.render(factors, dtype=torch.uint8))
    np.testing.assert_array_equal(cube, tetrominoes.unit_cube(factors))
    few = draw(10, 4)
    assert torch.equal(few[0], pixels[:10])
    assert torch.equal(few[1], cube[:10])
    assert not torch.equal(draw(10, 5)[1], few[1])


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_fresh_draws_of_binary_images_are_binary(binarize: str) -> None:
    gray, cube = data.load("tetrominoes", n_train=1, n_test=1).draw(300, 0)
    draw: Callable = data.load("tetrominoes", n_train=1, n_test=1, binarize=binarize).draw
    bits, binary_cube = draw(300, 0)
    assert set(bits.unique().tolist()) == {0, 255}
    assert torch.equal(cube, binary_cube)
    assert torch.equal(draw(20, 0)[0], bits[:20])
    # Each pixel's probability is its gray value: the residuals average to zero within 4 standard errors.
    p = gray.double() / 255
    assert abs(float((bits / 255 - p).sum())) < 4 * float((p * (1 - p)).sum().sqrt())
