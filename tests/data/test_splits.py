import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratereg.data import splits, tetrominoes
from ratereg.data.tetrominoes import COUNT, RANGES

FACTORS = tetrominoes.factors()[:, :5]


def assert_is_split(train: np.ndarray, test: np.ndarray, count: int) -> None:
    for rows in (train, test):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    assert len(np.intersect1d(train, test)) == 0
    assert min(train.min(), test.min()) >= 0
    assert max(train.max(), test.max()) < count


@given(count=st.integers(2, 500), seed=st.integers(0, 2**70))
@settings(max_examples=50, deadline=None)
def test_default_parts_all_images_in_halves(count: int, seed: int) -> None:
    train, test = splits.default(count, seed=seed)
    assert_is_split(train, test, count)
    assert len(train) == count // 2
    assert len(train) + len(test) == count


@given(count=st.integers(10, 500), share=st.floats(0.1, 0.9), seed=st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_cv_trains_on_the_share_and_tests_on_the_rest(count: int, share: float, seed: int) -> None:
    train, test = splits.cv(count, share, seed=seed)
    assert_is_split(train, test, count)
    assert len(train) == round(share * count)
    assert len(train) + len(test) == count


def test_checkerboard_has_neighbors_across_every_midpoint_on_the_other_side() -> None:
    train, test = splits.checkerboard(FACTORS, RANGES)
    assert_is_split(train, test, COUNT)
    assert len(train) + len(test) == COUNT
    assert abs(len(train) - COUNT / 2) < 0.01 * COUNT
    on_train = np.isin(np.arange(COUNT), train)
    middle = np.array([(low + high) / 2 for low, high in RANGES.values()])
    assert on_train[(middle > FACTORS).all(axis=1)].all()
    for factor, (a, b) in enumerate(RANGES.values()):
        moved = FACTORS.copy()
        moved[:, factor] = np.where(moved[:, factor] < middle[factor], 1, -1) * (b - a) / 2 + moved[:, factor]
        np.testing.assert_array_equal(splits.checkerboard(moved, RANGES)[1], train)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_cd_crops_the_default_split_to_the_central_share(share: float) -> None:
    sides = splits.cd(FACTORS, RANGES, share, seed=3)
    assert_is_split(*sides, COUNT)
    for cropped, whole in zip(sides, splits.default(COUNT, seed=3), strict=True):
        assert np.isin(cropped, whole).all()
        assert len(cropped) == pytest.approx(share * COUNT / 2, rel=0.1)
    kept = np.isin(np.arange(COUNT), np.concatenate(sides))
    for factor, (low, high) in zip(FACTORS.T, RANGES.values(), strict=True):
        extent = np.abs(factor[kept] - (low + high) / 2).max() / ((high - low) / 2)
        assert extent == pytest.approx(share**0.2, abs=0.02)
        assert extent <= share**0.2


@given(sizes=st.tuples(st.integers(1, 50), st.integers(1, 50)), seed=st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_smaller_subsets_lie_in_larger_ones(sizes: tuple[int, int], seed: int) -> None:
    rows = np.arange(100, 150)
    small, large = (splits.subset(rows, size, name="n_train", seed=seed) for size in sorted(sizes))
    assert len(small) == min(sizes)
    assert np.isin(small, large).all()
    assert np.isin(large, rows).all()
    assert (np.diff(large) > 0).all()


def test_the_same_seed_gives_the_same_split_anywhere() -> None:
    # Recorded; numpy promises the bits of PCG64 that the rows are sorted by.
    assert splits.default(12, seed=0)[0].tolist() == [0, 1, 4, 7, 8, 9]
    assert splits.cv(12, 0.25, seed=1)[0].tolist() == [2, 7, 8]
    assert splits.subset(np.arange(12), 4, name="n_train", seed=0).tolist() == [3, 5, 7, 10]


def test_splits_differ_by_seed_and_by_name() -> None:
    first = splits.default(1000, seed=0)[0]
    assert not np.array_equal(first, splits.default(1000, seed=1)[0])
    assert not np.array_equal(first, splits.cv(1000, 0.5, seed=0)[0])


@pytest.mark.parametrize("seed", [-1, 0.5, True, "0", None])
def test_seeds_that_are_none_are_refused(seed: object) -> None:
    with pytest.raises(ValueError, match=r"seed is .*give an integer that is not negative"):
        splits.checked_seed(seed)


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan"), True, "0.5", None])
def test_shares_not_between_0_and_1_are_refused(share: object) -> None:
    with pytest.raises(ValueError, match=r"share is .*give a number between 0 and 1"):
        splits.checked_share(share)


def test_splits_that_leave_a_side_empty_are_refused() -> None:
    with pytest.raises(ValueError, match="each side needs at least one"):
        splits.default(1)
    with pytest.raises(ValueError, match="of 10 images 0 would be in training"):
        splits.cv(10, 0.01)
    with pytest.raises(ValueError, match="leaves a side without images; give a larger one"):
        splits.cd(FACTORS, RANGES, 1e-12)
    with pytest.raises(ValueError, match="blocks of one side"):
        splits.checkerboard(np.zeros((3, 1)), {"factor": (0.0, 1.0)})


def test_factors_without_a_column_for_each_range_are_refused() -> None:
    for split in (splits.checkerboard, lambda factors, ranges: splits.cd(factors, ranges, 0.5)):
        with pytest.raises(
            ValueError, match=rf"shape \({COUNT}, 4\); give a column for each of the ranges, angle, hue"
        ):
            split(FACTORS[:, :4], RANGES)


@pytest.mark.parametrize("size", [0, 11, -1, True])
def test_subsets_that_are_none_are_refused(size: object) -> None:
    with pytest.raises(ValueError, match=r"n_test is .*from 1 to 10"):
        splits.subset(np.arange(10), size, name="n_test")
