"""What a study measured, in memory and in a result directory.

A result directory holds `study.json` (the settings), `table.csv` (one row per member, step and partition),
`arrays.npz` (pictures and latents, no pickle; `studies/arrays.py` says what of large ones) and `provenance.json`. It is
written whole or not at all.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ratereg.storage import cache_directory, written_folder
from ratereg.studies.arrays import load_arrays, save_arrays
from ratereg.studies.study import Study

__all__ = ["Results", "find_published", "published_directory"]

_FILES = ("study.json", "table.csv", "arrays.npz", "provenance.json")


@dataclass(frozen=True, eq=False)
class Results:
    """The result of a study.

    Attributes:
        study: its settings.
        table: tidy, one row per member, step and partition; rates, distortions and information in nats, each estimated
            column X with its standard error X_se. `negative_elbo` is rate + distortion. The bounds on the likelihood
            are of few images, and NaN where they were not asked for. The partition "fresh" has a row for each number
            of images, `components`, in its aggregate posterior. `diverged_at` is the step at which a member's loss was
            no longer finite, else NaN; the values of one that diverged are NaN from there on.
        arrays: `test_originals` (dataset, image, channel, height, width) and `test_reconstructions` (member, image,
            channel, height, width), uint8, with `member_dataset` (member) saying which originals; and the posteriors
            `train_mean`, `train_log_var`, `test_mean`, `test_log_var` (member, image, latent) of random images of each
            partition, NaN in the latents that a member does not have; `distance` and `distance_distortion` (member,
            class) if the study asks for distances.
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

    def save(self, directory: Path) -> "Results":
        """Write the result directory, whole or not at all, and return the results with their new place.

        Raises:
            StorageError: the disk is full, or the folder can't be written to.
        """
        directory = Path(directory)
        with written_folder(directory) as aside:
            (aside / "study.json").write_text(json.dumps(self.study.settings, indent=1) + "\n")
            self.table.to_csv(aside / "table.csv", index=False)
            save_arrays(aside, self.arrays)
            (aside / "provenance.json").write_text(json.dumps(dict(self.provenance), indent=1) + "\n")
        return Results(self.study, self.table, self.arrays, self.provenance, directory)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a result directory.

        Raises:
            FileNotFoundError: a file of it is missing.
        """
        directory = Path(directory)
        missing = [name for name in _FILES if not (directory / name).is_file()]
        if missing:
            raise FileNotFoundError(f"Results: {directory} lacks {', '.join(missing)}; give a whole result directory.")
        study = Study.from_settings(json.loads((directory / "study.json").read_text()))
        table = pd.read_csv(directory / "table.csv", dtype={"dataset": str})
        # Results from before there were these columns: none diverged, and the sum's error was not kept.
        if "diverged_at" not in table:
            table["diverged_at"] = math.nan
        if "negative_elbo" not in table:
            table["negative_elbo"], table["negative_elbo_se"] = table["rate"] + table["distortion"], math.nan
        provenance = json.loads((directory / "provenance.json").read_text())
        return cls(study, table, load_arrays(directory), provenance, directory)


def published_directory() -> Path:
    """Return where committed results lie: in the installed package, or at the top of the source tree."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "published_results"
    return installed if installed.is_dir() else package.parent.parent / "results"


def find_published(digest: str) -> Path | None:
    """Return the directory of a committed result, or None."""
    found = [path for path in sorted(published_directory().glob(f"*/{digest}")) if (path / "provenance.json").is_file()]
    return found[0] if found else None
