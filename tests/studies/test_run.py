"""From a study to its results, on real training of small networks."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ratereg
from ratereg.storage import StorageError, locked
from ratereg.studies import MLP, Data, Results, Study, load_or_run, store
from ratereg.studies import run as run_module
from ratereg.studies.bounds import BOUNDS
from ratereg.studies.provenance import joined
from ratereg.training.interruption import Stopped

STUDY = Study(
    data=[
        Data("tetrominoes", n_train=400, n_test=300),
        Data("tetrominoes", split="cv", share=0.1, n_train=200, n_test=300),
    ],
    network=MLP(1, 32, 4),
    betas=[1.0, 0.01],
    seeds=2,
    steps=120,
    batch_size=32,
    trajectory_images=128,
    queries=64,
    pictures=3,
    latents=5,
    precision="float32",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_study_trains_every_member_and_measures_it(cache: Path) -> None:
    results = load_or_run(STUDY, progress=False)
    table, final = results.table, results.final
    assert len(final) == len(STUDY) * 2
    assert len(table) == len(STUDY) * 2 * len(STUDY.record_steps)
    assert (table["rate"] - table["mutual_information"] - table["marginal_kl"]).abs().max() < 1e-9
    assert (table["mutual_information"] < table["log_n"] + 4 * table["mutual_information_se"] + 1e-6).all()
    not_asked_for = [name for name in table if name.removesuffix("_se") in BOUNDS]
    measured = table.drop(columns=["share", "diverged_at", *not_asked_for]).select_dtypes("number")
    assert np.isfinite(measured).all(axis=None)
    assert table[not_asked_for].isna().all(axis=None)
    assert (table["negative_elbo"] - table["rate"] - table["distortion"]).abs().max() < 1e-9
    for (_, _), curve in table.groupby(["member", "partition"]):
        assert curve["distortion"].iloc[-1] < curve["distortion"].iloc[0]
    assert (final["images"] == np.where(final["partition"] == "train", final["n_train"], final["n_test"])).all()
    by_beta = final[final["partition"] == "train"].groupby("beta")["rate"].mean()
    assert by_beta[0.01] > by_beta[1.0]
    assert results.arrays["test_reconstructions"].shape == (8, 3, 3, 32, 32)
    assert results.arrays["test_mean"].shape == (8, 5, 4)
    assert results.provenance["precision"] == "float32"


def test_members_come_back_in_the_studys_order_whatever_the_shards(cache: Path) -> None:
    study = STUDY.replace(steps=20)
    tables = []
    for limit in (None, 1):
        tables.append(run_module.run(study, cache / str(limit), progress=False, max_members=limit).table)
        shutil.rmtree(cache / "members")
    for index, member in enumerate(STUDY.members):
        row = tables[0][tables[0]["member"] == index].iloc[0]
        assert (row["beta"], row["seed"], row["split"]) == (member.beta, member.seed, member.data.split)
    pd.testing.assert_frame_equal(*tables, rtol=2e-3, atol=1e-3)


def test_a_result_is_found_again_and_equal(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = STUDY.replace(steps=5)
    first = load_or_run(study, progress=False)
    monkeypatch.setattr(run_module, "run", lambda *_, **__: pytest.fail("trained again"))
    again = load_or_run(study, progress=False)
    assert again.study == study
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True, check_dtype=False)
    for name, values in first.arrays.items():
        np.testing.assert_array_equal(values, again.arrays[name])
    assert again.source == f"cache/studies/{study.digest}"


def test_a_stopped_run_goes_on_and_ends_with_the_same_table(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = STUDY.replace(steps=40)
    straight = run_module.run(study, cache / "straight", progress=False)
    shutil.rmtree(cache / "members")
    from ratereg.studies import shard as shard_module

    measure, calls = shard_module.measure, []

    def stop_at_the_thirtieth(*arguments: object, **settings: object) -> list[dict[str, object]]:
        calls.append(arguments)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return measure(*arguments, **settings)

    monkeypatch.setattr(shard_module, "measure", stop_at_the_thirtieth)
    with pytest.raises(KeyboardInterrupt):
        run_module.run(study, cache / "resumed", progress=False, checkpoint_seconds=0)
    resumed = run_module.run(study, cache / "resumed", progress=False, checkpoint_seconds=0)
    pd.testing.assert_frame_equal(straight.table, resumed.table, check_exact=True)
    assert not list((cache / "shards").iterdir())


def test_a_member_that_diverges_leaves_the_others_as_they_are(cache: Path) -> None:
    study = Study(STUDY.axis_data[0], MLP(1, 32, 4), betas=[1.0, 1e39], steps=30, batch_size=32, precision="float32")
    both = load_or_run(study, progress=False)
    lost = both.final["beta"] == 1e39
    values = ["rate", "rate_se", "distortion", "distortion_se", "mutual_information", "marginal_kl"]
    assert both.final.loc[lost, values].isna().all(axis=None)
    assert (both.final.loc[lost, "diverged_at"] == 1).all()
    assert both.final.loc[~lost, "diverged_at"].isna().all()
    shutil.rmtree(cache / "members")
    alone = load_or_run(study.replace(betas=1.0), progress=False)
    pd.testing.assert_frame_equal(both.final.loc[~lost, values].reset_index(drop=True), alone.final[values], rtol=1e-3)


def test_a_member_is_trained_once_whatever_studies_it_is_in(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_or_run(STUDY.replace(steps=6, betas=1.0), progress=False)
    trained: list[run_module.Shard] = []
    run_shard = run_module.run_shard

    def noting(shard: run_module.Shard, *arguments: object, **settings: object) -> Results:
        trained.append(shard)
        return run_shard(shard, *arguments, **settings)

    monkeypatch.setattr(run_module, "run_shard", noting)
    both = load_or_run(STUDY.replace(steps=6, betas=[1.0, 0.3]), progress=False)
    assert {member.beta for shard in trained for member in shard.members} == {0.3}
    again = both.table[both.table["beta"] == 1.0].drop(columns="member").reset_index(drop=True)
    pd.testing.assert_frame_equal(first.table.drop(columns="member"), again, check_exact=True)


def test_a_run_that_is_asked_to_stop_keeps_its_state_and_goes_on(cache: Path) -> None:
    study = STUDY.replace(data=STUDY.axis_data[0], steps=60)
    straight = run_module.run(study, cache / "straight", progress=False)
    shutil.rmtree(cache / "members")
    asked = iter(range(10**9))
    for _ in range(3):
        with pytest.raises(Stopped) as stopped:
            run_module.run(study, cache / "resumed", progress=False, stop=lambda: next(asked) % 6 == 5)
        assert 0 < stopped.value.step <= 60
        assert stopped.value.steps == 60
    resumed = run_module.run(study, cache / "resumed", progress=False)
    pd.testing.assert_frame_equal(straight.table, resumed.table, check_exact=True)


def test_what_does_not_fit_into_memory_is_cut_or_refused_before_training(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = STUDY.replace(data=STUDY.axis_data[0], steps=3)
    for module in ("run", "shard"):
        monkeypatch.setattr(f"ratereg.studies.{module}.members_that_fit", lambda *_, **__: 3)
    with pytest.raises(MemoryError, match="give at most 3"):
        load_or_run(study, progress=False, max_members=4)
    sizes: list[int] = []
    monkeypatch.setattr(run_module, "keep", lambda shard, _: sizes.append(len(shard)))
    with pytest.raises(FileNotFoundError):
        load_or_run(study, progress=False)
    assert sizes == [2, 2]


def test_two_runs_of_one_study_exclude_each_other(cache: Path) -> None:
    study = STUDY.replace(steps=2)
    with locked(cache / "locks" / study.digest), pytest.raises(StorageError, match=study.digest):
        load_or_run(study, progress=False)
    load_or_run(study, progress=False)


def test_a_resumed_run_names_all_that_it_ran_on() -> None:
    first = {"commit": "abc", "threads": 2, "versions": {"torch": "2"}, "device": "one"}
    last = {"commit": "def", "threads": 2, "versions": {"torch": "3"}, "device": "one"}
    resumed = joined([first, last])
    assert resumed == last | {"commit": "abc; def"}
    assert joined([resumed, first])["commit"] == "abc; def"


def test_data_that_a_table_cannot_tell_apart_are_refused_before_training(cache: Path) -> None:
    data = [Data("tetrominoes", n_train=40, n_test=30, seed=seed) for seed in (0, 1)]
    with pytest.raises(ValueError, match="studies of their own"):
        load_or_run(Study(data, MLP(1, 8, 2), steps=1), progress=False)


def test_networks_with_different_latents_share_a_study(cache: Path) -> None:
    results = load_or_run(STUDY.replace(network=[MLP(1, 16, 2), MLP(1, 16, 3)], steps=1, seeds=1), progress=False)
    missing = np.isnan(results.arrays["test_mean"]).all(axis=(1, 2)), np.isnan(results.arrays["test_mean"][..., 2])
    assert not missing[0].any()
    assert [bool(member.all()) for member in missing[1]] == [m.network.latent_dim == 2 for m in results.study.members]


def test_a_result_directory_is_whole_or_not_at_all(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = load_or_run(STUDY.replace(steps=2), progress=False)
    place = cache / "elsewhere" / "result"

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez_compressed", fail)
        with pytest.raises(OSError, match="disk full"):
            results.save(place)
    assert not list(place.parent.iterdir())
    results.save(place)
    (place / "table.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"table.csv"):
        Results.load(place)


def test_the_site_does_not_train_a_published_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_BUILDING_SITE", "1")
    monkeypatch.setattr(run_module, "find", lambda _: None)
    with pytest.raises(LookupError, match="make results"):
        load_or_run(ratereg.published("capacity", "cpu"))


def test_images_of_different_shapes_are_refused_before_training(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.random.default_rng(0).random((20, 8, 8)))
    with pytest.raises(ValueError, match="different shapes"):
        load_or_run(STUDY.replace(data=[STUDY.axis_data[0], Data(str(tmp_path / "small.npy"))]), progress=False)


def test_every_committed_result_is_that_of_a_published_study() -> None:
    places = [path.parent for path in ratereg.studies.results.published_directory().glob("*/*/study.json")]
    for place in places:
        results = Results.load(place)
        assert place.name == results.study.digest
        assert results.study == ratereg.published(results.name, results.scale)
        assert place.parent.name == results.name
        measured = results.final[results.final["partition"] != "fresh"]
        assert len(measured) == 2 * len(results.study)


def test_a_member_of_a_committed_result_is_not_trained_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = STUDY.replace(steps=20)
    monkeypatch.setattr(store, "published_directory", lambda: tmp_path / "results")
    whole = load_or_run(study, progress=False).save(tmp_path / "results" / "some" / study.digest)
    shutil.rmtree(cache)
    monkeypatch.setattr(run_module, "run_shard", lambda *_, **__: pytest.fail("it was trained again"))
    one = load_or_run(study.replace(data=study.axis_data[1], betas=0.01, seeds=[1]), progress=False)
    index = study.members.index(one.study.members[0])
    expected = whole.table[whole.table["member"] == index].assign(member=0).reset_index(drop=True)
    pd.testing.assert_frame_equal(one.table, expected)
    np.testing.assert_array_equal(one.arrays["test_originals"], whole.arrays["test_originals"][1:])
    for name in ("test_reconstructions", "test_mean", "train_log_var"):
        np.testing.assert_array_equal(one.arrays[name], whole.arrays[name][index : index + 1])
