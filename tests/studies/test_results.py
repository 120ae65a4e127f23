"""Results of earlier versions of the package, which lack columns that there are today."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ratereg import MLP, Data, Results, Study
from ratereg.studies.results import find_published
from synthetic import synthetic

STUDY = Study(
    Data("tetrominoes", n_train=64, n_test=32), MLP(1, 8, 2), betas=[1, 0.1], steps=100, latents=4, pictures=1
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    synthetic(STUDY).save(tmp_path / "result")
    return tmp_path / "result"


def without(directory: Path, *columns: str) -> Results:
    table = pd.read_csv(directory / "table.csv")
    table.drop(columns=list(columns)).to_csv(directory / "table.csv", index=False)
    return Results.load(directory)


def test_a_result_without_the_negative_elbo_gets_it_and_no_error_of_it(directory: Path) -> None:
    table = without(directory, "negative_elbo", "negative_elbo_se").table
    np.testing.assert_allclose(table["negative_elbo"], table["rate"] + table["distortion"], rtol=1e-14)
    assert table["negative_elbo_se"].isna().all()
    assert len(table) == len(STUDY) * len(STUDY.record_steps) * 2


def test_a_result_that_has_the_negative_elbo_keeps_it(directory: Path) -> None:
    table = pd.read_csv(directory / "table.csv")
    table["negative_elbo"] += 1
    table.to_csv(directory / "table.csv", index=False)
    loaded = Results.load(directory).table
    np.testing.assert_allclose(loaded["negative_elbo"], loaded["rate"] + loaded["distortion"] + 1, rtol=1e-12)
    assert (loaded["negative_elbo_se"] == 0.1).all()


def test_a_result_without_the_step_of_divergence_diverged_nowhere(directory: Path) -> None:
    assert without(directory, "diverged_at").table["diverged_at"].isna().all()


@pytest.mark.parametrize("digest", ["cbf3da02d64a", "dc8e247f10fe"])
def test_the_oldest_committed_results_can_be_read_with_todays_columns(digest: str) -> None:
    directory = find_published(digest)
    assert directory is not None
    results = Results.load(directory)
    assert results.study.digest == digest
    final = results.final
    np.testing.assert_allclose(final["negative_elbo"], final["rate"] + final["distortion"], rtol=1e-9)
    assert final["diverged_at"].isna().all()


def test_a_directory_that_lacks_a_file_is_refused_by_its_name(directory: Path) -> None:
    (directory / "table.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks table\.csv"):
        Results.load(directory)
