"""A study is cut to memory and time, and stays cut as it was."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from ratereg.models import MLP, VAE
from ratereg.studies import Data, Study, pace
from ratereg.studies.bounds import decodings, likelihood_bounds
from ratereg.studies.fresh import EVALUATED, FITTED
from ratereg.studies.pace import Pace, paces

CPU = torch.device("cpu")
STUDY = Study(Data("tetrominoes", n_train=60, n_test=40), MLP(1, 16, 2), betas=(1.0, 0.1), seeds=3, steps=6)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What is expected instead: steps of a shared part and a part for each member, and their measuring."""
    times = {"shared": 1.0, "own": 1.0, "measuring": 10.0}

    def seconds(*_: object, members: int, steps: int, measured: Sequence[object], **__: object) -> float:
        measuring = times["measuring"] * members * bool(measured)
        return steps * (times["shared"] + times["own"] * members) + measuring

    monkeypatch.setattr(pace, "measure_machine", lambda *_: pace.Machine({}, 1.0, 1.0, 0.0))
    monkeypatch.setattr(pace, "predicted_shard_seconds", seconds)
    return times


def test_members_are_cut_to_the_time_and_the_cut_is_remembered(expected: dict[str, float]) -> None:
    (first,) = paces(STUDY, CPU, seconds=60.0).values()
    assert first == Pace(at_once=3, training=6 + 6 / 3, measuring=10.0)
    expected["measuring"] = 1.0
    (again,) = paces(STUDY, CPU, seconds=600.0).values()
    assert again == first
    (asked_for,) = paces(STUDY, CPU, seconds=10.0, max_members=2).values()
    assert asked_for == Pace(at_once=2, training=6 + 6 / 2, measuring=1.0)


@pytest.mark.parametrize(("seconds", "at_once"), [(None, 5), (1000.0, 5), (22.0, 1), (21.0, 5), (38.0, 2), (37.0, 1)])
@pytest.mark.usefixtures("expected")
def test_members_are_cut_by_memory_where_time_does_not_say(
    seconds: float | None, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "members_that_fit", lambda *_, **__: 5)
    (found,) = paces(STUDY, CPU, seconds=seconds).values()
    assert found.at_once == at_once


@pytest.mark.usefixtures("expected")
def test_a_cut_uses_all_devices() -> None:
    assert [one.at_once for one in paces(STUDY, CPU, devices=4).values()] == [2]


def test_each_measurement_of_a_study_is_counted() -> None:
    study = Study(Data("tetrominoes", n_train=3000, n_test=400), steps=100, records=3, trajectory_images=1000)
    study = study.replace(queries=500, final_queries=2000)
    before, last = [(1000, 500), (400, 400)], [(3000, 2000), (400, 400)]
    assert pace._measured(study, pace.images_of(study.axis_data[0])) == [*before, *before, *last]


def test_bounds_and_fresh_images_are_counted_too() -> None:
    study = Study(Data("tetrominoes", n_train=3000, n_test=400), steps=100, records=1, final_queries=200)
    asking = study.replace(bound_images=30, bound_samples=10, annealed_images=6, temperatures=20, fresh_images=1024)
    images = pace.images_of(study.axis_data[0])
    encoded = 1024 + FITTED + EVALUATED
    expected = [(decodings(asking) // 3, 0), (encoded // 3, 600)]
    assert pace._measured(asking, images) == [*pace._measured(study, images), *expected]


def test_as_many_latents_are_decoded_as_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(Data("tetrominoes"), bound_images=30, bound_samples=10, annealed_images=6, temperatures=40)
    vae = VAE(MLP(1, 16, 2), (1, 4, 4), [0])
    decoded = {"plain": 0, "with a gradient": 0}
    decode = vae.decode

    def counting(z: torch.Tensor) -> torch.Tensor:
        decoded["with a gradient" if z.requires_grad else "plain"] += z.shape[:-1].numel()
        return decode(z)

    monkeypatch.setattr(vae, "decode", counting)
    pixels = torch.randint(0, 256, (50, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    likelihood_bounds(study, vae, pixels, torch.arange(50), 0)
    # Of one of the two partitions; the first and the last of the temperatures add a little.
    assert decoded["plain"] + 3 * decoded["with a gradient"] == pytest.approx(decodings(study) / 2, rel=0.1)


def test_what_this_machine_is_expected_to_take_is_positive_and_found_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = paces(STUDY, CPU)
    (one,) = found.values()
    assert one.at_once == 6
    assert one.training > 0
    assert one.measuring > 0
    assert one.seconds == one.training + one.measuring
    monkeypatch.setattr(pace, "measure_machine", lambda *_: pytest.fail("measured again"))
    assert paces(STUDY, CPU) == found
    (file,) = (cache / "plans").iterdir()
    assert file.name == f"{STUDY.digest}.json"
    file.write_text("cut short")
    with pytest.raises(pytest.fail.Exception):
        paces(STUDY, CPU)
