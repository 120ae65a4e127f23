"""The published studies that have no result, as many as the time allows; the next call resumes where this one stops."""

import math
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ratereg.storage import check_writable, written_file
from ratereg.studies.catalog import CATALOG, published
from ratereg.studies.results import find_published, published_directory
from ratereg.studies.run import checked_devices, find, run
from ratereg.training import Stopped

__all__ = ["make_results", "pack", "unpack"]


def make_results(
    names: Sequence[str] = (),
    scale: str | None = None,
    *,
    seconds: float | None = None,
    device: str | Sequence[str] | None = None,
    max_members: int | None = None,
    checkpoint_seconds: float = 300,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run the published studies that have no result, in the catalog's order, and return the names of those left.

    A finished study's result is put where committed results lie.

    Arguments:
        names: of studies; none for all.
        scale: "full" or "cpu"; None for "full" where there is a GPU, else "cpu".
        seconds: for this call, after which what is under way is saved; None for as long as it takes.
        device: as `load_or_run` takes it.
        max_members: as there.
        checkpoint_seconds: as there.
        say: takes the lines of the report.

    Raises:
        Stopped: the run was interrupted; its state is kept.
        StorageError: the cache or the results can't be written, or another process runs a study.
        ValueError: a name, the scale, the device or a number is refused.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds is {seconds}; give a positive number.")
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    scale = scale or ("full" if checked_devices(device)[0].type == "cuda" else "cpu")
    studies = {name: published(name, scale) for name in names or CATALOG}
    check_writable(published_directory())

    def over() -> bool:
        return time.monotonic() >= deadline

    left = []
    for name, study in studies.items():
        title, place = f"{name} at scale {scale}", published_directory() / name / study.digest
        if there := find_published(study.digest):
            say(f"{title}: there already, in {there}")
        elif over():
            left.append(name)
        elif cached := find(study):
            say(f"{title}: done, in {cached.save(place).directory}")
        else:
            try:
                run(
                    study,
                    place,
                    device=device,
                    max_members=max_members,
                    checkpoint_seconds=checkpoint_seconds,
                    stop=over,
                )
            except Stopped:
                if not over():
                    raise
                left.append(name)
                say(f"{title}: not finished, and saved")
            else:
                say(f"{title}: done, in {place}")
    return left


def pack(archive: Path) -> None:
    """Write all committed results into a .tar.gz file, which `tar -xzf` unpacks beside the package's `results`.

    Raises:
        StorageError: it can't be written.
    """
    with written_file(archive) as file, tarfile.open(file, "w:gz") as tar:
        tar.add(published_directory(), "results")


def unpack(archive: Path) -> int:
    """Add the results of an archive to the committed ones, without replacing any, and return the number of new files.

    Raises:
        StorageError: a file can't be written.
        ValueError: the archive can't be read, or has a file outside of the results.
    """
    made, folder = 0, published_directory()
    try:
        with tarfile.open(archive) as tar:
            for entry in tar:
                name = entry.name.removeprefix("results/")
                place = folder / name
                # It raises an error if the place is outside.
                tarfile.data_filter(entry.replace(name=name), str(folder))
                if (content := tar.extractfile(entry)) and not place.exists():
                    with written_file(place) as file:
                        file.write_bytes(content.read())
                    made += 1
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"archive: {archive} can't be read: {error}; give one that `ratereg results` wrote.") from None
    return made
