"""`ratereg results` measures the published studies that have no result, and the next call resumes the last one."""

import tarfile
from pathlib import Path

import pandas as pd
import pytest

from ratereg import MLP, Data, Results, Study
from ratereg.studies import campaign, catalog, results
from ratereg.studies.campaign import make_results

SMALL = Study(Data("tetrominoes", n_train=60, n_test=40), MLP(1, 8, 2), betas=[1, 0.1], steps=6, precision="float32")
STUDIES = {"one": {"cpu": SMALL}, "two": {"cpu": SMALL.replace(steps=7)}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small published studies, and a place for their results."""
    for module in (campaign, catalog):
        monkeypatch.setattr(module, "CATALOG", STUDIES)
    for module in (campaign, results):
        monkeypatch.setattr(module, "published_directory", lambda: tmp_path / "results")
    return tmp_path / "results"


def test_what_lacks_a_result_is_run_in_the_catalogs_order_and_once(home: Path) -> None:
    said: list[str] = []
    assert make_results(scale="cpu", say=said.append) == []
    assert [line.partition(" at scale cpu: done")[0] for line in said] == ["one", "two"]
    for name, scales in STUDIES.items():
        study = scales["cpu"]
        assert Results.load(home / name / study.digest).study == study
    assert make_results(scale="cpu", say=said.append) == []
    assert ["there already" in line for line in said] == [False, False, True, True]


def test_a_call_ends_with_its_time_and_later_ones_resume_to_the_same_result(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_results(["one"], "cpu", say=lambda _: None)
    straight = Results.load(home / "one" / SMALL.digest)
    monkeypatch.setenv("RATEREG_CACHE", str(home.parent / "other"))
    (home / "one").rename(home.parent / "away")
    calls = 0
    while make_results(["one"], "cpu", seconds=0.05, checkpoint_seconds=0, say=lambda _: None):
        calls += 1
    assert calls
    pd.testing.assert_frame_equal(Results.load(home / "one" / SMALL.digest).table, straight.table)


@pytest.mark.parametrize(
    ("how", "message"),
    [({"names": ["three"]}, "'three'"), ({"scale": "huge"}, "'huge'"), ({"seconds": 0}, "seconds is 0")],
)
def test_wrong_arguments_are_refused(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_results(**{"scale": "cpu"} | how)


def test_results_are_packed_into_one_file(home: Path, tmp_path: Path) -> None:
    make_results(["one"], "cpu", say=lambda _: None)
    campaign.pack(tmp_path / "carried.tar.gz")
    with tarfile.open(tmp_path / "carried.tar.gz") as tar:
        assert f"results/one/{SMALL.digest}/table.csv" in tar.getnames()
