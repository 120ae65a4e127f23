"""A known image set given as a file is that very set, wherever it is read."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ratereg import data
from ratereg.data import given, images
from ratereg.data.idx import FILES, as_idx
from ratereg.studies import Data, Study

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
    """No data set and nothing to download one with; the small arrays above pass for the published Fashion-MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    for name in ("RATEREG_DATA", "RATEREG_DATA_FASHION_MNIST", "RATEREG_DATA_MNIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(images, "_SYSTEM", tmp_path / "system")
    monkeypatch.setattr(images, "torchvision_datasets", lambda: pytest.fail("torchvision was asked"))
    digests = {part: hashlib.sha256(as_idx(array)).hexdigest() for part, array in ARRAYS.items()}
    monkeypatch.setattr(given, "_DIGESTS", {"fashion-mnist": digests, "mnist": digests})


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


def assert_is_the_set(found: data.ImageSet) -> None:
    assert found.name == "fashion-mnist"
    assert found.image_shape == (1, 28, 28)
    np.testing.assert_array_equal(found.pixels[found.train, 0], ARRAYS["train"])
    np.testing.assert_array_equal(found.pixels[found.test, 0], ARRAYS["test"])
    np.testing.assert_array_equal(found.labels, np.concatenate([ARRAYS["train_labels"], ARRAYS["test_labels"]]))


@pytest.mark.parametrize("kind", ["npz", "packed", "unpacked"])
def test_a_given_file_is_the_set(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_npz(tmp_path / "x.npz") if kind == "npz" else write_folder(tmp_path / "x", packed=kind == "packed")
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(place))
    assert_is_the_set(data.load("fashion-mnist"))


@pytest.mark.parametrize("place", ["named", "data", "cache"])
def test_a_file_of_the_sets_name_is_found_in_the_folders_of_data(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATEREG_DATA", str(tmp_path / "named"))
    write_npz(tmp_path / place / "fashion-mnist.npz")
    assert_is_the_set(data.load("fashion-mnist"))


def test_a_written_file_gives_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "data" / "FashionMNIST" / "raw", packed=False)
    here = data.load("fashion-mnist", n_train=3, n_test=2, seed=4, binarize="static")
    written = given.write_given(images.read_known("fashion-mnist"), tmp_path / "carried" / "one.npz")
    assert [path.name for path in written.parent.iterdir()] == ["one.npz"]
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(written))
    monkeypatch.chdir(tmp_path / "carried")
    there = data.load("fashion-mnist", n_train=3, n_test=2, seed=4, binarize="static")
    assert there.name == here.name
    for name in ("pixels", "train", "test", "labels"):
        assert getattr(there, name).equal(getattr(here, name))


def test_the_studys_digest_is_that_of_the_named_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(Data("fashion-mnist"))
    before = study.digest
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(write_npz(tmp_path / "x.npz")))
    assert study.digest == before


@pytest.mark.parametrize("kind", ["npz", "packed"])
@pytest.mark.parametrize(
    ("array", "other", "file"),
    [
        ("train", ARRAYS["train"][::-1], FILES[0]),
        ("train_labels", ARRAYS["train_labels"][::-1], FILES[1]),
        ("test", ARRAYS["test"] ^ 1, FILES[2]),
        ("test_labels", np.zeros(4, dtype=np.uint8), FILES[3]),
    ],
)
def test_other_contents_are_refused(
    kind: str, array: str, other: np.ndarray, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (write_npz if kind == "npz" else write_folder)(tmp_path / f"x.{kind}", **{array: other})
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(place))
    with pytest.raises(ValueError, match=rf"is not the published 'fashion-mnist': other content in {file}\. Give"):
        data.load("fashion-mnist")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"train": ARRAYS["train"][:5], "train_labels": ARRAYS["train_labels"][:5]}, "not the published"),
        ({"train": ARRAYS["train"][:, :20], "test": ARRAYS["test"][:, :20]}, "not the published"),
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


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", "nowhere.npz")
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.npz', which is not there; `ratereg data fashion-mnist`"):
        data.load("fashion-mnist")
    folder = write_folder(tmp_path / "x")
    (folder / f"{FILES[2]}.gz").unlink()
    monkeypatch.setenv("RATEREG_DATA_FASHION_MNIST", str(folder))
    with pytest.raises(FileNotFoundError, match=rf"x has no {FILES[2]} or {FILES[2]}\.gz"):
        data.load("fashion-mnist")


def test_only_the_published_set_is_written(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "MNIST" / "raw", packed=False, test=ARRAYS["test"] ^ 1)
    with pytest.raises(ValueError, match="the 'mnist' of this machine is not the published"):
        given.write_given(images.read_known("mnist"), tmp_path / "out" / "x.npz")
    with pytest.raises(ValueError, match=r"output is 'x\.gz'; give a file that ends in \.npz"):
        given.write_given(images.read_known("mnist"), Path("x.gz"))
    assert not (tmp_path / "out").exists()


def test_the_real_fashion_mnist_is_the_published_one_and_needs_no_torchvision() -> None:
    if not SYSTEM.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torchvision', 'PIL']))\n"
        "from ratereg import data\n"
        "found = data.load('fashion-mnist', n_train=10)\n"
        "assert len(found.test) == 10_000\n"
    )
    environment = {"RATEREG_DATA_FASHION_MNIST": str(SYSTEM), "PYTHONPATH": str(Path(data.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
