"""Results of a study, in memory and in a result directory.

A result directory holds `study.json` (the settings), `table.csv` (one row per training, step and partition),
`arrays.npz` (pictures and latents, no pickle; `studies/arrays.py` says what of large ones) and `provenance.json`, which
has the digests of the others. It is written whole or not at all.
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ratereg.measurements import Measurement
from ratereg.storage import StorageError, cache_directory, written_folder
from ratereg.studies.arrays import load_arrays, save_arrays
from ratereg.studies.study import Study
from ratereg.training.key import Training

if TYPE_CHECKING:
    from ratereg.models import VAE

__all__ = ["Results", "ResultsError", "find_published", "published_directory", "published_with"]


class ResultsError(ValueError):
    """A result directory is damaged, or is not what it says it is."""


@dataclass(frozen=True, eq=False)
class Results:
    """The result of a study.

    Attributes:
        study: its settings.
        table: tidy, one row per training, step and partition. `training` is the digest of the training, `setting` that
            without beta and seed, `problem` that without steps either. Rates, distortions and information are in nats,
            each estimated column X with its standard error X_se; `negative_elbo` is rate + distortion. The partition
            "fresh" has a row for each number of images, `components`, in its aggregate posterior. A member that
            diverged has NaN, with the step in `diverged_at` and the reason in `failure`.
        arrays: `test_originals` (dataset, image, channel, height, width) and `test_reconstructions` (member, image,
            channel, height, width), uint8, with `member_dataset` (member) saying which originals; and the posteriors
            `train_mean`, `train_log_var`, `test_mean`, `test_log_var` (member, image, latent) of random images of each
            partition, NaN in the latents that a member does not have; `distance` and `distance_distortion` (member,
            class); each if the study measures it.
        provenance: how and when it was made.
        directory: where it lies, or None.
    """

    study: Study
    table: pd.DataFrame
    arrays: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]
    directory: Path | None = None

    @cached_property
    def final(self) -> pd.DataFrame:
        """The rows of the last step."""
        return self.table[self.table["step"] == self.study.steps].reset_index(drop=True)

    @property
    def name(self) -> str:
        """The name of the published study, or an empty string."""
        return str(self.provenance.get("study", ""))

    @property
    def scale(self) -> str:
        """The scale of the published study, "full" or "cpu", or an empty string."""
        return str(self.provenance.get("scale", ""))

    @property
    def source(self) -> str:
        """Where the numbers come from, for captions; the result's directory, relative to the project if in it."""
        if self.directory is None:
            return f"this run ({self.study.digest})"
        for root in (published_directory(), cache_directory()):
            if root in self.directory.parents:
                return f"{root.name}/{self.directory.relative_to(root)}"
        return str(self.directory)

    @cached_property
    def trainings(self) -> list[Training]:
        """The training of each member, in the order of the column `member`.

        Raises:
            ResultsError: the study's own data or classes have changed since.
        """
        first = self.table.drop_duplicates("member").sort_values("member")
        digests, precisions = list(first["training"]), list(first["precision"])
        of_precision = {precision: self.study.trainings(precision) for precision in set(precisions)}
        found = [of_precision[precision][member] for member, precision in enumerate(precisions)]
        other = [digest for digest, one in zip(digests, found, strict=True) if digest != one.digest]
        if other:
            raise ResultsError(
                f"Results: the training {other[0]} used other data, or other code of the user's own classes: they "
                "have changed since. Run the study again with `ratereg.load_or_run`."
            )
        return found

    def models(self, *, device: str | None = None, progress: bool = True, **selection: Any) -> "VAE":
        """Return the trained members that a selection leaves, as one ensemble in the order of the table.

        Where this machine has only their numbers, they are trained again, which is said.

        Arguments:
            device: to train on and to put the ensemble on; None for a GPU if there is one, else the CPU.
            progress: show a bar while training.
            selection: columns of the table with a value or several, such as `beta=0.1, seed=0`; and `data`, `network`
                and `prior` with a value of those axes.

        Raises:
            ValueError: there is no such column, no member is left, or they can't be one ensemble.
        """
        from ratereg.studies.models import models_of

        return models_of(self, selection, device=device, progress=progress)

    def measure(self, *measurements: Measurement, device: str | None = None, progress: bool = True) -> "Results":
        """Return the results with more measurements; one of a kind that is there takes that one's place.

        Members whose weights are on this machine are not trained. The others are trained again, which is reported.

        Raises:
            ResultsError: the study's own data have changed since.
            ValueError: a measurement can't be done on these images.
        """
        from ratereg.studies.run import find, run

        study, trainings = self.study.measuring(*measurements), self.trainings
        found = find(study)
        if found is not None and found.trainings == trainings:
            return found
        place = cache_directory() / "studies" / study.digest
        return run(study, place, trainings=trainings, device=device, progress=progress)

    def save(self, directory: Path) -> "Results":
        """Write the result directory, whole or not at all, and return the results with their new place.

        Raises:
            StorageError: the disk is full, the folder can't be written to, or it contains other files than a result's.
        """
        directory = Path(directory)
        others = sorted(one.name for one in directory.glob("*") if not _FILES.fullmatch(one.name))
        if others:
            raise StorageError(
                f"{directory} contains {others[0]!r}, which is no file of a result; give a new or an empty folder."
            )
        with written_folder(directory) as new:
            (new / "study.json").write_text(json.dumps(self.study.settings, indent=1) + "\n")
            self.table.to_csv(new / "table.csv", index=False)
            save_arrays(new, self.arrays)
            content = {file.name: _digest(file) for file in sorted(new.iterdir())}
            provenance = {**self.provenance, "digest": self.study.digest, "content": content}
            (new / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")
        return Results(self.study, self.table, self.arrays, provenance, directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a result directory.

        Raises:
            ResultsError: a file of it is missing, damaged or not the one that was written.
        """
        directory = Path(directory)
        try:
            provenance = json.loads(_content(directory / "provenance.json"))
            for name, digest in provenance["content"].items():
                if _digest(directory / name) != digest:
                    raise ResultsError(
                        f"Results: {directory / name} is not the file that was written; restore it, or remove "
                        f"{directory} to measure the study again."
                    )
            study = Study.from_settings(json.loads((directory / "study.json").read_text()))
            table = pd.read_csv(directory / "table.csv", dtype=_TEXTS)
            return cls(study, table, load_arrays(directory), provenance, directory)
        except ResultsError:
            raise
        except FileNotFoundError as error:
            missing = Path(error.filename or directory).name
            raise ResultsError(f"Results: {directory} lacks {missing}; give a whole result directory.") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise ResultsError(
                f"Results: {directory} is damaged ({type(error).__name__}: {error}); restore it, or remove it to "
                "measure the study again."
            ) from error


_TEXTS = dict.fromkeys(("training", "setting", "problem", "dataset", "data", "failure"), str)
"""Columns of text, which may look like numbers."""


_FILES = re.compile(r"study\.json|table\.csv|provenance\.json|arrays(-\d+)?\.npz")


def _digest(file: Path) -> str:
    return hashlib.sha256(_content(file)).hexdigest()


def _content(file: Path) -> bytes:
    if file.exists() and not file.is_file():
        raise ValueError(f"{file.name} is not a regular file")
    return file.read_bytes()


def published_directory() -> Path:
    """Return where committed results lie: in the installed package, or at the top of the source tree."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "published_results"
    return installed if installed.is_dir() else package.parent.parent / "results"


def find_published(digest: str) -> Path | None:
    """Return the directory of a committed result, or None."""
    found = [path for path in sorted(published_directory().glob(f"*/{digest}")) if (path / "provenance.json").is_file()]
    return found[0] if found else None


def published_with(digests: Set[str]) -> dict[Path, set[str]]:
    """Return the directories of committed results that have some of these trainings, and which they have."""
    found = {}
    for table in sorted(published_directory().glob("*/*/table.csv")) if digests else []:
        with table.open() as stream:
            if here := digests & {line[:12] for line in stream}:
                found[table.parent] = set(here)
    return found
