"""How far each published study has come: its settings, its committed result, and the full scale beside them."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ratereg.data import Data
from ratereg.studies.catalog import CATALOG, SCALES, published
from ratereg.studies.results import find_published, published_directory

__all__ = ["status"]


def status(names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a row for each published study, in the catalog's order; nothing is trained and no images are loaded.

    Arguments:
        names: of studies; None for all.

    Returns:
        one row per study with these columns. Where there is no result, `scale` is empty, the settings are those of
        the smallest scale, and what says how a result was made is None.

        study: its name.
        scale: of the largest committed result.
        members, steps, seeds, betas, networks, data: settings at that scale; the last three in words.
        full_members, full_steps: at full scale.
        share: of the member-steps of the full scale, those that the result has; 0 without one.
        device, precision, date, commit: of the result, from its provenance.
        seconds: that training and measuring took.
        source: where the result lies.

    Raises:
        ValueError: there is no study of that name.
    """
    return pd.DataFrame([_row(name) for name in (CATALOG if names is None else names)])


def _row(name: str) -> dict[str, Any]:
    study, full = published(name), published(name, SCALES[0])
    found = find_published(study.digest)
    facts = {} if found is None else json.loads((found / "provenance.json").read_text())
    scale = "" if found is None else next(one for one, its in CATALOG[name].items() if its == study)
    work, full_work = len(study) * study.steps, len(full) * full.steps
    return {
        "study": name,
        "scale": scale,
        "members": len(study),
        "steps": study.steps,
        "seeds": len(study.axis_seeds),
        "betas": ", ".join(f"{beta:g}" for beta in study.axis_betas),
        "networks": "; ".join(network.label for network in study.axis_networks),
        "data": "; ".join(map(_data_words, study.axis_data)),
        "full_members": len(full),
        "full_steps": full.steps,
        "share": 0.0 if found is None else work / full_work,
        **{key: facts.get(key) for key in ("device", "precision", "date", "commit", "seconds")},
        "source": None if found is None else f"results/{found.relative_to(published_directory())}",
    }


def _data_words(data: Data) -> str:
    words = [str(data.source)]
    if data.split != "default":
        words.append(data.split if data.share is None else f"{data.split} {data.share:g}")
    if data.n_train is not None:
        words.append(f"{data.n_train:,} training images")
    if data.binarize is not None:
        words.append(f"{data.binarize} binarization")
    return ", ".join(words)
