"""A result's arrays come back as they were, from files small enough for git."""

from pathlib import Path

import numpy as np
import pytest

from ratereg.studies import arrays as module
from ratereg.studies.arrays import load_arrays, save_arrays
from ratereg.studies.results import published_directory

RNG = np.random.default_rng(0)
ARRAYS = {
    "test_originals": RNG.integers(0, 256, (1, 8, 3, 4, 4), dtype=np.uint8),
    "test_reconstructions": RNG.integers(0, 256, (9, 8, 3, 4, 4), dtype=np.uint8),
    "test_mean": RNG.standard_normal((9, 50, 2)).astype(np.float32),
    "member_dataset": np.zeros(9, dtype=int),
    "nothing": np.zeros((9, 0, 2), dtype=np.float32),
    "no_rows": np.zeros((0, 3)),
}


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype
        np.testing.assert_array_equal(values, other[name])


@pytest.mark.parametrize("limit", [4000, 6000])
def test_arrays_come_back_from_files_below_the_limit(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", limit)
    save_arrays(tmp_path, ARRAYS)
    assert len(list(tmp_path.iterdir())) > 1
    assert all(path.stat().st_size < limit for path in tmp_path.iterdir())
    assert_equal(load_arrays(tmp_path), ARRAYS)


def test_one_file_is_as_it_always_was(tmp_path: Path) -> None:
    save_arrays(tmp_path, ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == ["arrays.npz"]
    with np.load(tmp_path / "arrays.npz") as file:
        assert_equal(dict(file), ARRAYS)


def test_a_members_rows_are_kept_whole_where_they_alone_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", 10)
    save_arrays(tmp_path, ARRAYS)
    assert len(list(tmp_path.iterdir())) == 9
    assert_equal(load_arrays(tmp_path), ARRAYS)


def test_a_missing_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", 4000)
    save_arrays(tmp_path, ARRAYS)
    last = sorted(tmp_path.iterdir())[-2]
    last.unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {last.name}"):
        load_arrays(tmp_path)


def test_committed_results_are_still_read() -> None:
    files = sorted(published_directory().glob("*/*/arrays.npz"))
    assert files
    for file in files:
        assert {"test_originals", "train_mean", "member_dataset"} <= load_arrays(file.parent).keys()
