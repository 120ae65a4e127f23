"""Training a committed member again, on real training of small networks."""

import math
from pathlib import Path

import numpy as np
import pytest

import ratereg
from ratereg import MLP, Data, Study
from ratereg.measurements import Information, RateDistortion
from ratereg.reproduce import _prediction_interval, reproduce
from ratereg.storage import cache_directory

STUDY = Study(
    Data("tetrominoes", n_train=300, n_test=200),
    MLP(1, 32, 4),
    betas=(1.0, 0.1),
    seeds=3,
    steps=30,
    batch_size=32,
    precision="float32",
    measurements=(RateDistortion(images=100), Information(images=100, queries=50)),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ratereg.Results:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RATEREG_CACHE", str(tmp_path_factory.mktemp("cache")))
        return ratereg.load_or_run(STUDY, progress=False)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))


def test_the_same_seed_gives_the_committed_numbers(results: ratereg.Results) -> None:
    table = reproduce(results, 3, progress=False)
    assert list(table["partition"].unique()) == ["train", "test"]
    # Trained alone a member may be rounded otherwise than in an ensemble.
    np.testing.assert_allclose(table["rerun"], table["committed"], rtol=1e-3, atol=1e-3)
    own = results.final[results.final["member"] == 3].set_index("partition")
    for row in table.to_dict("records"):
        assert row["committed"] == own.loc[row["partition"], row["quantity"]]
        assert row["within"] == (row["low"] <= row["rerun"] <= row["high"])
    # Nothing that was cached has been used or replaced, and nothing is left.
    assert [path.name for path in cache_directory().rglob("*") if path.is_file()] == []


def test_another_seed_is_trained_and_not_looked_up(results: ratereg.Results) -> None:
    table = reproduce(results, 0, seed=17, progress=False)
    assert (table["rerun"] != table["committed"]).all()
    final = results.final[(results.final["beta"] == 1.0) & (results.final["partition"] == "test")]
    row = table[(table["partition"] == "test") & (table["quantity"] == "rate")].iloc[0]
    # t with two degrees of freedom.
    half_width = 4.302653 * final["rate"].std() * math.sqrt(4 / 3)
    assert row["high"] - row["low"] == pytest.approx(2 * half_width, rel=1e-5)
    assert (row["high"] + row["low"]) / 2 == pytest.approx(final["rate"].mean())


def test_the_interval_holds_one_more_run_in_95_of_100_cases() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(4000):
        *values, more = generator.normal(3, 2, 4)
        low, high = _prediction_interval(np.array(values))
        held += low <= more <= high
    assert 0.94 < held / 4000 < 0.96
    assert all(map(math.isnan, _prediction_interval(np.array([1.0]))))


@pytest.mark.parametrize("member", [-1, 6])
def test_a_member_that_is_not_there_is_refused(results: ratereg.Results, member: int) -> None:
    with pytest.raises(ValueError, match=rf"member is {member}; give a number from 0 to 5"):
        reproduce(results, member, progress=False)
