"""Trained members of a result, as an ensemble in hand."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ratereg.data import Data
from ratereg.models import VAE
from ratereg.models.settings import to_settings
from ratereg.studies.assemble import Facts
from ratereg.studies.results import Results
from ratereg.studies.run import checked_devices, complete
from ratereg.studies.shard import model_of
from ratereg.training.key import Training

__all__ = ["models_of"]

_AXES = ("data", "network", "prior")


def models_of(results: Results, selection: dict[str, Any], *, device: str | None, progress: bool) -> VAE:
    """Return the members that a selection leaves as one ensemble; `Results.models` says how."""
    chosen = _chosen(results, selection)
    first = chosen[0]
    for name in ("data", "network", "likelihood", "prior"):
        values = {str(_plain(getattr(one, name))) for one in chosen}
        if len(values) > 1:
            raise ValueError(
                f"models: the {len(chosen)} members chosen differ in {name}, so that they are no ensemble; choose one "
                f"of them, for example models({name}=results.study.axis_{name}{'' if name == 'data' else 's'}[0])."
            )
    target = checked_devices(device)[0]
    images = first.data.load()
    complete(
        chosen, (), {first.data: Facts.of(images)}, devices=[target], progress=progress, with_weights=True, known=True
    )
    return model_of(chosen, images.image_shape).to(target)


def _chosen(results: Results, selection: dict[str, Any]) -> list[Training]:
    trainings = results.trainings
    rows = results.table.drop_duplicates("member").sort_values("member")
    columns = [*rows.columns[: list(rows.columns).index("seed") + 1]]
    kept = np.ones(len(trainings), dtype=bool)
    for name, wanted in selection.items():
        if name in _AXES and not isinstance(wanted, str):
            values = [_plain(getattr(one, name)) for one in trainings]
            fits = [value == _plain(wanted) for value in values]
        elif name in columns:
            values = rows[name].tolist()
            several = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
            fits = [any(_equal(value, one) for one in several) for value in values]
        else:
            raise ValueError(f"models: there is no column {name!r}; give some of {', '.join(columns)}.")
        if not (kept & fits).any():
            there = dict.fromkeys(str(value) for value, keep in zip(values, kept, strict=True) if keep)
            raise ValueError(f"models: no member has {name}={wanted!r}; there are {', '.join(there)}.")
        kept &= fits
    chosen = [one for one, keep in zip(trainings, kept, strict=True) if keep]
    diverged = rows.loc[kept & rows["diverged_at"].notna().to_numpy(), ["beta", "seed", "failure"]]
    for beta, seed, failure in diverged.itertuples(index=False):
        warnings.warn(
            f"The member with beta {beta:g} and seed {seed} {failure}; its weights are those of that step.",
            stacklevel=4,
        )
    return chosen


def _plain(value: Any) -> Any:
    return value.settings if isinstance(value, Data) else to_settings(value)


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, float) and isinstance(wanted, int | float):
        return math.isclose(value, wanted, rel_tol=1e-9)
    return bool(value == wanted)
