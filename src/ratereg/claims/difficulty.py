"""Difficulty: contrasts along beta by the distance of test images to training, and contrasts of depth."""

import math
from collections.abc import Mapping

import pandas as pd

from ratereg.claims.contrasts import signed, verdict
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, SETTING, data_label, groups, network_label

__all__ = [
    "contrast_by_distance",
    "contrast_data_sets",
    "contrast_depths",
    "describe_data_sets",
    "describe_depths",
    "describe_distances",
    "plus_or_minus",
]


def contrast_by_distance(results: Results, low: float = 0.1, high: float = 1.0) -> pd.DataFrame:
    """Return, for each setting and class of test images, the distortion at beta = `low` less that at `high`.

    Arguments:
        results: of a study with distances.
        low: the smaller beta.
        high: the larger beta.

    Returns:
        rows near to far, with `place`, the class's number from 0, its mean `distance`, and the columns of `contrast`.
        The last row of each setting, with a `place` of -1 and no distance, has the difference of these differences,
        the farthest class's less the nearest's. A setting without both betas has zero seeds.

    Raises:
        ValueError: the results have no distances.
    """
    if "distance" not in results.arrays:
        raise ValueError("contrast_by_distance: results has no distances; give those of a study with `distances`.")
    distance, distortion = (results.arrays[name] for name in ("distance", "distance_distortion"))
    rows = []
    for setting in groups(results.final[results.final["partition"] == "test"], SETTING):
        members = setting.pivot(index="seed", columns="beta", values="member").reindex(columns=[low, high]).dropna()
        lower, higher = (members[beta].to_numpy(dtype=int) for beta in (low, high))
        changes = pd.DataFrame(distortion[lower] - distortion[higher])
        # The classes are of the data alone, so that every member of a setting has the same.
        away = distance[int(setting["member"].iloc[0])]
        where = setting.iloc[0][list(SETTING)].to_dict() | {"low": low, "high": high}
        rows += [where | {"place": k, "distance": away[k]} | verdict(changes[k]) for k in changes]
        difference = verdict(changes.iloc[:, -1] - changes.iloc[:, 0])
        rows.append(where | {"place": -1, "distance": math.nan} | difference)
    return pd.DataFrame(rows)


def describe_distances(contrasts: pd.DataFrame) -> str:
    """Return one Markdown list item for each setting of `contrast_by_distance`: near, far, and their difference."""
    endings = {
        "improves": "A small β does **more for the farthest** images",
        "worsens": "A small β does **less for the farthest** images",
        "undecided": "Whether a small β does more for near or for far images is **undecided**",
        "not enough data": "For a verdict on near and far images there is **not enough data**",
    }
    items = []
    for setting in groups(contrasts, SETTING):
        difference = setting[setting["place"] == -1].iloc[0]
        classes = setting[setting["place"] >= 0].sort_values("place")
        nearest, farthest = classes.iloc[0], classes.iloc[-1]
        where = f"{data_label(setting)}, {network_label(setting)}"
        betas = f"β = {difference['high']:g} to {difference['low']:g}"
        if difference["seeds"] == 0:
            items.append(f"- {where}: not measured at both ends of {betas}.")
            continue
        items.append(
            f"- {where}: from {betas} the distortion changes by {signed(nearest)}, for the nearest test images "
            f"(mean distance {nearest['distance']:.2f}), and by {signed(farthest)}, for the farthest "
            f"({farthest['distance']:.2f}). {endings[difference['verdict']]}: farthest less nearest, "
            f"{signed(difference)}."
        )
    return "\n".join(items)


def contrast_data_sets(
    results: Results, distances: Mapping[str, float], low: float = 0.1, high: float = 1.0
) -> pd.DataFrame:
    """Return, for each network, what a smaller beta does on the farthest data set, less what it does on the nearest.

    Both are the test distortion at beta = `low` less that at `high`; paired over seeds. The data sets differ in more
    than distance: in the number of training images, for one.

    Arguments:
        results: of any study.
        distances: for each data set, by its short label, the mean distance of test images to training.
        low: the smaller beta.
        high: the larger beta.

    Returns:
        rows with what learned, `near` and `far`, the short labels of two data sets, and the columns of `contrast`. No
        rows where there is one data set alone.
    """
    rows = []
    for network in groups(results.final[results.final["partition"] == "test"], NETWORK):
        changes = {}
        for data in groups(network, DATA):
            values = data.pivot(index="seed", columns="beta", values="distortion").reindex(columns=[low, high])
            changes[data_label(data, short=True)] = values[low] - values[high]
        near, far = min(changes, key=lambda name: distances[name]), max(changes, key=lambda name: distances[name])
        if near != far:
            where = network.iloc[0][list(NETWORK)].to_dict() | {"low": low, "high": high, "near": near, "far": far}
            rows.append(where | verdict(changes[far] - changes[near]))
    return pd.DataFrame(rows)


def describe_data_sets(contrasts: pd.DataFrame) -> str:
    """Return one Markdown list item for each row of `contrast_data_sets`."""
    phrases = {
        "improves": "a small β does **more on the farther** data set",
        "worsens": "a small β does **less on the farther** data set",
        "undecided": "on which of the two a small β does more is **undecided**",
        "not enough data": "there is **not enough data** to say on which of the two a small β does more",
    }
    if contrasts.empty:
        return "There is one data set alone, so there is nothing to compare."
    items = []
    for index in range(len(contrasts)):
        row = contrasts.iloc[index]
        numbers = (
            f"the change on {row['far']} less that on {row['near']} is {signed(row)}" if row["seeds"] else "no seeds"
        )
        items.append(f"- {network_label(contrasts.iloc[[index]])}: {phrases[row['verdict']]}; {numbers}.")
    return "\n".join(items)


def contrast_depths(results: Results, partition: str = "test") -> pd.DataFrame:
    """Return, for each data set and beta, the distortion of the deepest network less that of the shallowest.

    Paired over seeds, which give both networks the same batches and noise.

    Returns:
        rows with what was learned from, `beta`, `shallow` and `deep` (hidden layers), and the columns of `contrast`, in
        whose words a deep network that is better "improves". No rows where all networks are equally deep.

    Raises:
        ValueError: two networks are equally deep.
    """
    rows = []
    final = results.final[results.final["partition"] == partition]
    for data in groups(final, DATA):
        for beta, here in data.groupby("beta", sort=False):
            if here.duplicated(["layers", "seed"]).any():
                raise ValueError("contrast_depths: results has several networks of one depth; give those of one each.")
            by_depth = here.pivot(index="seed", columns="layers", values="distortion")
            shallow, deep = by_depth.columns.min(), by_depth.columns.max()
            if shallow < deep:
                where = here.iloc[0][list(DATA)].to_dict() | {"beta": beta, "shallow": shallow, "deep": deep}
                rows.append(where | {"partition": partition} | verdict(by_depth[deep] - by_depth[shallow]))
    return pd.DataFrame(rows)


def plus_or_minus(row: pd.Series, digits: int = 1) -> str:
    """Return the difference of a verdict in short, with half the length of its interval if there is one."""
    half_width = (row["difference_high"] - row["difference_low"]) / 2
    words = f"{row['difference']:+.{digits}f}" + ("" if math.isnan(half_width) else f" ± {half_width:.{digits}f}")
    return words.replace("-", "−")


def describe_depths(contrasts: pd.DataFrame) -> str:
    """Return Markdown that says for each beta on which data the deepest network is better, and on which worse."""
    if contrasts.empty:
        return "All networks of this study are equally deep."
    words = {
        "improves": "**better** on {0}",
        "worsens": "**worse** on {0}",
        "undecided": "undecided on {0}",
        "not enough data": "without enough data for a verdict on {0}",
    }
    items = []
    for beta, here in sorted(contrasts.groupby("beta"), key=lambda one: -float(one[0])):  # type: ignore[arg-type]
        parts = []
        for verdict_, phrase in words.items():
            chosen = here[here["verdict"] == verdict_]
            names = [f"{data_label(chosen.iloc[[k]])} ({plus_or_minus(chosen.iloc[k])})" for k in range(len(chosen))]
            if names:
                parts.append(phrase.format("; ".join(names)))
        shallow, deep = here["shallow"].iloc[0], here["deep"].iloc[0]
        items.append(
            f"- At β = {beta:g} the network of {deep} hidden layers is, beside that of {shallow}: {', '.join(parts)}."
        )
    return "\n".join(items)
