"""Trained members in hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ratereg import MLP, Data, Study, load_model, load_or_run
from ratereg.models import MixtureOfGaussians
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
        ({"beta": 0.3}, r"no member has .*0\.3.*betas are \(1\.0, 0\.1\)"),
        ({"color": 1}, "no column 'color'"),
        ({"beta": 0.1}, "differ in network"),
    ],
)
def test_selections_that_give_no_ensemble_are_refused(selection: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_or_run(STUDY, progress=False).models(**selection)
