import json
from pathlib import Path

import numpy as np
import pytest

from ratereg import CATALOG, MLP, Bernoulli, Convolutional, Data, Gaussian, Study, published
from ratereg.measurements import Annealed, ByDistance, FreshInformation, ImportanceWeighted, Information, Pictures
from ratereg.models import DiagonalGaussian, MixtureOfGaussians, StandardGaussian
from ratereg.studies.catalog import identify

TETROMINOES = Data("tetrominoes")


def test_a_study_is_the_product_of_its_axes() -> None:
    study = Study(
        [TETROMINOES, Data("tetrominoes", split="checkerboard")],
        MLP(3),
        betas=[1, 0.1, 0.01],
        seeds=2,
        prior=[StandardGaussian(), MixtureOfGaussians(components=2)],
    )
    assert len(study) == 24
    assert len({one.digest for one in study.trainings("float32")}) == 24
    assert study.axis_seeds == (0, 1)
    assert Study(TETROMINOES, seeds=[7]).axis_seeds == (7,)


def test_the_digest_ignores_how_a_setting_was_written() -> None:
    written = Study([TETROMINOES], [MLP(hidden=(512,))], [1.0], [0], "bernoulli", prior="gaussian", steps=10_000)
    assert Study(TETROMINOES).digest == written.digest
    assert Study(TETROMINOES) == written
    assert Study(TETROMINOES, likelihood="gaussian") == Study(TETROMINOES, likelihood=Gaussian())


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 9},
        {"betas": 0.5},
        {"seeds": 3},
        {"network": MLP(2)},
        {"network": (MLP(encoder=(8,), decoder=(8, 8)), Convolutional(16))},
        {"likelihood": Gaussian(0.2)},
        {"prior": DiagonalGaussian()},
        {"prior": (StandardGaussian(), MixtureOfGaussians(components=7))},
        {"data": Data("tetrominoes", seed=1)},
        {"precision": "float32"},
        {"schedule": "cosine"},
        {"warm_up": 5},
        {"batch_size": 5},
        {"learning_rate": 0.5},
        {"measurements": (Pictures(count=9),)},
        {"measurements": (Annealed(images=9, temperatures=3),)},
    ],
    ids=str,
)
def test_any_setting_changes_the_digest_and_survives_json(settings: dict[str, object]) -> None:
    study = Study(TETROMINOES).replace(**settings)
    assert study.digest != Study(TETROMINOES).digest
    again = Study.from_settings(json.loads(json.dumps(study.settings)))
    assert again == study
    assert again.digest == study.digest


def test_measurements_change_the_study_and_no_training() -> None:
    study = Study(TETROMINOES, betas=[1, 0.1])
    more = study.measuring(Annealed(images=4), Pictures(count=9))
    assert more.digest != study.digest
    assert more.trainings("float32") == study.trainings("float32")
    assert more.measurement(Pictures) == Pictures(count=9)
    assert more.measurement(Information) == study.measurement(Information)
    assert more.without(Annealed).measurement(Annealed) is None


def test_a_number_of_images_is_given_kept_or_leaves_a_measurement_out() -> None:
    study = Study(TETROMINOES).measuring(Annealed(images=4, temperatures=7))
    assert study.with_images(Annealed, None) == study
    assert study.with_images(Annealed, 9).measurement(Annealed) == Annealed(images=9, temperatures=7)
    assert study.with_images(Annealed, 0).measurement(Annealed) is None
    assert study.with_images(ImportanceWeighted, 5).measurement(ImportanceWeighted) == ImportanceWeighted(images=5)


def test_settings_hold_only_what_differs_from_the_defaults() -> None:
    assert Study(TETROMINOES, steps=5).settings == {"data": [{"source": "tetrominoes"}], "steps": 5}


def test_the_content_of_the_users_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "images.npy"
    np.save(file, np.zeros((4, 8, 8), dtype=np.uint8))
    before = Study(Data(str(file))).digest
    np.save(file, np.ones((5, 8, 8), dtype=np.uint8))
    assert Study(Data(str(file))).digest != before


def test_replacing_with_none_keeps_the_value() -> None:
    study = Study(TETROMINOES, steps=5)
    assert study.replace(steps=None, betas=[2.0]) == Study(TETROMINOES, steps=5, betas=2.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": []}, "betas is empty"),
        ({"betas": [-1.0]}, "beta is -1.0"),
        ({"betas": [1.0, 1]}, "each value once"),
        ({"betas": "1"}, "betas is '1'"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'"),
        ({"likelihood": None}, "likelihood is None"),
        ({"prior": "vamp"}, "prior is 'vamp'"),
        ({"prior": 3}, "prior is 3"),
        ({"prior": [StandardGaussian(), StandardGaussian()]}, "each value once"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"network": 3}, "network is 3"),
        ({"network": MLP}, "network is <class"),
        ({"data": "tetrominoes"}, "data is 'tetrominoes'"),
        ({"schedule": "linear"}, "schedule is 'linear'; give one of 'constant', 'cosine'"),
        ({"measurements": (3,)}, "measurements is not a sequence"),
        ({"measurements": (Pictures(1), Pictures(2))}, "each kind once"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(**{"data": TETROMINOES} | settings)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Pictures, {"count": 0}, "count is 0"),
        (ImportanceWeighted, {"images": 1}, "images is 1"),
        (ImportanceWeighted, {"samples": 1}, "samples is 1"),
        (Annealed, {"temperatures": 1}, "temperatures is 1"),
        (FreshInformation, {"images": 255}, "images is 255; give an integer of at least 256"),
        (ByDistance, {"classes": True}, "classes is True"),
        (Information, {"queries": 1}, "queries is 1"),
    ],
)
def test_impossible_measurements_are_refused_by_name(kind: type, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}: {message}"):
        kind(**settings)


def test_an_unknown_setting_is_refused_naming_those_there_are() -> None:
    with pytest.raises(ValueError, match="'step'; there are data, network"):
        Study(TETROMINOES).replace(step=3)


@pytest.mark.parametrize(
    "settings",
    [{}, {"data": 3}, {"data": [{"color": 1}]}, {"data": [{"source": "mnist"}], "measurements": [{"type": "Other"}]}],
    ids=str,
)
def test_settings_that_are_no_studys_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Study"):
        Study.from_settings(settings)


def test_the_catalog_names_its_studies() -> None:
    for name, scales in CATALOG.items():
        for scale, study in scales.items():
            assert published(name, scale) == study
            assert identify(study) == (name, scale)
            assert identify(study.replace(steps=study.steps + 1)) is None
            assert Study.from_settings(json.loads(json.dumps(study.settings))) == study
    with pytest.raises(ValueError, match="'capacity'"):
        published("capacities")
    with pytest.raises(ValueError, match="'full', 'cpu'"):
        published("capacity", "gpu")


class OwnNetwork(MLP):
    """A network that this package does not know."""


class OwnPrior(StandardGaussian):
    """A prior that this package does not know."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.width = width


def test_networks_and_priors_of_ones_own_are_taken_and_read_again() -> None:
    study = Study(TETROMINOES, network=OwnNetwork(width=8), prior=OwnPrior(width=2.0), likelihood=Bernoulli())
    again = Study.from_settings(json.loads(json.dumps(study.settings)))
    assert type(again.axis_networks[0]) is OwnNetwork
    assert type(again.axis_priors[0]) is OwnPrior
    assert again == study
    digests = {Study(TETROMINOES, network=MLP(width=8), prior=OwnPrior(width=width)).digest for width in (1.0, 2.0)}
    assert len(digests | {study.digest}) == 3
