"""Trained members in hand."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ratereg import MLP, Data, Results, Study, load_model, load_or_run
from ratereg.measurements import ByDistance, ImportanceWeighted
from ratereg.models import MixtureOfGaussians
from ratereg.studies import ResultsError
from ratereg.training import store

STUDY = Study(
    Data("tetrominoes", n_train=100, n_test=60),
    [MLP(1, 16, 4), MLP(2, 8, 4)],
    betas=[1.0, 0.1],
    seeds=2,
    steps=8,
    prior=MixtureOfGaussians(components=3),
    precision="float32",
)


def test_a_model_is_the_member_that_was_asked_for(tmp_path: Path) -> None:
    results = load_or_run(STUDY, progress=False)
    vae = results.models(beta=0.1, seed=1, layers=2)
    assert (vae.members, vae.network) == (1, MLP(2, 8, 4))
    (index,) = [i for i, one in enumerate(STUDY.members) if (one.beta, one.seed, one.network.layers) == (0.1, 1, 2)]
    weights, _ = store.weights(results.trainings[index])
    for name, value in vae.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
    shown = torch.from_numpy(results.arrays["test_originals"][0])
    kept = results.arrays["test_reconstructions"][index].astype(float)
    np.testing.assert_allclose(vae.reconstruct(shown)[0].numpy() * 255, kept, atol=0.51)
    vae.save(tmp_path / "vae.safetensors")
    again = load_model(tmp_path / "vae.safetensors")
    torch.testing.assert_close(again.reconstruct(shown), vae.reconstruct(shown), rtol=0, atol=0)
    assert vae.sample(5).shape == (1, 5, 3, 32, 32)


def test_several_members_are_one_ensemble_in_the_order_of_the_table() -> None:
    results = load_or_run(STUDY, progress=False)
    vae = results.models(network=MLP(1, 16, 4), beta=[1.0, 0.1])
    assert vae.members == 4
    first = results.models(network=MLP(1, 16, 4), beta=1.0, seed=0)
    torch.testing.assert_close(vae.state_dict()["encoder.layers.0.weight"][:1], first.encoder.layers[0].weight)


def test_where_only_numbers_are_there_the_member_is_trained_again_which_is_said(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = load_or_run(STUDY, progress=False)
    before = results.models(beta=1.0, seed=0, layers=1).state_dict()
    assert "training" not in capsys.readouterr().out
    shutil.rmtree(cache / "trainings")
    after = results.models(beta=1.0, seed=0, layers=1, progress=False).state_dict()
    assert "numbers of 1 of 1 members" in capsys.readouterr().out
    assert len(list((cache / "trainings").glob("*/weights*"))) == 1
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"beta": 0.3}, r"no member has beta=0\.3; there are 1\.0, 0\.1"),
        ({"color": 1}, "no column 'color'"),
        ({"beta": 0.1}, "differ in network"),
    ],
)
def test_selections_that_give_no_ensemble_are_refused(selection: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_or_run(STUDY, progress=False).models(**selection)


def test_the_members_that_a_result_has_are_measured_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "own.npy", images)
    study = Study(Data(str(tmp_path / "own.npy")), MLP(1, 8, 2), steps=4)
    monkeypatch.setattr("ratereg.studies.precision.best_precision", lambda device: "float32")
    results = load_or_run(study, progress=False)
    monkeypatch.setattr("ratereg.studies.precision.best_precision", lambda device: "bfloat16")
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "another machine"))
    more = results.measure(ImportanceWeighted(images=10, samples=4), progress=False)
    assert more.trainings == results.trainings
    assert set(more.table["precision"]) == {"float32"}
    assert "numbers of 1 of 1 members are here: training them again" in capsys.readouterr().out
    np.save(tmp_path / "own.npy", images + 1)
    loaded = Results.load(results.directory)
    for use in (loaded.models, lambda: loaded.measure(ImportanceWeighted(images=10, samples=5))):
        with pytest.raises(ResultsError, match="have changed since"):
            use()


@pytest.mark.parametrize("kept", ["weights.safetensors", "trajectory", "Latents*"])
def test_what_is_damaged_in_the_cache_is_made_again(cache: Path, kept: str) -> None:
    before = load_or_run(STUDY, progress=False).final
    file = next((cache / "trainings").glob(f"*/{kept}"))
    file.write_bytes(file.read_bytes()[:-1])
    shutil.rmtree(cache / "studies")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* cut short or altered, so it is not used")
        again = load_or_run(STUDY, progress=False)
        assert again.models(layers=1).members + again.models(layers=2).members == 8
    np.testing.assert_allclose(again.final["rate"], before["rate"], rtol=1e-3)


def test_a_member_that_diverged_is_handed_out_with_a_warning_and_its_arrays_are_nan() -> None:
    study = STUDY.replace(network=MLP(1, 16, 4), betas=[1.0, 1e39], seeds=1).measuring(ByDistance(classes=2))
    results = load_or_run(study, progress=False)
    assert results.final["diverged_at"].notna().any()
    with pytest.warns(UserWarning, match=r"beta 1e\+39 and seed 0 diverged at step"):
        results.models()
    for name in ("distance_distortion", "train_mean"):
        assert np.isfinite(results.arrays[name][0]).all()
        assert np.isnan(results.arrays[name][1]).all()
