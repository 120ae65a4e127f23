"""Difficulty: whether a small beta does more for test images, or data sets, that are far from training."""

from collections.abc import Mapping

import pandas as pd

from ratereg.claims.contrasts import paired, within
from ratereg.claims.measures import measured
from ratereg.studies import Results
from ratereg.summary import SETTING, labels

__all__ = ["contrast_by_distance", "contrast_data_sets"]


def contrast_by_distance(results: Results, low: float = 0.1, high: float = 1.0) -> pd.DataFrame:
    """Return, for each setting and class of test images, the distortion at beta = `low` less that at `high`.

    Arguments:
        results: of a study that measured the distortion by distance.
        low: smaller beta.
        high: larger beta.

    Returns:
        rows as of `ratereg.claims.contrast`, near to far, with the class's number from 0 in the column `place`. The row
        with a `place` of -1 has the farthest class's distortion less the nearest's.

    Raises:
        ValueError: the results have no distances.
    """
    if "distance" not in results.arrays:
        raise ValueError("contrast_by_distance: results has no distances; give those of a study with `ByDistance`.")
    rows = measured(results.final, "distortion", "test")
    members = rows["member"].to_numpy(dtype=int)
    distance, distortion = (results.arrays[name][members] for name in ("distance", "distance_distortion"))
    difference = rows.assign(
        place=-1,
        value=distortion[:, -1] - distortion[:, 0],
        measure="excess distortion of the farthest test images over the nearest",
    )
    classes = [
        rows.assign(
            place=place,
            value=distortion[:, place],
            measure=[f"distortion of test images at a mean distance of {one:.2f}" for one in distance[:, place]],
        )
        for place in range(distance.shape[1])
    ]
    return paired(pd.concat([*classes, difference]), "beta", [*SETTING, "place"], (high, low))


def contrast_data_sets(
    results: Results, distances: Mapping[str, float], low: float = 0.1, high: float = 1.0
) -> pd.DataFrame:
    """Return, for each network, what a smaller beta does on the farthest data set, less what it does on the nearest.

    Both are the test distortion at beta = `low` less that at `high`; paired over seeds. The data sets differ in more
    than distance: in the number of training images, for one.

    Arguments:
        results: of any study.
        distances: for each data set, by its short label, the mean distance of test images to training.
        low: smaller beta.
        high: larger beta.

    Returns:
        rows as of `ratereg.claims.contrast`; none where there is a single data set.
    """
    rows = measured(results.final, "distortion", "test")
    keys = [*SETTING, "pair"]
    lower, higher = (rows[rows["beta"] == beta].set_index(keys) for beta in (low, high))
    changes = lower.assign(value=lower["value"] - higher["value"].reindex(lower.index)).reset_index()
    changes["distance"] = labels(changes, short=True)["data"].map(dict(distances))
    changes["measure"] = f"effect of lowering β from {high:g} to {low:g} on the test distortion"
    return paired(changes, "distance", within("distance"))
