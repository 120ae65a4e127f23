"""Result directories that are not what they were are refused by name."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ratereg import MLP, Data, Results, Study, load_or_run
from ratereg.measurements import Latents, Pictures
from ratereg.storage import StorageError
from ratereg.studies import ResultsError
from synthetic import synthetic

STUDY = Study(Data("tetrominoes", n_train=64, n_test=32), MLP(1, 8, 2), betas=[1, 0.1], steps=100)
STUDY = STUDY.measuring(Latents(count=4), Pictures(count=1))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    synthetic(STUDY).save(tmp_path / "result")
    return tmp_path / "result"


def test_what_is_saved_is_loaded(directory: Path) -> None:
    saved, loaded = synthetic(STUDY), Results.load(directory)
    pd.testing.assert_frame_equal(saved.table, loaded.table, check_dtype=False)
    assert loaded.study == STUDY
    for name, values in saved.arrays.items():
        np.testing.assert_array_equal(values, loaded.arrays[name])


def edit_the_study(directory: Path) -> None:
    settings = json.loads((directory / "study.json").read_text())
    (directory / "study.json").write_text(json.dumps(settings | {"steps": 101}))


def cut_the_table(directory: Path) -> None:
    lines = (directory / "table.csv").read_text().splitlines(keepends=True)
    (directory / "table.csv").write_text("".join(lines[:-3]))


def empty_the_table(directory: Path) -> None:
    (directory / "table.csv").write_text("")


def swap_the_table(directory: Path) -> None:
    synthetic(STUDY.replace(betas=[1, 0.2])).save(directory.with_name("other"))
    shutil.copy(directory.with_name("other") / "table.csv", directory / "table.csv")


def damage_the_arrays(directory: Path) -> None:
    content = (directory / "arrays.npz").read_bytes()
    (directory / "arrays.npz").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (edit_the_study, "study.json"),
        (cut_the_table, "table.csv"),
        (empty_the_table, "table.csv"),
        (swap_the_table, "table.csv"),
        (damage_the_arrays, "arrays.npz"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_files_that_were_changed_are_refused(directory: Path, damage: Callable[[Path], None], name: str) -> None:
    damage(directory)
    with pytest.raises(ResultsError, match=f"{name} is not the file that was written"):
        Results.load(directory)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"content": {"study.json": 3}}'])
def test_a_damaged_provenance_is_refused(directory: Path, content: str) -> None:
    (directory / "provenance.json").write_text(content)
    with pytest.raises(ResultsError, match=str(directory)):
        Results.load(directory)


@pytest.mark.parametrize("name", ["study.json", "table.csv", "arrays.npz", "provenance.json"])
def test_a_directory_that_lacks_a_file_is_refused_by_its_name(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ResultsError, match=f"lacks {name}"):
        Results.load(directory)


def test_another_studys_folder_in_the_cache_is_not_served(cache: Path) -> None:
    other = STUDY.replace(betas=[1, 0.2])
    synthetic(other).save(cache / "studies" / STUDY.digest)
    with pytest.raises(ResultsError, match=f"another study, {other.digest}"):
        load_or_run(STUDY)


def test_a_result_directory_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        synthetic(STUDY).save(tmp_path / "result")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_not_replaced(directory: Path) -> None:
    (directory / "thesis.txt").write_text("years of work")
    with pytest.raises(
        StorageError, match=r"contains 'thesis\.txt', which is no file of a result; give a new or an empty folder"
    ):
        synthetic(STUDY).save(directory)
    assert (directory / "thesis.txt").read_text() == "years of work"
    (directory / "thesis.txt").unlink()
    synthetic(STUDY).save(directory)


@pytest.mark.parametrize("name", ["provenance.json", "table.csv", "arrays.npz"])
def test_a_pipe_in_the_place_of_a_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(ResultsError, match=f"{name} is not a regular file"):
        Results.load(directory)
