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
        {"schedule": "cosine"},
        {"bound_images": 9},
        {"bound_images": 9, "annealed_images": 9},
        {"bound_samples": 2},
        {"temperatures": 2},
        {"fresh_images": 256},
        {"distances": 1},
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
        ({"schedule": "linear"}, "schedule is 'linear'; give one of 'constant', 'cosine'"),
        ({"schedule": None}, "schedule is None"),
        ({"bound_images": -1}, "bound_images is -1"),
        ({"bound_images": 2.0}, "bound_images is 2.0"),
        ({"bound_samples": 1}, "bound_samples is 1"),
        ({"annealed_images": 1}, "annealed_images is 1, more than bound_images, 0"),
        ({"bound_images": 3, "annealed_images": 4}, "annealed_images is 4, more than bound_images, 3"),
        ({"temperatures": 1}, "temperatures is 1"),
        ({"fresh_images": -1}, "fresh_images is -1"),
        ({"fresh_images": 255}, "fresh_images is 255; give 0, or at least 256"),
        ({"distances": -1}, "distances is -1"),
        ({"distances": True}, "distances is True"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(**{"data": TETROMINOES} | settings)


@pytest.mark.parametrize(("name", "value"), [("fresh_images", 256), ("distances", 4)])
@pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "images.npy", Path("tetrominoes")])
def test_what_needs_the_factors_is_refused_for_images_without_them(name: str, value: int, source: str | Path) -> None:
    # A file of the user's own has no factors either, whatever its name.
    for data in (Data(source), [TETROMINOES, Data(source)]):
        with pytest.raises(ValueError, match=f"{name} is {value}, and the factors of '.*{Path(source).name}'"):
            Study(data, **{name: value})
        Study(data, **{name: 0})
    Study([TETROMINOES, Data("tetrominoes", split="checkerboard")], **{name: value})


@pytest.mark.parametrize(("name", "digest"), [("capacity", "cbf3da02d64a"), ("plane", "dc8e247f10fe")])
def test_new_settings_leave_the_digests_of_old_studies_as_they_were(name: str, digest: str) -> None:
    # With another digest a result that there is would not be found.
    assert published(name, "cpu").digest == digest


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
