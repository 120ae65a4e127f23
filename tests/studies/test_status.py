"""The status of the published studies says what there is, at which scale, and what there is not."""

import json
from pathlib import Path

import pytest

from ratereg import CATALOG, published
from ratereg.studies import results as results_module
from ratereg.studies.status import status
from synthetic import synthetic


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results_module, "published_directory", lambda: tmp_path)
    monkeypatch.setattr("ratereg.studies.status.published_directory", lambda: tmp_path)
    return tmp_path


def commit(place: Path, name: str, scale: str) -> None:
    study = published(name, scale)
    synthetic(study).save(place / name / study.digest)


def test_every_study_has_a_row_in_the_catalogs_order_and_one_without_a_result_says_so(committed: Path) -> None:
    table = status()
    assert list(table["study"]) == list(CATALOG)
    assert (table["scale"] == "").all()
    assert (table["share"] == 0).all()
    assert table[["device", "seconds", "commit", "source"]].isna().all(axis=None)
    smallest = [len(published(name, "cpu")) for name in CATALOG]
    assert list(table["members"]) == smallest


def test_a_committed_result_is_told_with_its_scale_its_share_and_its_provenance(committed: Path) -> None:
    commit(committed, "search", "cpu")
    row = status().set_index("study").loc["search"]
    small, full = published("search", "cpu"), published("search", "full")
    assert (row["scale"], row["members"], row["steps"]) == ("cpu", 6, 5000)
    assert (row["full_members"], row["full_steps"]) == (len(full), 50_000)
    assert row["share"] == pytest.approx(len(small) * 5000 / (len(full) * 50_000))
    assert (row["seconds"], row["device"], row["precision"]) == (3600, "no device", "bfloat16")
    assert row["source"] == f"results/search/{small.digest}"
    assert row["betas"] == "1, 0.1"
    assert row["networks"].split("; ")[0] == "1 x 512"
    assert row["data"] == "tetrominoes, cv 0.1"
    assert status().set_index("study").loc["width", "scale"] == ""


def test_of_two_results_the_larger_one_counts(committed: Path) -> None:
    for scale in ("cpu", "full"):
        place = committed / "plane" / published("plane", scale).digest
        place.mkdir(parents=True)
        (place / "provenance.json").write_text(json.dumps({"seconds": 7}))
    row = status(["plane"]).iloc[0]
    assert (row["scale"], row["share"], row["seconds"], row["device"]) == ("full", 1, 7, None)


def test_words_tell_binarization_and_convolutions(committed: Path) -> None:
    row = status(["images"]).iloc[0]
    assert row["data"].split("; ")[-1] == "mnist-10k, static binarization"
    assert row["networks"].split("; ")[-1] == "convolutional 16"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"name is 'nothing'; give one of 'capacity'"):
        status(["nothing"])
