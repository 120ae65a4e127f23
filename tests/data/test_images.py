import gzip
from pathlib import Path

import numpy as np
import pytest

from ratereg import data
from ratereg.data import images
from ratereg.data._torchvision import torchvision_datasets

SYSTEM = Path("/usr/share/datasets/fashion-mnist")
RNG = np.random.default_rng(0)
PIXELS = {
    "train": RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8),
    "t10k": RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8),
}
LABELS = {"train": np.arange(6, dtype=np.uint8), "t10k": np.arange(4, dtype=np.uint8)}


def idx(array: np.ndarray) -> bytes:
    """The format of MNIST's files: type, number of axes, sizes, values."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_set(folder: Path, suffix: str = "") -> None:
    folder.mkdir(parents=True)
    pack = gzip.compress if suffix else bytes
    for side in ("train", "t10k"):
        (folder / f"{side}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(PIXELS[side])))
        (folder / f"{side}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(LABELS[side])))


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set, and no network to get one from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RATEREG_DATA", raising=False)
    monkeypatch.setattr(images, "_SYSTEM", tmp_path / "system")
    for name in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(getattr(torchvision_datasets(), name), "mirrors", ["http://127.0.0.1:9/"])


def assert_is_the_written_set(name: str) -> None:
    found = data.load(name)
    assert found.name == name
    assert found.image_shape == (1, 28, 28)
    np.testing.assert_array_equal(found.pixels[found.train, 0], PIXELS["train"])
    np.testing.assert_array_equal(found.pixels[found.test, 0], PIXELS["t10k"])
    np.testing.assert_array_equal(found.labels, np.concatenate([LABELS["train"], LABELS["t10k"]]))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("place", ["named", "data", "cache"])
def test_sets_are_found_where_they_lie(name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_DATA", str(tmp_path / "named"))
    write_set(tmp_path / place / images._TORCHVISION[name] / "raw")
    assert_is_the_written_set(name)


def test_the_systems_set_is_unpacked_into_the_cache_once(tmp_path: Path) -> None:
    write_set(tmp_path / "system" / "fashion-mnist", ".gz")
    assert_is_the_written_set("fashion-mnist")
    for archive in (tmp_path / "system" / "fashion-mnist").iterdir():
        archive.unlink()
    assert_is_the_written_set("fashion-mnist")
    assert len(list((tmp_path / "cache" / "FashionMNIST" / "raw").iterdir())) == 4


def test_other_shares_and_sizes_of_a_set_can_be_asked_for(tmp_path: Path) -> None:
    write_set(tmp_path / "data" / "MNIST" / "raw")
    assert len(data.load("mnist", split="cv", share=0.2).train) == 2
    few = data.load("mnist", n_train=3, n_test=1)
    assert (len(few.train), len(few.test), len(few.pixels)) == (3, 1, 4)
    with pytest.raises(ValueError, match="needs factors"):
        data.load("mnist", split="checkerboard")


def test_a_set_that_cannot_be_had_says_how_to_get_it() -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"could not download it.*FashionMNIST/raw/.*RATEREG_DATA.*Debian's package dataset-fashion-mnist",
    ):
        data.load("fashion-mnist")
    with pytest.raises(FileNotFoundError, match=r"MNIST/raw/ of a folder, and name that folder in RATEREG_DATA\.$"):
        data.load("mnist")


@pytest.mark.parametrize("file", images.FILES)
@pytest.mark.parametrize("content", [b"", b"no idx file at all", idx(PIXELS["train"])[:-9], idx(LABELS["t10k"][:3])])
def test_damaged_files_are_refused(file: str, content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "MNIST" / "raw"
    write_set(folder)
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=r"'mnist' has .*MNIST/raw; remove that folder and load again"):
        data.load("mnist")


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:30] + b"x" + b[31:], lambda b: b"no archive"])
def test_damaged_archives_are_refused_and_leave_nothing_behind(damage: object, tmp_path: Path) -> None:
    folder = tmp_path / "system" / "fashion-mnist"
    write_set(folder, ".gz")
    archive = folder / "train-images-idx3-ubyte.gz"
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is damaged; install its package again"):
        data.load("fashion-mnist")
    assert not (tmp_path / "cache").exists()


def test_the_real_fashion_mnist_has_the_published_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    if not SYSTEM.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    monkeypatch.setattr(images, "_SYSTEM", SYSTEM.parent)
    found = data.load("fashion-mnist")
    assert found.pixels.shape == (70_000, 1, 28, 28)
    assert (len(found.train), len(found.test)) == (60_000, 10_000)
    assert found.labels[found.train].bincount().tolist() == [6000] * 10
    assert found.labels[found.test].bincount().tolist() == [1000] * 10
    assert found.pixels[found.train].double().mean().item() / 255 == pytest.approx(0.2860, abs=1e-4)
