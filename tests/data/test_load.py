import os
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ratereg import data
from ratereg.data import ImageSet, splits, tetrominoes

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
RAMP = np.arange(12.0)[:, None]


def in_file_order(images: ImageSet) -> np.ndarray:
    return images.pixels.numpy().transpose(0, 2, 3, 1)


def write_images(folder: Path, pixels: np.ndarray, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pixels.squeeze(), first):
        Image.fromarray(image).save(folder / f"image{number}.png")


def assert_is_image_set(images: ImageSet) -> None:
    assert images.pixels.dtype == torch.uint8
    assert images.image_shape == tuple(images.pixels.shape[1:])
    rows = torch.cat([images.train, images.test])
    assert rows.dtype == torch.int64
    assert rows.sort().values.equal(torch.arange(len(images.pixels)))
    for rows in (images.train, images.test):
        assert (rows.diff() > 0).all()


# Tetrominoes


@pytest.mark.parametrize(
    ("split", "share"), [("default", None), ("checkerboard", None), ("cv", 0.1), ("cd", 0.3)], ids=lambda v: str(v)
)
def test_tetrominoes_are_rendered_from_the_factors_of_the_rows_in_use(split: str, share: float | None) -> None:
    images = data.load("tetrominoes", split=split, share=share, n_train=20, n_test=30, seed=5)
    assert_is_image_set(images)
    assert (len(images.train), len(images.test)) == (20, 30)
    assert images.split == split
    assert images.factor_names == tetrominoes.FACTOR_NAMES
    assert torch.equal(images.pixels, tetrominoes.render(images.factors, dtype=torch.uint8))
    rows = tetrominoes.factors()
    whole = {
        "default": lambda: splits.default(len(rows), seed=5),
        "checkerboard": lambda: splits.checkerboard(rows[:, :5], tetrominoes.RANGES),
        "cv": lambda: splits.cv(len(rows), 0.1, seed=5),
        "cd": lambda: splits.cd(rows[:, :5], tetrominoes.RANGES, 0.3, seed=5),
    }[split]()
    for kept, side in zip((images.train, images.test), whole, strict=True):
        drawn = {tuple(row) for row in rows[side].tolist()}
        assert all(tuple(row) in drawn for row in images.factors[kept].tolist())


# The user's own arrays


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[..., :1]], ids=["RGB", "no channel", "one channel"])
def test_array_files_come_back_channel_first(tmp_path: Path, suffix: str, pixels: np.ndarray) -> None:
    path = tmp_path / f"mine{suffix}"
    if suffix == ".npy":
        np.save(path, pixels)
    else:
        np.savez(path, images=pixels)
    images = data.load(path)
    assert_is_image_set(images)
    assert images.name == "mine"
    assert len(images.train) == len(images.test) == 6
    np.testing.assert_array_equal(in_file_order(images), pixels.reshape(12, 5, 4, -1))
    assert torch.equal(data.load(str(path)).pixels, images.pixels)


def test_arrays_and_tensors_are_taken_as_they_are() -> None:
    for array in (PIXELS, torch.from_numpy(PIXELS)):
        images = data.load(array, split="cv", share=0.25)
        assert_is_image_set(images)
        assert len(images.train) == 3
        np.testing.assert_array_equal(in_file_order(images), PIXELS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_rounded_to_256_levels(dtype: type) -> None:
    images = data.load((PIXELS / 255).astype(dtype))
    np.testing.assert_array_equal(in_file_order(images), PIXELS)


def test_booleans_are_black_and_white() -> None:
    np.testing.assert_array_equal(in_file_order(data.load(PIXELS > 99)), np.where(PIXELS > 99, 255, 0))


def test_npz_files_bring_labels_and_factors(tmp_path: Path) -> None:
    labels, factors = np.arange(12) % 3, np.stack([np.arange(12), np.ones(12), np.arange(12) % 4], axis=1)
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=labels, factors=factors)
    images = data.load(tmp_path / "a.npz", n_train=3, n_test=3)
    assert images.factor_names == ("factor 0", "factor 1", "factor 2")
    for image, label, row in zip(in_file_order(images), images.labels, images.factors, strict=True):
        origin = int(row[0])
        np.testing.assert_array_equal(image, PIXELS[origin])
        assert label == labels[origin]
        assert row.tolist() == factors[origin].tolist()


def test_factors_in_a_file_give_the_splits_by_factors(tmp_path: Path) -> None:
    factors = np.stack([np.arange(12), np.ones(12)], axis=1)  # the second one does not vary, and does not count
    np.savez(tmp_path / "a.npz", images=PIXELS, factors=factors, factor_names=np.array(["size", "light"]))
    board = data.load(tmp_path / "a.npz", split="checkerboard")
    assert board.factor_names == ("size", "light")
    assert board.train.tolist() == [0, 1, 2, 3, 4, 5]
    central = data.load(tmp_path / "a.npz", split="cd", share=0.5)
    assert central.factors[:, 0].tolist() == [3, 4, 5, 6, 7, 8]


def test_npz_files_bring_their_own_split(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, train=PIXELS[:8], test=PIXELS[8:], train_labels=np.arange(8), test_labels=np.arange(4))
    images = data.load(path)
    assert_is_image_set(images)
    assert images.train.tolist() == list(range(8))
    assert images.labels.tolist() == [*range(8), *range(4)]
    np.testing.assert_array_equal(in_file_order(images), PIXELS)
    assert len(data.load(path, split="cv", share=0.5).train) == 6


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (PIXELS[0, 0], r"shape \(4, 3\); give \(image, height, width\)"),
        (PIXELS[None], r"shape \(1, 12, 5, 4, 3\); give"),
        (PIXELS.transpose(0, 3, 2, 1), r"shape \(12, 3, 4, 5\); give .* 1 to 4 channels"),
        (PIXELS[:0], r"shape \(0, 5, 4, 3\), which is empty"),
        (PIXELS[:, :0], "which is empty"),
        (PIXELS[:1], "each side needs at least one"),
        (PIXELS.astype(np.int64), r"type int64; give uint8 in 0\.\.255 or floats"),
        (PIXELS.astype(complex), "type complex128; give uint8"),
        (np.full((3, 4, 4), np.nan), "NaN or infinity; give floats in"),
        (np.full((3, 4, 4), np.inf), "NaN or infinity"),
        (PIXELS.astype(float), r"floats from 0 to 255; give floats in \[0, 1\]"),
        (np.full((3, 4, 4), -0.1), r"floats from -0\.1 to -0\.1"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.load(array)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": PIXELS}, "holds the arrays pictures; give images"),
        ({}, r"holds the arrays \(none\); give images"),
        ({"train": PIXELS}, "holds the arrays train; give images"),
        ({"images": PIXELS, "labels": np.arange(11)}, r"labels has shape \(11,\) .* give 12 integers"),
        ({"images": PIXELS, "labels": np.ones(12)}, "labels has .* type float64; give 12 integers"),
        ({"images": PIXELS, "factors": np.ones(12)}, r"factors has shape \(12,\) .* 12 rows"),
        ({"images": PIXELS, "factors": np.full((12, 1), np.nan)}, "factors holds NaN"),
        ({"images": PIXELS, "factors": np.ones((12, 1)), "factor_names": np.array(["a", "b"])}, "give 1 texts"),
        ({"images": PIXELS, "factors": np.ones((12, 2)), "factor_names": np.array(["a", "a"])}, "name twice"),
        ({"images": PIXELS, "factors": np.ones((12, 1), complex)}, "factors has .* type complex128"),
        (
            {"images": PIXELS, "factors": RAMP, "factor_periods": np.array([11.0])},
            r"is \[11\.0\]; give 1 numbers above",
        ),
        ({"images": PIXELS, "factors": RAMP, "factor_periods": np.array([np.nan])}, r"is \[nan\]; give 1 numbers"),
        (
            {"images": PIXELS, "factors": RAMP, "factor_periods": np.array([-9.0])},
            "factor_periods is .* give 1 numbers",
        ),
        ({"images": PIXELS, "factors": RAMP, "factor_periods": np.ones(2)}, "give 1 numbers above the ranges"),
        ({"train": PIXELS, "test": PIXELS[:, 1:]}, r"\(5, 4, 3\) in train and \(4, 4, 3\) in test"),
        ({"train": PIXELS, "test": PIXELS[:0]}, "test has .* which is empty"),
        ({"train": PIXELS, "test": PIXELS, "test_labels": np.arange(12)}, "labels on one side only"),
        ({"images": np.array([{}], dtype=object)}, "cannot be read as arrays .* no objects"),
    ],
)
def test_npz_files_that_are_no_images_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path / "a.npz")


def claiming(shape: tuple[int, ...]) -> bytes:
    """A .npy file whose header claims more than there is."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"few"


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "whole.npy", PIXELS)
    np.savez(tmp_path / "whole.npz", images=PIXELS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-7])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-200])
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "huge.npy").write_bytes(claiming((10**9, 10**4, 10**4)))
    (tmp_path / "endless.npy").write_bytes(claiming((10**30, 5, 5)))
    (tmp_path / "header.npy").write_bytes(b"\x93NUMPY\x02\x00" + b"\xff" * 40)
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    damaged[200] ^= 1
    (tmp_path / "damaged.npz").write_bytes(damaged)
    for path in tmp_path.iterdir():
        if path.stem != "whole":
            with pytest.raises(ValueError, match=f"{path.name}' cannot be read as arrays"):
                data.load(path)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


SPECIAL = {
    "a FIFO": make_fifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a broken link": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("kind", "make"), SPECIAL.items())
def test_what_is_no_regular_file_is_refused_at_once(
    kind: str, make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    write_images(Path("set"), PIXELS)
    for path in (Path("x.npz"), Path("set/5.png")):
        make(path)
        source = path if path.suffix == ".npz" else path.parent
        missing = kind == "a broken link" and source == path
        error, message = (
            (FileNotFoundError, "is not there") if missing else (ValueError, f"{path} is {kind}; remove it")
        )
        for read in (data.load, lambda one: data.Data(one).content):
            with pytest.raises(error, match=message):
                read(source)


# Folders of images


def test_folders_of_images_come_in_natural_order(tmp_path: Path) -> None:
    write_images(tmp_path / "mine", PIXELS)
    (tmp_path / "mine" / ".hidden").touch()
    images = data.load(tmp_path / "mine")
    assert_is_image_set(images)
    assert images.name == "mine"
    assert images.labels is None
    np.testing.assert_array_equal(in_file_order(images), PIXELS)


def test_gray_images_have_one_channel(tmp_path: Path) -> None:
    write_images(tmp_path, PIXELS[..., 0])
    np.testing.assert_array_equal(in_file_order(data.load(tmp_path)), PIXELS[..., :1])


def test_subfolders_are_classes(tmp_path: Path) -> None:
    write_images(tmp_path / "2 cats", PIXELS[:7])
    write_images(tmp_path / "10 dogs", PIXELS[7:])
    images = data.load(tmp_path)
    np.testing.assert_array_equal(in_file_order(images), PIXELS)
    assert images.labels.tolist() == [0] * 7 + [1] * 5


def test_subfolders_train_and_test_are_the_split(tmp_path: Path) -> None:
    write_images(tmp_path / "plain" / "train", PIXELS[:8])
    write_images(tmp_path / "plain" / "test", PIXELS[8:])
    plain = data.load(tmp_path / "plain")
    assert plain.train.tolist() == list(range(8))
    assert plain.labels is None
    for side, start in (("train", 0), ("test", 6)):
        for label in (0, 1):
            write_images(tmp_path / "classes" / side / f"class{label}", PIXELS[start + 3 * label :][:3])
    classes = data.load(tmp_path / "classes")
    assert classes.test.tolist() == list(range(6, 12))
    assert classes.labels.tolist() == [0, 0, 0, 1, 1, 1] * 2
    np.testing.assert_array_equal(in_file_order(classes), PIXELS)


def test_folders_that_are_no_images_are_refused(tmp_path: Path) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            data.load(tmp_path / name)

    (tmp_path / "empty").mkdir()
    refused("empty", "empty' is empty; give a folder with images")
    (tmp_path / "empty class" / "a").mkdir(parents=True)
    refused("empty class", "a' is empty")
    write_images(tmp_path / "sizes", PIXELS[:2])
    Image.fromarray(PIXELS[0, 1:]).save(tmp_path / "sizes" / "z.png")
    refused("sizes", r"z\.png is 4 x 4 RGB, .*image0\.png is 4 x 5 RGB; give images of one size")
    write_images(tmp_path / "kinds", PIXELS[:2])
    Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / "kinds" / "z.png")
    refused("kinds", r"z\.png is 4 x 5 gray, .*image0\.png is 4 x 5 RGB")
    write_images(tmp_path / "text", PIXELS[:2])
    (tmp_path / "text" / "notes.txt").write_text("not an image")
    refused("text", r"notes\.txt cannot be read as an image .* remove it")
    write_images(tmp_path / "cut", PIXELS[:2])
    whole = (tmp_path / "cut" / "image1.png").read_bytes()
    (tmp_path / "cut" / "image1.png").write_bytes(whole[: len(whole) // 2])
    refused("cut", r"image1\.png cannot be read as an image")
    write_images(tmp_path / "deep", PIXELS[:2])
    Image.fromarray(PIXELS[0, ..., 0].astype(np.uint16)).save(tmp_path / "deep" / "image0.png")
    refused("deep", r"image0\.png has the color mode I;16; give 8-bit gray or RGB")
    frames = [Image.fromarray(image) for image in PIXELS[:3]]
    (tmp_path / "film").mkdir()
    frames[0].save(tmp_path / "film" / "a.gif", save_all=True, append_images=frames[1:])
    refused("film", r"a\.gif holds 3 images; give one a file")
    write_images(tmp_path / "mixed", PIXELS[:2])
    (tmp_path / "mixed" / "class").mkdir()
    refused("mixed", r"both files \(image0\.png\) and folders \(class/\)")
    write_images(tmp_path / "nested" / "class", PIXELS[:2])
    (tmp_path / "nested" / "class" / "deeper").mkdir()
    refused("nested", "deeper is a folder; remove it")
    write_images(tmp_path / "other" / "train" / "a", PIXELS[:2])
    write_images(tmp_path / "other" / "test" / "b", PIXELS[:2])
    refused("other", "other classes in train/ than in test/")


def test_an_image_that_claims_to_be_huge_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, PIXELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9)
    with pytest.raises(ValueError, match=r"image0\.png cannot be read as an image \(Image size .* exceeds limit"):
        data.load(tmp_path)


def test_folders_that_may_not_be_read_are_refused() -> None:
    with tempfile.TemporaryDirectory() as made:
        write_images(Path(made, "set", "class"), PIXELS)
        Path(made, "set", "class").chmod(0)
        Path(made).chmod(0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # root may read everywhere
        try:
            with pytest.raises(ValueError, match=r"set/class' cannot be read: Permission denied"):
                data.load(Path(made, "set"))
        finally:
            if root:
                os.seteuid(0)
            Path(made, "set", "class").chmod(0o755)


# Arguments


@pytest.mark.parametrize("source", ["tetromino", "Tetrominoes", "fashion_mnist", "mist"])
def test_misspelt_names_are_answered_with_the_right_one(source: str) -> None:
    with pytest.raises(ValueError, match=r"did you mean '(tetrominoes|fashion-mnist|mnist)'"):
        data.load(source)


@pytest.mark.parametrize("source", ["", "imagenet"])
def test_unknown_names_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match="neither a known set nor a path; give one of 'tetrominoes'"):
        data.load(source)


def test_missing_paths_are_refused(tmp_path: Path) -> None:
    for source in (tmp_path / "folder", str(tmp_path / "a.npy"), "a.npz"):
        with pytest.raises(FileNotFoundError, match="is not there; give the path of"):
            data.load(source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "random"}, "split is 'random'; give one of"),
        ({"split": "checkerboard"}, "needs factors that vary, and 'array' has none; give 'default' or 'cv'"),
        ({"split": "cd", "share": 0.5}, "needs factors that vary"),
        ({"n_train": 7}, "n_train is 7; give an integer from 1 to 6"),
        ({"n_test": 7}, "n_test is 7; give an integer from 1 to 6"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.load(PIXELS, **arguments)
