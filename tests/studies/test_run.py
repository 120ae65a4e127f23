"""From a study to its results, on real training of small networks."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ratereg
from ratereg import MLP, Data, Results, Study, load_or_run
from ratereg.measurements import Annealed, ByDistance, FreshInformation, ImportanceWeighted, Information, Pictures
from ratereg.models import MixtureOfGaussians, StandardGaussian
from ratereg.storage import StorageError, locked
from ratereg.studies import results as results_module
from ratereg.studies import run as run_module
from ratereg.studies import shard
from ratereg.studies.provenance import joined
from ratereg.studies.results import published_directory
from ratereg.training import Stopped, Trainer, store

STUDY = Study(
    data=[
        Data("tetrominoes", n_train=200, n_test=150),
        Data("tetrominoes", split="cv", share=0.1, n_train=100, n_test=150),
    ],
    network=MLP(1, 16, 4),
    betas=[1.0, 0.01],
    seeds=2,
    steps=40,
    batch_size=32,
    precision="float32",
)
SMALL = STUDY.replace(data=STUDY.axis_data[0], steps=10)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of members of each Trainer that is made from here on, which trains as ever."""
    counts: list[int] = []

    class Counted(Trainer):
        def __init__(self, vae, *arguments, **settings) -> None:
            counts.append(vae.members)
            super().__init__(vae, *arguments, **settings)

    monkeypatch.setattr(shard, "Trainer", Counted)
    return counts


def test_a_study_trains_every_member_and_measures_it() -> None:
    results = load_or_run(STUDY, progress=False)
    table, final = results.table, results.final
    assert len(final) == len(STUDY) * 2
    assert len(table) == len(STUDY) * 2 * len(STUDY.record_steps)
    assert list(table.groupby("member")["training"].first()) == [one.digest for one in STUDY.trainings("float32")]
    assert table["setting"].nunique() == 2
    assert table["training"].nunique() == 8
    assert (table["rate"] - table["mutual_information"] - table["marginal_kl"]).abs().max() < 1e-9
    assert (table["negative_elbo"] - table["rate"] - table["distortion"]).abs().max() < 1e-9
    numbers = table.drop(columns=["share", "diverged_at", "failure"]).select_dtypes("number")
    assert np.isfinite(numbers).all(axis=None)
    for _, curve in table.groupby(["member", "partition"]):
        assert curve["distortion"].iloc[-1] < curve["distortion"].iloc[0]
    assert (final["images"] == np.where(final["partition"] == "train", final["n_train"], final["n_test"])).all()
    by_beta = final[final["partition"] == "train"].groupby("beta")["rate"].mean()
    assert by_beta[0.01] > by_beta[1.0]
    assert results.arrays["test_reconstructions"].shape == (8, 8, 3, 32, 32)
    assert results.arrays["test_mean"].shape == (8, 64, 4)
    for index, member in enumerate(STUDY.members):
        row = table[table["member"] == index].iloc[0]
        assert (row["beta"], row["seed"], row["split"]) == (member.beta, member.seed, member.data.split)


def test_the_table_does_not_depend_on_the_shards(cache: Path) -> None:
    tables = []
    for limit in (None, 1):
        tables.append(run_module.run(SMALL, cache / str(limit), progress=False, max_members=limit).table)
        shutil.rmtree(cache / "trainings")
    pd.testing.assert_frame_equal(*tables, rtol=2e-3, atol=1e-3)


def test_a_result_is_found_again_and_equal(cache: Path, trained: list[int]) -> None:
    first = load_or_run(SMALL, progress=False)
    again = load_or_run(SMALL, progress=False)
    assert trained == [4]
    assert again.study == SMALL
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True, check_dtype=False)
    for name, values in first.arrays.items():
        np.testing.assert_array_equal(values, again.arrays[name])
    assert again.source == f"cache/studies/{SMALL.digest}"


@pytest.mark.parametrize(
    "more",
    [
        (Pictures(count=9),),
        (Information(queries=50),),
        (ImportanceWeighted(images=6, samples=4), Annealed(images=3, temperatures=4)),
        (FreshInformation(images=300, queries=50, fitted=64, evaluated=40, regression_steps=5), ByDistance(classes=3)),
    ],
    ids=lambda more: type(more[0]).__name__,
)
def test_a_changed_or_added_measurement_trains_nothing(trained: list[int], more: tuple) -> None:
    before = load_or_run(SMALL, progress=False)
    after = before.measure(*more, progress=False)
    assert trained == [4]
    assert after.study == SMALL.measuring(*more)
    kept = ["training", "step", "partition", "rate", "rate_se", "distortion", "distortion_se", "negative_elbo_se"]
    rows = after.table[after.table["partition"] != "fresh"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[kept], before.table[kept], check_exact=True)
    for one in more:
        for name in one.columns:
            assert after.final.loc[after.final["partition"].isin(one.partitions), name].notna().any()
        assert set(one.arrays) <= after.arrays.keys()
    if isinstance(more[0], Pictures):
        np.testing.assert_array_equal(after.arrays["test_originals"][:, :8], before.arrays["test_originals"])


def test_another_number_of_test_images_trains_nothing(trained: list[int]) -> None:
    load_or_run(SMALL, progress=False)
    fewer = load_or_run(SMALL.replace(data=Data("tetrominoes", n_train=200, n_test=60)), progress=False)
    assert trained == [4]
    assert set(fewer.final.loc[fewer.final["partition"] == "test", "images"]) == {60}


def test_a_member_is_trained_once_whatever_studies_it_is_in(trained: list[int]) -> None:
    first = load_or_run(SMALL.replace(betas=1.0), progress=False)
    both = load_or_run(SMALL.replace(betas=[1.0, 0.3]), progress=False)
    assert trained == [2, 2]
    again = both.table[both.table["beta"] == 1.0].drop(columns="member").reset_index(drop=True)
    pd.testing.assert_frame_equal(first.table.drop(columns="member"), again, check_exact=True)


def test_a_run_that_is_asked_to_stop_keeps_its_state_and_is_resumed(cache: Path) -> None:
    study = SMALL.replace(steps=60)
    straight = run_module.run(study, cache / "straight", progress=False)
    shutil.rmtree(cache / "trainings")
    asked = iter(range(10**9))
    for _ in range(3):
        with pytest.raises(Stopped) as stopped:
            run_module.run(study, cache / "resumed", progress=False, stop=lambda: next(asked) % 4 == 3)
        assert 0 < stopped.value.step <= stopped.value.steps == 60
    resumed = run_module.run(study, cache / "resumed", progress=False)
    pd.testing.assert_frame_equal(straight.table, resumed.table, check_exact=True)
    assert not list((cache / "shards").glob("*"))


def test_members_of_two_precisions_are_not_mixed_and_that_is_said(trained: list[int]) -> None:
    study = SMALL.replace(precision="auto", seeds=1)
    best = ratereg.training.best_precision(torch.device("cpu"))
    other = {"float32": "bfloat16", "bfloat16": "float32"}[best]
    load_or_run(study.replace(precision=other, betas=1.0), progress=False)
    with pytest.warns(
        UserWarning, match=f"1 of the study's 2 members are there, trained in {other}.*precision='{other}'"
    ):
        mixed = load_or_run(study, progress=False)
    assert set(mixed.table["precision"]) == {best}
    assert trained == [1, 2]
    # Where all are there in the other precision, they are taken.
    load_or_run(study.replace(precision=other, steps=11), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(load_or_run(study.replace(steps=11), progress=False).table["precision"]) == {other}
    assert trained == [1, 2, 2]


def test_a_degenerate_member_leaves_the_others_as_they_are(cache: Path) -> None:
    both = load_or_run(SMALL.replace(betas=[1.0, 1e39], seeds=1), progress=False).final
    lost = both["beta"] == 1e39
    values = ["rate", "rate_se", "distortion", "distortion_se", "mutual_information", "marginal_kl"]
    assert both.loc[lost, values].isna().all(axis=None)
    assert (both.loc[lost, "failure"] == "diverged at step 1").all()
    assert both.loc[~lost, ["diverged_at", "failure"]].isna().all(axis=None)
    shutil.rmtree(cache / "trainings")
    alone = load_or_run(SMALL.replace(betas=1.0, seeds=1), progress=False).final
    pd.testing.assert_frame_equal(both.loc[~lost, values].reset_index(drop=True), alone[values], rtol=1e-3)


def test_finite_but_absurd_weights_give_nan_and_a_reason_in_every_measurement() -> None:
    study = SMALL.replace(seeds=1)
    load_or_run(study, progress=False)
    absurd, fine = study.trainings("float32")
    weights, record = store.weights(absurd)
    for name in weights:
        if name.startswith("encoder"):
            weights[name] *= 1e6
    store.keep_weights(absurd, weights, record)
    everything = (ImportanceWeighted(6, 4), Annealed(3, 4), FreshInformation(300, 50, 64, 40, 5), ByDistance(3))
    more = load_or_run(study.replace(measurements=()).measuring(*everything), progress=False)
    numbers = ["importance_weighted_bound", "annealed_importance_sampling"]
    tests = more.final[more.final["partition"] == "test"].set_index("training")
    assert tests.loc[absurd.digest, numbers].isna().all()
    assert tests.loc[fine.digest, numbers].notna().all()
    again = load_or_run(
        study.measuring(Information(queries=31), ratereg.measurements.RateDistortion(90)), progress=False
    )
    by_training = again.final.set_index("training")
    assert by_training.loc[absurd.digest, ["rate", "distortion", "mutual_information"]].isna().all(axis=None)
    assert by_training.loc[absurd.digest, "failure"].str.contains("not finite").all()
    assert by_training.loc[fine.digest, ["rate", "distortion", "mutual_information"]].notna().all(axis=None)


def test_what_does_not_fit_into_memory_is_cut_or_refused_before_training(
    trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "members_that_fit", lambda *_: 3)
    load_or_run(SMALL, progress=False)
    assert trained == [2, 2]
    monkeypatch.undo()
    with pytest.raises(MemoryError, match="batch_size of 100000000000"):
        load_or_run(SMALL.replace(batch_size=10**11), progress=False)


def test_two_runs_of_one_study_exclude_each_other(cache: Path) -> None:
    with locked(cache / "locks" / SMALL.digest), pytest.raises(StorageError, match=SMALL.digest):
        load_or_run(SMALL, progress=False)


def test_a_resumed_run_names_all_that_it_ran_on() -> None:
    first = {"commit": "abc", "threads": 2, "versions": {"torch": "2"}, "device": "one"}
    last = {"commit": "def", "threads": 2, "versions": {"torch": "3"}, "device": "one"}
    resumed = joined([first, last])
    assert resumed == last | {"commit": "abc; def"}
    assert joined([resumed, first])["commit"] == "abc; def"


def test_data_that_differ_in_their_seed_alone_are_two_settings() -> None:
    data = [Data("tetrominoes", n_train=40, n_test=30, seed=seed) for seed in (0, 1)]
    table = load_or_run(Study(data, MLP(1, 8, 2), steps=1), progress=False).table
    assert table["setting"].nunique() == table["data"].nunique() == 2


def test_networks_with_different_latents_and_priors_share_a_study() -> None:
    priors = [StandardGaussian(), MixtureOfGaussians(components=3)]
    study = SMALL.replace(network=[MLP(1, 16, 2), MLP(1, 16, 3)], prior=priors, steps=2, seeds=1, betas=1.0)
    results = load_or_run(study, progress=False)
    missing = np.isnan(results.arrays["test_mean"][..., 2]).all(axis=1)
    assert missing.tolist() == [member.network.latent_dim == 2 for member in study.members]
    assert list(results.table.groupby("member")["prior"].first()) == ["gaussian", "mixture of 3"] * 2
    mixture = results.final[results.final["prior"] == "mixture of 3"]
    assert (mixture["rate_se"] > 0).all()


def test_the_site_does_not_train_a_published_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATEREG_BUILDING_SITE", "1")
    with pytest.raises(LookupError, match="make results"):
        load_or_run(ratereg.published("capacity", "full"))


def test_images_that_can_not_be_measured_are_refused_before_training(tmp_path: Path, trained: list[int]) -> None:
    np.save(tmp_path / "small.npy", np.random.default_rng(0).random((20, 8, 8)))
    own = Data(str(tmp_path / "small.npy"))
    with pytest.raises(ValueError, match="different shapes"):
        load_or_run(SMALL.replace(data=[SMALL.axis_data[0], own]), progress=False)
    for one in (FreshInformation(), ByDistance()):
        with pytest.raises(ValueError, match=type(one).__name__):
            load_or_run(SMALL.replace(data=own).measuring(one), progress=False)
    assert trained == []


@pytest.mark.parametrize("device", ["mps", "quantum", "cuda:77", []])
def test_a_device_that_can_not_serve_is_refused_by_name(device: str) -> None:
    with pytest.raises(ValueError, match=f"device is {device!r}" if device else "device is empty"):
        load_or_run(SMALL, device=device)


def test_every_committed_result_is_that_of_a_published_study() -> None:
    places = [path.parent for path in published_directory().glob("*/*/study.json")]
    assert places
    for place in places:
        results = Results.load(place)
        assert place.name == results.study.digest
        assert results.study == ratereg.published(results.name, results.scale)
        assert place.parent.name == results.name
        rows = results.final[results.final["partition"] != "fresh"]
        assert len(rows) == 2 * len(results.study)
        assert list(rows.groupby("member")["training"].first()) == [one.digest for one in results.trainings]


def test_a_member_of_a_committed_result_is_not_trained_or_measured_again(
    cache: Path, tmp_path: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "published_directory", lambda: tmp_path / "results")
    whole = load_or_run(STUDY.replace(steps=10), progress=False).save(tmp_path / "results" / "some" / "result")
    shutil.rmtree(cache)
    one = load_or_run(STUDY.replace(steps=10, data=STUDY.axis_data[1], betas=0.01, seeds=[1]), progress=False)
    assert sum(trained) == 8
    index = next(i for i, member in enumerate(whole.study.members) if member[:2] + member[3:] == _plain(one))
    expected = whole.table[whole.table["member"] == index].assign(member=0).reset_index(drop=True)
    pd.testing.assert_frame_equal(one.table, expected)
    np.testing.assert_array_equal(one.arrays["test_originals"], whole.arrays["test_originals"][1:])
    for name in ("test_reconstructions", "test_mean", "train_log_var"):
        np.testing.assert_array_equal(one.arrays[name], whole.arrays[name][index : index + 1])


def _plain(results: Results) -> tuple:
    (member,) = results.study.members
    return member[:2] + member[3:]
