"""`ratereg results`: what lacks a result is run, within a time, and goes on with the next call."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ratereg.studies.outlook import Left, spoken

from ratereg.models import MLP
from ratereg.studies import Data, Results, Study, archive, campaign, catalog, pace, results
from ratereg.studies.campaign import make_results
from ratereg.studies.run import run

DATA = Data("tetrominoes", n_train=60, n_test=40)
SMALL = Study(DATA, MLP(1, 16, 2), betas=(1.0, 0.1), seeds=2, steps=6, records=2, batch_size=8, latents=3, pictures=2)
CATALOG = {
    "first": {"full": SMALL.replace(seeds=3), "cpu": SMALL},
    "second": {"cpu": SMALL.replace(network=(MLP(1, 16, 2), MLP(1, 32, 2)), steps=4)},
}
NUMBERS = ["rate", "distortion", "mutual_information", "marginal_kl"]


class Home:
    """The machine under test, with a catalog of two small studies; it can be exchanged for a fresh one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch, self._number = folder, monkeypatch, itertools.count()
        self.fresh()

    def fresh(self) -> None:
        machine = self._folder / f"machine{next(self._number)}"
        self.results, self.cache = machine / "results", machine / "cache"
        self._monkeypatch.setenv("RATEREG_CACHE", str(self.cache))
        for module in (results, campaign, archive):
            self._monkeypatch.setattr(module, "published_directory", lambda: self.results)

    def has(self, name: str, scale: str = "cpu") -> bool:
        return (self.results / name / CATALOG[name][scale].digest / "provenance.json").is_file()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for module in (catalog, campaign):
        monkeypatch.setattr(module, "CATALOG", CATALOG)
    monkeypatch.setattr(pace, "measure_machine", lambda *_: pace.Machine({}, 1.0, 1.0, 0.0))
    monkeypatch.setattr(pace, "predicted_shard_seconds", seconds_as_if)
    return Home(tmp_path, monkeypatch)


def seconds_as_if(*_: object, members: int, steps: int, measured: list[tuple[int, int]], **__: object) -> float:
    """Steps of 1 + n seconds for n members, and ten seconds of measuring for each of them."""
    return steps * (1 + members) + 10.0 * members * bool(measured)


class Clock:
    """A time that stands still, and is over after it has been asked some times."""

    def __init__(self, ends_after: int | None = None) -> None:
        self._asked, self._ends_after = 0, ends_after

    def __call__(self) -> float:
        self._asked += 1
        return 1e9 if self._ends_after is not None and self._asked > self._ends_after else 0.0


def quiet(*names: str, **how: object) -> list[Left]:
    return make_results(names, "cpu", device="cpu", say=lambda _: None, **how)


def calls(ends_after: int, between: Callable[[], None] = lambda: None, **how: object) -> list[list[Left]]:
    """What is left after the same call, again and again, each ended by its time, until nothing is."""
    lefts: list[list[Left]] = []
    while not lefts or lefts[-1]:
        assert len(lefts) < 60, "it does not come to an end"
        if lefts:
            between()
        lefts.append(quiet(seconds=600.0, clock=Clock(ends_after), **how))
    return lefts


def members_left(lefts: list[list[Left]]) -> list[int]:
    return [sum(one.members for one in left) for left in lefts]


def no_training(*_: object, **__: object) -> None:
    pytest.fail("trained")


def test_what_lacks_a_result_is_run_in_the_catalogs_order(home: Home) -> None:
    said: list[str] = []
    assert make_results(scale="cpu", device="cpu", say=said.append) == []
    begun = [line for line in said if " shard " in line]
    assert [line.split()[0] for line in begun] == ["first", "second", "second"]
    for name, scales in CATALOG.items():
        found = Results.load(home.results / name / scales["cpu"].digest)
        assert (found.name, found.scale, found.study) == (name, "cpu", scales["cpu"])
        assert len(found.final) == 2 * len(scales["cpu"])


def test_what_is_there_is_not_run_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_results(["first"], device="cpu", say=lambda _: None)
    assert home.has("first", "cpu")  # the scale of a machine without a GPU
    monkeypatch.setattr(campaign, "run_shard", no_training)
    said: list[str] = []
    make_results(["first"], device="cpu", say=said.append)
    assert "there already" in said[0]


def test_a_cached_result_is_put_in_its_place(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    study = CATALOG["first"]["cpu"]
    run(study, home.cache / "studies" / study.digest, device="cpu", progress=False)
    monkeypatch.setattr(campaign, "run_shard", no_training)
    assert quiet("first") == []
    assert home.has("first")


def test_a_call_ends_with_its_time_and_the_next_ones_go_on_to_the_same_result(home: Home) -> None:
    quiet("first")
    straight = Results.load(home.results / "first" / CATALOG["first"]["cpu"].digest)
    home.fresh()
    lefts = calls(ends_after=8)
    assert [(one.name, one.members, one.of) for one in lefts[0]] == [("first", 4, 4), ("second", 8, 8)]
    assert len(lefts) > 3
    assert members_left(lefts) == sorted(members_left(lefts), reverse=True)
    assert all(one.seconds > 0 for left in lefts for one in left)
    parts = Results.load(home.results / "first" / CATALOG["first"]["cpu"].digest)
    pd.testing.assert_frame_equal(straight.table[NUMBERS], parts.table[NUMBERS], check_exact=True)


def test_an_archive_carries_what_is_finished_from_fresh_machine_to_fresh_machine(home: Home, tmp_path: Path) -> None:
    carried = tmp_path / "carried.tar.gz"
    lefts = calls(ends_after=12, between=home.fresh, max_members=1, archive=carried)
    assert len(set(members_left(lefts))) > 3
    assert members_left(lefts) == sorted(members_left(lefts), reverse=True)
    home.fresh()
    archive.unpack(carried)
    assert home.has("first")
    assert home.has("second")
    assert not (home.cache / "members").exists()


def test_the_archive_is_written_after_each_shard(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = campaign.run_shard

    def killed_at_the_third(shard: object, *rest: object, **how: object) -> object:
        begun.append(shard)
        if len(begun) == 3:
            raise SystemExit("killed")
        return trained(shard, *rest, **how)

    begun: list[object] = []
    monkeypatch.setattr(campaign, "run_shard", killed_at_the_third)
    with pytest.raises(SystemExit):
        quiet("first", max_members=1, archive=tmp_path / "x.tar.gz")
    home.fresh()
    archive.unpack(tmp_path / "x.tar.gz")
    assert len(list((home.cache / "members").iterdir())) == 2


def test_a_shard_that_cannot_get_far_is_not_begun(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Begun(Exception): ...

    def begin(*_: object, **__: object) -> None:
        raise Begun

    monkeypatch.setattr(campaign, "run_shard", begin)
    monkeypatch.setattr(campaign, "paces", lambda study, *_, **__: fixed_paces(study, pace.Pace(4, 80.0, 20.0)))
    assert members_left([quiet(seconds=50.0, clock=Clock())]) == [12]
    with pytest.raises(Begun):
        quiet(seconds=600.0, clock=Clock())
    monkeypatch.setattr(campaign, "paces", lambda study, *_, **__: fixed_paces(study, pace.Pace(4, 1.0, 1.0)))
    with pytest.raises(Begun):
        quiet(seconds=50.0, clock=Clock())


def fixed_paces(study: Study, fixed: pace.Pace) -> dict[object, pace.Pace]:
    return dict.fromkeys(itertools.product(study.axis_data, study.axis_networks), fixed)


def test_what_is_left_is_corrected_by_what_members_took(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "paces", lambda study, *_, **__: fixed_paces(study, pace.Pace(2, 80.0, 20.0)))
    keep = campaign.keep

    def keep_as_if_it_took_500_seconds(shard: object, found: Results) -> None:
        provenance = {**found.provenance, "seconds": 500.0}
        keep(shard, Results(found.study, found.table, found.arrays, provenance))
        clock._ends_after = 0

    monkeypatch.setattr(campaign, "keep", keep_as_if_it_took_500_seconds)
    clock = Clock()
    (left,) = quiet("first", seconds=600.0, clock=clock)
    # Two members took 250 seconds each where 100 were foreseen, and two are left.
    assert left.members == 2
    assert left.seconds == pytest.approx(500.0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"seconds": 0.0}, r"seconds is 0\.0; give a positive number"),
        ({"max_members": 0}, "max_members is 0; give at least 1"),
    ],
)
def test_wrong_arguments_are_refused(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quiet(**how)
    with pytest.raises(ValueError, match="'second' has the scales 'cpu'"):
        make_results(["second"], "full", device="cpu")


def test_a_place_that_can_not_be_written_is_known_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "run_shard", no_training)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't be written"):
        quiet(archive=tmp_path / "file" / "x.tar.gz")


def test_durations_are_said_as_people_say_them() -> None:
    assert [spoken(seconds) for seconds in (3.2, 119, 150, 1300, 7200, 40_000)] == [
        "3 seconds",
        "119 seconds",
        "2.5 minutes",
        "22 minutes",
        "2.0 hours",
        "11 hours",
    ]
