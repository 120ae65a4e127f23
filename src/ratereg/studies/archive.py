"""One small file that carries results from a machine that is lent to the one at home.

It holds the result directories of finished studies, and the finished members of studies that are under way. A machine
that starts from nothing reads it first, so what several of them do adds up. Checkpoints, which are large, stay behind.
"""

import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ratereg.storage import writing, written_folder
from ratereg.studies.catalog import identify
from ratereg.studies.results import Results, find_published, published_directory
from ratereg.studies.store import kept, member_directory
from ratereg.studies.study import Study

__all__ = ["LIMIT", "pack", "unpack"]

LIMIT = 16_000_000
"""Bytes that an archive stays below."""

_UNPACKED_LIMIT = 512_000_000
"""Bytes that are taken out of an archive at the most, whatever it claims to hold."""

_FOLDER = r"(?P<folder>results/(?P<study>[a-z0-9-]+)/(?P<result>[0-9a-f]{12})|members/(?P<member>[0-9a-f]{12}))"
_FILE = r"(?P<file>study\.json|table\.csv|arrays(-\d{1,3})?\.npz|provenance\.json)"
_NAME = re.compile(f"{_FOLDER}/{_FILE}")


def pack(archive: Path, studies: Mapping[str, Study]) -> int:
    """Add what is there of some published studies to a .tar.gz file, and return how many bytes it then has.

    The file that was there is replaced once the new one is whole.

    Arguments:
        archive: the file, which need not be there yet.
        studies: by their names; of a finished study its result is put in, of another one its finished members.

    Raises:
        StorageError: it can't be written.
        ValueError: it would be too large to carry, or the file that was there is damaged, and is as it was.
    """
    folders = _folders(archive) if archive.is_file() else {}
    for name, study in studies.items():
        folders |= {folder: _files(place) for folder, place in _places(name, study)}
        if f"results/{name}/{study.digest}" in folders:
            for digest in study.member_digests().values():
                folders.pop(f"members/{digest}", None)
    content = _packed(folders)
    if len(content) >= LIMIT:
        others = f"`ratereg results {next(iter(studies))} --archive another.tar.gz`"
        raise ValueError(
            f"archive: {archive} would have {len(content) / 1e6:.1f} MB, and less than {LIMIT / 1e6:.0f} MB are "
            f"carried; it is as it was, and what is new is kept on this machine. Put it into another archive: {others}."
        )
    aside = archive.with_name(f".{archive.name}.{os.getpid()}")
    with writing(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(archive)
        finally:
            aside.unlink(missing_ok=True)
    return len(content)


def unpack(archive: Path) -> list[str]:
    """Put the results of an archive where results lie, and its members among those of this machine.

    What is there already stays as it is. Only the files of results are taken, and each result must be that of the
    study whose digest names its folder.

    Returns what was put where, one line each.

    Raises:
        FileNotFoundError: there is no such archive.
        StorageError: a result can't be written.
        ValueError: it is damaged, or holds anything else than results of this version's studies.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"archive is {str(archive)!r}, which is not there; give a file that `results` wrote.")
    lines, members = [], 0
    for folder, files in _folders(archive).items():
        match = _NAME.match(f"{folder}/study.json")
        assert match is not None
        digest = match["result"] or match["member"]
        there = find_published(digest) is not None if match["result"] else kept(digest)
        if there:
            continue
        place = published_directory() / match["study"] / digest if match["result"] else member_directory(digest)
        with written_folder(place) as aside:
            for name, content in files.items():
                (aside / name).write_bytes(content)
            _check(archive, aside, digest, match["study"])
        if match["result"]:
            lines.append(f"{match['study']}: {place}")
        else:
            members += 1
    return [*lines, *([f"{members} members of unfinished studies"] if members else [])]


def _places(name: str, study: Study) -> Iterator[tuple[str, Path]]:
    """What goes into the archive: a study's result, or else its members that are finished."""
    published = find_published(study.digest)
    if published is not None:
        yield f"results/{name}/{study.digest}", published
        return
    for digest in study.member_digests().values():
        if kept(digest):
            yield f"members/{digest}", member_directory(digest)


def _files(directory: Path) -> dict[str, bytes]:
    files = (file for file in sorted(directory.iterdir()) if re.fullmatch(_FILE, file.name))
    return {file.name: file.read_bytes() for file in files}


def _packed(folders: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """The archive's bytes, without dates and owners, so that equal results make equal archives."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for folder, files in sorted(folders.items()):
            for name, data in files.items():
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def _folders(archive: Path) -> dict[str, dict[str, bytes]]:
    """Read the files of an archive, by folder and name, and nothing that is not the file of a result."""
    folders: dict[str, dict[str, bytes]] = {}
    left = _UNPACKED_LIMIT
    try:
        with tarfile.open(archive, mode="r:gz") as tar:
            for entry in tar:
                match = _NAME.fullmatch(entry.name)
                left -= entry.size
                if match is None or not entry.isreg() or left < 0:
                    raise ValueError(
                        f"archive: {archive} holds {entry.name!r}, which is no file of a result; it is not read."
                    )
                stream = tar.extractfile(entry)
                assert stream is not None
                folders.setdefault(match["folder"], {})[match["file"]] = stream.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"archive: {archive} is damaged ({error}); carry it over again.") from error
    return folders


def _check(archive: Path, directory: Path, digest: str, study: str | None) -> None:
    """Refuse a result that is not that of the study its folder names."""
    try:
        found = Results.load(directory)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"archive: {archive} holds a damaged result {digest} ({error}); carry it over again."
        ) from error
    known = study is None or (identify(found.study) or ("",))[0] == study
    if found.study.digest != digest or not known:
        raise ValueError(
            f"archive: {archive} holds a result {digest} that is none of this version's studies; unpack it with the "
            "version of ratereg that made it."
        )
