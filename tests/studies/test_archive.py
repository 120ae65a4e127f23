"""An archive carries results whole, small and safely."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ratereg.models import MLP
from ratereg.studies import Data, Results, Study, archive, catalog, results, store
from ratereg.studies.archive import pack, unpack

STUDY = Study(Data("tetrominoes", n_train=60, n_test=40), MLP(1, 16, 2), betas=(1.0, 0.1), seeds=2, steps=6)
OTHER = STUDY.replace(steps=7)
CATALOG = {"one": {"cpu": STUDY}, "other": {"cpu": OTHER}}


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go to another machine."""

    def go_to(name: str) -> None:
        monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / name / "cache"))
        for module in (results, archive):
            monkeypatch.setattr(module, "published_directory", lambda: tmp_path / name / "results")

    monkeypatch.setattr(catalog, "CATALOG", CATALOG)
    go_to("lent")
    return go_to


def made_up(study: Study) -> Results:
    where = {"dataset": "tetrominoes", "member": range(len(study)), "step": study.steps}
    rows = where | {"rate": 1.5, "distortion": 80.0, "negative_elbo": 81.5, "negative_elbo_se": 0.1}
    return Results(study, pd.DataFrame(rows), {"test_mean": np.ones((len(study), 3, 2))}, {"seconds": 1.0})


def finish_members(study: Study, count: int) -> list[str]:
    digests = [(study.of(member), digest) for member, digest in study.member_digests().items()][:count]
    for alone, digest in digests:
        made_up(alone).save(store.member_directory(digest))
    return [digest for _, digest in digests]


def finish(study: Study, name: str) -> Path:
    return made_up(study).save(archive.published_directory() / name / study.digest).directory or Path()


def names_in(file: Path) -> set[str]:
    with tarfile.open(file) as tar:
        return {name.rpartition("/")[0] for name in tar.getnames()}


def write_tar(file: Path, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(file, "w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type, entry.linkname = len(content), kind, "/etc/passwd"
        tar.addfile(entry, io.BytesIO(content))
    return file


def test_members_and_results_come_out_as_they_went_in(tmp_path: Path, fresh: Callable[[str], None]) -> None:
    members, place = finish_members(STUDY, 3), finish(OTHER, "other")
    size = pack(tmp_path / "x.tar.gz", {"one": STUDY, "other": OTHER})
    assert size == (tmp_path / "x.tar.gz").stat().st_size
    sources = {digest: store.member_directory(digest) for digest in members} | {OTHER.digest: place}
    fresh("home")
    lines = unpack(tmp_path / "x.tar.gz")
    assert lines[0].startswith("other: ")
    assert lines[1] == "3 members of unfinished studies"
    targets = {digest: store.member_directory(digest) for digest in members}
    targets |= {OTHER.digest: archive.published_directory() / "other" / OTHER.digest}
    for digest, source in sources.items():
        assert {file.name: file.read_bytes() for file in source.iterdir()} == {
            file.name: file.read_bytes() for file in targets[digest].iterdir()
        }
    assert unpack(tmp_path / "x.tar.gz") == []


def test_what_an_archive_held_stays_in_it_and_a_result_takes_its_members_place(
    tmp_path: Path, fresh: Callable[[str], None]
) -> None:
    file = tmp_path / "x.tar.gz"
    members = finish_members(STUDY, 2)
    pack(file, {"one": STUDY})
    assert names_in(file) == {f"members/{digest}" for digest in members}
    fresh("second")
    others = finish_members(OTHER, 1)
    pack(file, {"other": OTHER})
    assert names_in(file) == {f"members/{digest}" for digest in [*members, *others]}
    finish(STUDY, "one")
    pack(file, {"one": STUDY})
    assert names_in(file) == {f"members/{others[0]}", f"results/one/{STUDY.digest}"}


def test_equal_results_make_equal_archives(tmp_path: Path) -> None:
    finish_members(STUDY, 2)
    for name in ("a.tar.gz", "b.tar.gz"):
        pack(tmp_path / name, {"one": STUDY})
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_what_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    place = finish(STUDY, "one")
    pack(tmp_path / "x.tar.gz", {"one": STUDY})
    (place / "provenance.json").write_text('{"seconds": 2}')
    assert unpack(tmp_path / "x.tar.gz") == []
    assert Results.load(place).provenance["seconds"] == 2


def test_an_archive_too_large_to_carry_is_refused_and_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.tar.gz"
    finish_members(STUDY, 1)
    before = pack(file, {"one": STUDY})
    finish_members(STUDY, 4)
    monkeypatch.setattr(archive, "LIMIT", before + 100)
    with pytest.raises(ValueError, match=r"less than 0 MB are carried; it is as it was.*into another archive"):
        pack(file, {"one": STUDY})
    assert file.stat().st_size == before
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["x.tar.gz"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/ratereg",
        "../results/one/0123456789ab/table.csv",
        "results/../0123456789ab/table.csv",
        "results/one/../../table.csv",
        "results/one/0123456789ab/../../../table.csv",
        "results/one/0123456789ab/run.py",
        "members/0123456789ab/state.pkl",
        "members/0123456789ab/arrays.npz/x",
        "members/0123456789AB/table.csv",
        "members/0123456789ab/table.csv\n",
    ],
)
def test_names_that_are_no_results_are_refused(name: str, tmp_path: Path, fresh: Callable[[str], None]) -> None:
    fresh("home")
    with pytest.raises(ValueError, match="which is no file of a result; it is not read"):
        unpack(write_tar(tmp_path / "x.tar.gz", name, b"1"))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="which is no file of a result; it is not read"):
        unpack(write_tar(tmp_path / "x.tar.gz", "members/0123456789ab/table.csv", kind=kind))


def test_more_than_is_sensible_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_UNPACKED_LIMIT", 1000)
    with pytest.raises(ValueError, match="it is not read"):
        unpack(write_tar(tmp_path / "x.tar.gz", "members/0123456789ab/table.csv", bytes(1001)))


@pytest.mark.parametrize("damage", [lambda b: b[:-50], lambda b: b[:40] + b"xxxx" + b[44:], lambda b: b"none"])
def test_a_damaged_archive_is_refused_and_leaves_nothing(
    damage: Callable[[bytes], bytes], tmp_path: Path, fresh: Callable[[str], None]
) -> None:
    finish(STUDY, "one")
    file = tmp_path / "x.tar.gz"
    pack(file, {"one": STUDY})
    file.write_bytes(damage(file.read_bytes()))
    fresh("home")
    with pytest.raises(ValueError, match=r"x\.tar\.gz is damaged .*; carry it over again"):
        unpack(file)
    assert not (tmp_path / "home").exists()


def test_a_result_that_is_not_its_folders_is_refused(
    tmp_path: Path, fresh: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = finish(STUDY, "one")
    (digest,) = finish_members(STUDY, 1)
    file = tmp_path / "x.tar.gz"
    pack(file, {"one": STUDY})
    fresh("home")
    monkeypatch.setattr(catalog, "CATALOG", {"one": {"cpu": OTHER}})
    with pytest.raises(ValueError, match="none of this version's studies; unpack it with the version"):
        unpack(file)
    assert not list((tmp_path / "home").rglob("*.csv"))
    monkeypatch.setattr(catalog, "CATALOG", CATALOG)
    fresh("lent")
    (place / "study.json").write_text((store.member_directory(digest) / "study.json").read_text())
    file.unlink()
    pack(file, {"one": STUDY})
    fresh("home")
    with pytest.raises(ValueError, match="none of this version's studies"):
        unpack(file)
    fresh("lent")
    (place / "table.csv").unlink()
    file.unlink()
    pack(file, {"one": STUDY})
    fresh("home")
    with pytest.raises(ValueError, match=r"damaged result .*lacks table\.csv"):
        unpack(file)


def test_an_archive_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="which is not there; give a file that `results` wrote"):
        unpack(tmp_path / "x.tar.gz")


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    finish(STUDY, "one")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't be written"):
        pack(tmp_path / "file" / "x.tar.gz", {"one": STUDY})
