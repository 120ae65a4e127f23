import json
from pathlib import Path

import numpy as np
import pytest

from ratereg.models.networks import Convolutional
from ratereg.studies import CATALOG, MLP, Data, Gaussian, Study, published
from ratereg.studies.catalog import identify

TETROMINOES = Data("tetrominoes")


def test_a_study_is_the_product_of_its_axes() -> None:
    study = Study([TETROMINOES, Data("tetrominoes", split="checkerboard")], MLP(3), betas=[1, 0.1, 0.01], seeds=2)
    assert len(study) == 12
    assert len(set(study.members)) == 12
    assert study.axis_seeds == (0, 1)
    assert Study(TETROMINOES, seeds=[7]).axis_seeds == (7,)


def test_the_digest_ignores_how_a_setting_was_written() -> None:
    assert Study(TETROMINOES).digest == Study([TETROMINOES], [MLP()], [1.0], [0], "bernoulli", steps=10_000).digest
    assert Study(TETROMINOES, likelihood="gaussian") == Study(TETROMINOES, likelihood=Gaussian())


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 9},
        {"betas": 0.5},
        {"seeds": 3},
        {"network": MLP(2)},
        {"likelihood": Gaussian(0.2)},
        {"data": Data("tetrominoes", seed=1)},
        {"precision": "float32"},
    ],
    ids=str,
)
def test_any_setting_changes_the_digest_and_survives_json(settings: dict[str, object]) -> None:
    study = Study(TETROMINOES).replace(**settings)
    assert study.digest != Study(TETROMINOES).digest
    assert Study.from_settings(study.settings) == study


def test_settings_hold_what_differs_from_the_defaults_alone() -> None:
    assert Study(TETROMINOES, steps=5).settings == {"data": [{"type": "Data", "source": "tetrominoes"}], "steps": 5}


def test_the_content_of_the_users_file_counts(tmp_path) -> None:
    file = tmp_path / "images.npy"
    file.write_bytes(b"one")
    before = Study(Data(str(file))).digest
    file.write_bytes(b"two")
    assert Study(Data(str(file))).digest != before


def test_data_is_a_name_or_a_path() -> None:
    assert Data(Path("a.npy")) == Data("a.npy")
    # A path is a path, whatever its name.
    assert Data(Path("mnist")) != Data("mnist")
    assert Data(Path("./mnist")).source == "./mnist"
    with pytest.raises(ValueError, match=r"numpy\.save"):
        Data(np.zeros((3, 4, 4)))


def test_numpys_numbers_are_numbers() -> None:
    assert Study(Data("tetrominoes", n_train=np.int64(9))).digest == Study(Data("tetrominoes", n_train=9)).digest


def test_replacing_with_none_keeps_the_value() -> None:
    study = Study(TETROMINOES, steps=5)
    assert study.replace(steps=None, betas=[2.0]) == Study(TETROMINOES, steps=5, betas=2.0)


def test_recorded_steps_are_log_spaced_and_end_at_the_last() -> None:
    assert Study(TETROMINOES, steps=10_000).record_steps == [100, 316, 1000, 3162, 10_000]
    assert Study(TETROMINOES, steps=1).record_steps == [1]
    assert Study(TETROMINOES, steps=500, records=1).record_steps == [500]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": []}, "betas is empty"),
        ({"betas": [-1.0]}, "betas holds -1.0"),
        ({"betas": [1.0, 1]}, "each value once"),
        ({"betas": "1"}, "betas is '1'"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [-1]}, "seeds holds -1"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'"),
        ({"likelihood": None}, "likelihood is None"),
        ({"likelihood": Gaussian}, "likelihood is <class"),
        ({"prior": "vamp"}, "prior is 'vamp'"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"precision": ["float32"]}, "precision is \\['float32'\\]"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"network": 3}, "network is 3"),
        ({"data": "tetrominoes"}, "data is 'tetrominoes'"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(**{"data": TETROMINOES} | settings)


def test_an_unknown_setting_is_refused_naming_those_there_are() -> None:
    with pytest.raises(ValueError, match="'step'; there are data, network"):
        Study(TETROMINOES).replace(step=3)


def test_the_catalog_names_its_studies() -> None:
    for name, scales in CATALOG.items():
        for scale, study in scales.items():
            assert published(name, scale) == study
            assert identify(study) == (name, scale)
            assert identify(study.replace(steps=study.steps + 1)) is None
    with pytest.raises(ValueError, match="'capacity'"):
        published("capacities")
    with pytest.raises(ValueError, match="'full', 'cpu'"):
        published("capacity", "gpu")


@pytest.mark.parametrize("network", [Convolutional(), (MLP(), Convolutional()), (Convolutional(16), MLP(3))], ids=str)
def test_convolutional_networks_stand_on_the_axis_and_survive_json(network: object) -> None:
    study = Study(TETROMINOES, network, betas=[1.0, 0.1])
    networks = network if isinstance(network, tuple) else (network,)
    assert study.axis_networks == networks
    assert {member.network for member in study.members} == set(networks)
    assert len(study) == 2 * len(networks)
    assert Study.from_settings(json.loads(json.dumps(study.settings))) == study
    assert study.digest != Study(TETROMINOES, betas=[1.0, 0.1]).digest
    with pytest.raises(ValueError, match="values of type MLP or Convolutional"):
        Study(TETROMINOES, [MLP(), Gaussian()])
