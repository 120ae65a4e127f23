"""Our curves beside the paper's: the points of its central figure, and what of it our results reproduce.

The paper's points were read off the published image, and their betas are inferred; the file's header says how. The
figure does not say which split or training size it used.
"""

import math

import numpy as np
import pandas as pd

from ratereg.claims.contrasts import ENOUGH_SEEDS, contrast, signed
from ratereg.studies import Results
from ratereg.studies.results import published_directory
from ratereg.summary import DATA, SETTING, data_label, groups, mean_interval, over_seeds

__all__ = [
    "compare_with_paper",
    "describe_match",
    "distance_to_paper",
    "paper_points",
    "shape_table",
    "summarize_match",
    "u_shape",
]


_WORDS = {"train": "training images", "test": "test images"}


def paper_points() -> pd.DataFrame:
    """Return the points of the paper's central figure.

    Columns: depth, partition, beta_inferred, star (1 for the point read as beta = 1), rate, distortion (nats) and
    approx (1 for overlapping markers, read to about 2 nats instead of 0.5).

    Source: Bozkurt et al., arXiv 1911.04594v1 (2019), central figure.
    """
    return pd.read_csv(published_directory() / "paper" / "rd_figure.csv", comment="#")


def compare_with_paper(results: Results, paper: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting, partition and beta that both have: our means over seeds, and ours less the paper's.

    Columns besides the setting's: `rate`, `distortion` with ends of 95% intervals, `paper_rate`, `paper_distortion`,
    `rate_difference`, `distortion_difference`, in nats.
    """
    ours = over_seeds(results.final, ("rate", "distortion"))
    theirs = paper.rename(
        columns={"depth": "layers", "beta_inferred": "beta", "rate": "paper_rate", "distortion": "paper_distortion"}
    )
    both = ours.merge(theirs, on=["layers", "partition", "beta"])
    return both.assign(
        rate_difference=both["rate"] - both["paper_rate"],
        distortion_difference=both["distortion"] - both["paper_distortion"],
    )


def distance_to_paper(results: Results, paper: pd.DataFrame, partition: str = "test") -> pd.DataFrame:
    """Return one row per data set and split: the root-mean-square difference of distortions from the paper's points.

    The mean is over the networks and betas that both have, seed by seed; columns `distance`, its 95% t interval's ends
    over seeds, and `points`. Sorted from the nearest.
    """
    theirs = paper[paper["partition"] == partition].set_index(["depth", "beta_inferred"])["distortion"]
    rows = []
    for data in groups(results.final[results.final["partition"] == partition], DATA):
        at = pd.MultiIndex.from_frame(data[["layers", "beta"]])
        squares = data.assign(square=(data["distortion"] - theirs.reindex(at).to_numpy()) ** 2).dropna(subset="square")
        by_seed = np.sqrt(squares.groupby("seed")["square"].mean())
        mean, low, high, _ = mean_interval(by_seed)
        row = data.iloc[0][list(DATA)].to_dict() | {"points": len(squares[["layers", "beta"]].drop_duplicates())}
        rows.append(row | {"distance": mean, "distance_low": low, "distance_high": high})
    return pd.DataFrame(rows).sort_values("distance", ignore_index=True)


def u_shape(results: Results, partition: str = "test") -> pd.DataFrame:
    """Return one row per setting: the beta of least distortion, and by how much each end of the curve lies above it.

    Columns: `best`, the beta; `large` and `small`, the differences in nats at the largest and smallest beta, paired
    over seeds, with `large_low` and `small_low`, the lower ends of 95% t intervals; `shape`: "U" (the best beta is
    interior and both intervals lie above zero), "not U" (an end is the best), "undecided", or "not enough data" (fewer
    than three seeds or three betas). The best beta is chosen on the same data, which favors a U slightly.
    """
    rows = []
    for setting in groups(results.final[results.final["partition"] == partition], SETTING):
        values = setting.pivot_table(index="seed", columns="beta", values="distortion").dropna()
        best = values.mean().idxmin()
        row = setting.iloc[0][list(SETTING)].to_dict() | {"best": best, "seeds": len(values)}
        ends = {"large": values.columns.max(), "small": values.columns.min()}
        for name, end in ends.items():
            row[name], row[f"{name}_low"], _, _ = mean_interval(values[end] - values[best])
        if len(values) < ENOUGH_SEEDS or len(values.columns) < 3:
            row["shape"] = "not enough data"
        elif best in ends.values():
            row["shape"] = "not U"
        else:
            row["shape"] = "U" if min(row["large_low"], row["small_low"]) > 0 else "undecided"
        rows.append(row)
    return pd.DataFrame(rows)


def shape_table(results: Results, paper: pd.DataFrame) -> pd.DataFrame:
    """Return the shapes of the test curves, the paper's and ours, one row per depth and curve, to be read in a page.

    Columns: the beta of least distortion, how far the curve's ends lie above it, and the change of distortion from
    beta = 1 to 0.1, in nats.
    """
    curves = []
    for depth, points in paper[paper["partition"] == "test"].groupby("depth"):
        theirs = points.set_index("beta_inferred")["distortion"]
        ends = (theirs[theirs.index.max()] - theirs.min(), theirs[theirs.index.min()] - theirs.min())
        curves.append((depth, "paper", f"{theirs.idxmin():g}", *ends, theirs[0.1] - theirs[1.0]))
    shapes, changes = u_shape(results), contrast(results)
    for index in range(len(shapes)):
        row, label = shapes.iloc[index], data_label(shapes.iloc[[index]])
        change = changes["difference"].iloc[index]
        curves.append((row["layers"], label, f"{row['best']:g}", row["large"], row["small"], change))
    names = ["layers", "test curve", "lowest at β", "largest β above it", "smallest β above it", "from β = 1 to 0.1"]
    return pd.DataFrame(curves, columns=names).sort_values("layers", kind="stable").set_index(names[:2]).round(1)


def describe_match(results: Results, paper: pd.DataFrame) -> str:
    """Return Markdown that says, for each data set and split, what of the paper's test curves ours reproduce."""
    points = compare_with_paper(results, paper)
    if points.empty:
        return "No network and β of this study are among the paper's points, so there is nothing to compare."
    levels = "\n".join(_levels(data) for data in groups(points, DATA))
    return "\n\n".join([summarize_match(results, paper), _nearest(distance_to_paper(results, paper)), levels])


def summarize_match(results: Results, paper: pd.DataFrame) -> str:
    """Return Markdown that says on which data the paper's two shapes of test curves are seen, and how surely."""
    theirs = paper[paper["partition"] == "test"].set_index(["depth", "beta_inferred"])["distortion"]
    sentences = []
    falls = contrast(results).query("layers == 3 and seeds > 0")
    if len(falls):
        values = [signed(row) for _, row in falls.iterrows()]
        fall = _minus(theirs.loc[3, 0.1] - theirs.loc[3, 1.0])
        sentences.append(
            f"The deep network's fall of test distortion from β = 1 to β = 0.1, {fall} nats in the paper, is "
            f"{_seen(falls, falls['verdict'], falls['difference'] < 0, values)}."
        )
    curves = u_shape(results).query("layers == 1")
    if len(curves):
        values = [f"lowest at β = {row['best']:g}" for _, row in curves.iterrows()]
        sentences.append(
            f"The shallow network's U, with the lowest point at β = {theirs.loc[1].idxmin():g} in the paper, is "
            f"{_seen(curves, curves['shape'], (curves['large'] > 0) & (curves['small'] > 0), values)}."
        )
    seeds = len(results.study.axis_seeds)
    if seeds < ENOUGH_SEEDS:
        few = "one seed" if seeds == 1 else f"{seeds} seeds"
        sentences.append(f"With {few} these are observations; a verdict takes {ENOUGH_SEEDS} seeds.")
    return f"**What matches.** {' '.join(sentences)}"


def _seen(table: pd.DataFrame, verdicts: pd.Series, in_means: pd.Series, values: list[str]) -> str:
    """Say on which data something is seen, an interval that holds zero leaving it undecided."""
    named = [f"{data_label(table.iloc[[index]])} ({value})" for index, value in enumerate(values)]
    answers = [
        "undecided" if verdict == "undecided" else "seen" if seen else "not seen"
        for verdict, seen in zip(verdicts, in_means, strict=True)
    ]
    joined = {"seen": " and ", "undecided": " and ", "not seen": " or "}
    places = {answer: [name for name, one in zip(named, answers, strict=True) if one == answer] for answer in joined}
    return ", and ".join(f"{answer} on {joined[answer].join(names)}" for answer, names in places.items() if names)


def _minus(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _levels(points: pd.DataFrame) -> str:
    means = points.groupby("partition")[["rate_difference", "distortion_difference"]].mean()
    parts = [
        f"on {_WORDS[str(partition)]} our distortion is {_more(row['distortion_difference'])} the paper's and our rate "
        f"{_more(row['rate_difference'])} its"
        for partition, row in means.iterrows()
    ]
    return f"- **{data_label(points)}.** In the mean over the β in common, {'; '.join(parts)}."


def _more(difference: float) -> str:
    return f"{abs(difference):.1f} nats {'above' if difference > 0 else 'below'}"


def _nearest(distances: pd.DataFrame) -> str:
    first = distances.iloc[0]
    text = (
        f"The nearest to the paper's test points is **{data_label(distances)}**, with a root-mean-square difference of "
    )
    text += f"{first['distance']:.1f} nats over {first['points']} points"
    if len(distances) == 1:
        return f"{text}."
    others = "; ".join(
        f"{data_label(distances.iloc[[i]])}: {distances['distance'].iloc[i]:.1f}" for i in range(1, len(distances))
    )
    if math.isnan(first["distance_high"]):
        return f"{text} ({others}). One seed cannot tell whether that is more than chance."
    apart = (first["distance_high"] < distances["distance_low"].iloc[1:]).all()
    return f"{text} ({others}). The 95% intervals over seeds {'do not overlap' if apart else 'overlap'}."
