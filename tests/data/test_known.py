"""A known image set is the published one, wherever it comes from."""

import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ratereg import data
from ratereg.data import known
from ratereg.data.idx import FILES, as_idx

SYSTEM = Path("/usr/share/datasets/fashion-mnist")
RNG = np.random.default_rng(1)
ARRAYS = {
    "train": RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8),
    "train_labels": np.arange(6, dtype=np.uint8),
    "test": RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8),
    "test_labels": np.arange(4, dtype=np.uint8),
}


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data sets, which downloads from an empty folder; the arrays above pass for the published."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    for name in ("RATEREG_DATA", "RATEREG_DATA_FASHION_MNIST", "RATEREG_DATA_MNIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(known, "_SYSTEM", tmp_path / "system")
    digests = {part: hashlib.sha256(as_idx(array)).hexdigest() for part, array in ARRAYS.items()}
    for name in ("fashion-mnist", "mnist"):
        monkeypatch.setitem(known._DIGESTS, name, digests)
        monkeypatch.setitem(known._ADDRESSES, name, (tmp_path / "mirror" / name).as_uri())


def write_folder(folder: Path, packed: bool = True, **other: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for file, array in zip(FILES, (ARRAYS | other).values(), strict=True):
        content = as_idx(array)
        (folder / f"{file}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    return folder


def write_npz(path: Path, **other: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(ARRAYS | other))
    return path


def assert_is_the_set(name: str = "fashion-mnist") -> None:
    found = data.load(name)
    assert found.name == name
    assert found.image_shape == (1, 28, 28)
    np.testing.assert_array_equal(found.pixels[found.train, 0], ARRAYS["train"])
    np.testing.assert_array_equal(found.pixels[found.test, 0], ARRAYS["test"])
    np.testing.assert_array_equal(found.labels, np.concatenate([ARRAYS["train_labels"], ARRAYS["test_labels"]]))


@pytest.mark.parametrize("kind", ["npz", "packed", "unpacked"])
def test_a_given_file_is_the_set(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = data.Data("fashion-mnist").settings
    place = write_npz(tmp_path / "x.npz") if kind == "npz" else write_folder(tmp_path / "x", packed=kind == "packed")
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(place))
    assert_is_the_set()
    assert data.Data("fashion-mnist").settings == before


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("place", ["named", "data", "cache"])
@pytest.mark.parametrize("kind", ["npz", "torchvision"])
def test_sets_are_found_where_they_lie(
    name: str, place: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_DATA", str(tmp_path / "named"))
    if kind == "npz":
        write_npz(tmp_path / place / f"{name}.npz")
    else:
        write_folder(tmp_path / place / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name] / "raw", packed=False)
    assert_is_the_set(name)


def test_the_systems_set_is_read_where_it_lies(tmp_path: Path) -> None:
    write_folder(tmp_path / "system" / "fashion-mnist")
    assert_is_the_set()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_set_is_downloaded_once_and_leaves_one_file(name: str, tmp_path: Path) -> None:
    mirror = write_folder(tmp_path / "mirror" / name)
    assert_is_the_set(name)
    for file in mirror.iterdir():
        file.unlink()
    assert_is_the_set(name)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{name}.npz"]


def test_another_set_that_was_downloaded_is_refused_and_not_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "mirror" / "mnist", test=ARRAYS["test"] ^ 1)
    with pytest.raises(ValueError, match="is not the published 'mnist': other test"):
        data.load("mnist")
    assert not (tmp_path / "cache").exists()


def test_a_set_that_cannot_be_had_says_how_to_get_it() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"could not be downloaded: .*FashionMNIST/raw/.*RATEREG_DATA\. Or install Debian's"
    ):
        data.load("fashion-mnist")
    with pytest.raises(FileNotFoundError, match=r"MNIST/raw/ of a folder, and name that folder in RATEREG_DATA\.$"):
        data.load("mnist")


def test_other_shares_and_sizes_of_a_set_can_be_asked_for(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "MNIST" / "raw")
    assert len(data.load("mnist", split="cv", share=0.2).train) == 2
    few = data.load("mnist", n_train=3, n_test=1)
    assert (len(few.train), len(few.test), len(few.pixels)) == (3, 1, 4)
    with pytest.raises(ValueError, match="needs factors"):
        data.load("mnist", split="checkerboard")


def test_a_written_file_holds_the_set_alone_and_gives_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "data" / "FashionMNIST" / "raw", packed=False)
    here = data.load("fashion-mnist", n_train=3, n_test=2, seed=4, binarize="static")
    written = known.write_known(known.read_known("fashion-mnist"), tmp_path / "carried" / "one.npz")
    assert [path.name for path in written.parent.iterdir()] == ["one.npz"]
    with np.load(written) as arrays:
        assert set(arrays) == ARRAYS.keys()
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(written))
    monkeypatch.chdir(tmp_path / "carried")
    there = data.load("fashion-mnist", n_train=3, n_test=2, seed=4, binarize="static")
    assert there.name == here.name
    for name in ("pixels", "train", "test", "labels"):
        assert getattr(there, name).equal(getattr(here, name))


def test_only_the_published_set_is_written(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "MNIST" / "raw")
    images = known.read_known("mnist")
    with pytest.raises(ValueError, match=r"output is 'x\.gz'; give a file that ends in \.npz"):
        known.write_known(images, Path("x.gz"))
    known._DIGESTS["mnist"] = known._DIGESTS["mnist"] | {"test": "another"}
    with pytest.raises(ValueError, match="the 'mnist' of this machine is not the published 'mnist': other test"):
        known.write_known(images, tmp_path / "out" / "x.npz")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", [write_npz, write_folder])
@pytest.mark.parametrize(
    ("array", "other"),
    [
        ("train", ARRAYS["train"][::-1]),
        ("train_labels", ARRAYS["train_labels"][::-1]),
        ("test", ARRAYS["test"] ^ 1),
        ("test_labels", np.zeros(4, dtype=np.uint8)),
    ],
)
def test_other_contents_are_refused(
    write: Callable[..., Path], array: str, other: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(tmp_path / "x.npz", **{array: other})
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(place))
    message = rf"is not the published 'fashion-mnist': other {array}\. For 'fashion-mnist', remove {place} or name in"
    with pytest.raises(ValueError, match=message):
        data.load("fashion-mnist")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"train": ARRAYS["train"][:5], "train_labels": ARRAYS["train_labels"][:5]}, "other train, train_labels"),
        ({"train": ARRAYS["train"][:, :20], "test": ARRAYS["test"][:, :20]}, "other train, test"),
        ({"train": np.repeat(ARRAYS["train"][..., None], 3, 3), "test": ARRAYS["test"]}, "one shape"),
        ({"train": ARRAYS["train"].astype(int)}, "give uint8"),
        ({"test_labels": ARRAYS["test_labels"][:2]}, "give 4 integers"),
    ],
)
def test_other_shapes_and_types_are_refused(
    other: dict[str, np.ndarray], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(write_npz(tmp_path / "x.npz", **other)))
    with pytest.raises(ValueError, match=message):
        data.load("fashion-mnist")


def test_a_given_place_without_the_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", "nowhere.npz")
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.npz', which is not there; `ratereg data fashion-mnist`"):
        data.load("fashion-mnist")
    folder = write_folder(tmp_path / "x")
    (folder / f"{FILES[2]}.gz").unlink()
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(folder))
    with pytest.raises(FileNotFoundError, match=rf"x lacks files of 'fashion-mnist'; give a folder of {FILES[0]}"):
        data.load("fashion-mnist")
    os.mkfifo(tmp_path / "pipe.npz")
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(tmp_path / "pipe.npz"))
    with pytest.raises(ValueError, match=r"pipe\.npz is a FIFO"):
        data.load("fashion-mnist")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"no idx file at all",
        lambda content: content[:-9],
        lambda content: content[:3] + bytes([3 ^ 1 ^ content[3]]) + content[4:],
        lambda content: content[:4] + b"\xff" * 4 + content[8:],
    ],
)
def test_damaged_files_are_refused(damage: Callable[[bytes], bytes], file: str, packed: bool, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "data" / "MNIST" / "raw", packed) / f"{file}{'.gz' if packed else ''}"
    content = damage(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=r"(damaged|and labels \().*For 'mnist', remove data/MNIST/raw or"):
        data.load("mnist")


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:30] + b"x" + b[31:], lambda b: b[:2] + b"no"])
def test_damaged_archives_are_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    archive = write_folder(tmp_path / "system" / "fashion-mnist") / "train-images-idx3-ubyte.gz"
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is damaged: .*system/fashion-mnist or"):
        data.load("fashion-mnist")


def test_the_real_fashion_mnist_is_the_published_one_and_needs_no_image_library() -> None:
    if not SYSTEM.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    code = (
        "import sys; sys.modules.update({'PIL': None})\n"
        "from ratereg import data\n"
        "found = data.load('fashion-mnist')\n"
        "assert found.pixels.shape == (70_000, 1, 28, 28)\n"
        "assert (len(found.train), len(found.test)) == (60_000, 10_000)\n"
        "assert found.labels[found.train].bincount().tolist() == [6000] * 10\n"
        "assert found.labels[found.test].bincount().tolist() == [1000] * 10\n"
        "assert abs(found.pixels[found.train].double().mean().item() / 255 - 0.2860) < 1e-4\n"
    )
    environment = {"RATEREG_DATA_FASHION_MNIST": str(SYSTEM), "PYTHONPATH": str(Path(data.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
