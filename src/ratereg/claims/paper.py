"""Our curves beside the paper's: the points of its central figure, and what of it our results reproduce.

The paper's points were read off the published image, and their betas are inferred; the file's header says how. The
figure does not say which split or training size it used.
"""

import numpy as np
import pandas as pd

from ratereg.claims.contrasts import ENOUGH_SEEDS, contrast, signed
from ratereg.claims.records import plural
from ratereg.studies import Results
from ratereg.studies.results import published_directory
from ratereg.summary import DATA, SETTING, data_label, described, groups, labels, mean_interval, over_seeds

__all__ = ["compare_with_paper", "match_table", "paper_points", "shape_table", "summarize_match", "u_shape"]


def paper_points() -> pd.DataFrame:
    """Return the points of the paper's central figure.

    Columns: depth, partition, beta_inferred, star (1 for the point read as beta = 1), rate, distortion (nats) and
    approx (1 for overlapping markers, read to about 2 nats instead of 0.5).

    Source: Bozkurt et al., arXiv 1911.04594v1 (2019), central figure.
    """
    return pd.read_csv(published_directory() / "paper" / "rd_figure.csv", comment="#")


def compare_with_paper(results: Results, paper: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting, partition and beta that both have: our means over seeds, and ours less the paper's.

    The columns are those of the setting, and `rate` and `distortion` with the ends of 95% intervals, `paper_rate`,
    `paper_distortion`, `rate_difference` and `distortion_difference`, in nats.
    """
    ours = over_seeds(results.final, ("rate", "distortion"))
    names = {"depth": "layers", "beta_inferred": "beta", "rate": "paper_rate", "distortion": "paper_distortion"}
    both = ours.merge(paper.rename(columns=names), on=["layers", "partition", "beta"])
    return both.assign(**{f"{name}_difference": both[name] - both[f"paper_{name}"] for name in ("rate", "distortion")})


def match_table(results: Results, paper: pd.DataFrame) -> pd.DataFrame:
    """Return how far our points are from the paper's, one row per data set, the nearest first, in nats.

    Columns: the root-mean-square difference of test distortions over the networks and betas that both have, seed by
    seed, with its 95% t interval over seeds; how many points these are; and, on training and on test images, the mean
    of our distortion and rate less the paper's.
    """
    theirs = _test_distortion(paper)
    points = compare_with_paper(results, paper)
    rows = []
    for data in groups(points, DATA):
        final = results.final[(results.final["partition"] == "test") & results.final["setting"].isin(data["setting"])]
        at = pd.MultiIndex.from_frame(final[["layers", "beta"]])
        squares = (final["distortion"] - theirs.reindex(at).to_numpy()) ** 2
        distance = mean_interval(squares.groupby(final["seed"]).mean() ** 0.5)
        row = {"data": data_label(data), "distance": distance.mean, "low": distance.low, "high": distance.high}
        row["points"] = (data["partition"] == "test").sum()
        for partition, here in data.groupby("partition"):
            for name in ("distortion", "rate"):
                row[f"{partition} {name}, ours less the paper's"] = here[f"{name}_difference"].mean()
        rows.append(row)
    return pd.DataFrame(rows).set_index("data").sort_values("distance") if rows else pd.DataFrame()


def _test_distortion(paper: pd.DataFrame) -> pd.Series:
    """Return the paper's test distortion by depth and beta."""
    return paper[paper["partition"] == "test"].set_index(["depth", "beta_inferred"])["distortion"]


def u_shape(results: Results) -> pd.DataFrame:
    """Return one row per setting: the beta of least test distortion, and by how much the curve's ends lie above it.

    Columns: `best`, the beta; `large` and `small`, the differences in nats at the largest and smallest beta, paired
    over seeds, with `large_low` and `small_low`, the lower ends of 95% t intervals; `shape`: "U" (the best beta is
    interior and both intervals lie above zero), "not U" (an end is the best), "undecided", or "not enough data" (fewer
    than three seeds or three betas). The best beta is chosen on the same data, which favors a U slightly. No row for a
    setting of which no seed has a value at every beta.
    """
    rows = []
    for setting in groups(results.final[results.final["partition"] == "test"], SETTING):
        values = setting.pivot(index="seed", columns="beta", values="distortion").dropna()
        if values.empty:
            continue
        best, ends = values.mean().idxmin(), {"large": values.columns.max(), "small": values.columns.min()}
        row = described(setting) | {"best": best, "seeds": len(values)}
        for name, end in ends.items():
            row[name], row[f"{name}_low"], _, _ = mean_interval(values[end] - values[best])
        if len(values) < ENOUGH_SEEDS or len(values.columns) < 3:
            row["shape"] = "not enough data"
        elif best in ends.values():
            row["shape"] = "not U"
        else:
            row["shape"] = "U" if min(row["large_low"], row["small_low"]) > 0 else "undecided"
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["layers", "best", "large", "small", "shape"])


def shape_table(results: Results, paper: pd.DataFrame) -> pd.DataFrame:
    """Return the shapes of the test curves, the paper's and ours, one row per depth and curve, to be read in a page.

    Columns: the beta of least distortion, how far the curve's ends lie above it, and the change of distortion from
    beta = 1 to 0.1, in nats.
    """
    curves = []
    for depth, points in _test_distortion(paper).groupby("depth"):
        theirs = points.droplevel("depth")
        ends = theirs[[theirs.index.max(), theirs.index.min()]] - theirs.min()
        curves.append((depth, "paper", f"{theirs.idxmin():g}", *ends, theirs[0.1] - theirs[1.0]))
    shapes = u_shape(results)
    changes = contrast(results).set_index(list(SETTING))["difference"]
    for (_, row), place in zip(shapes.iterrows(), labels(shapes).to_numpy(), strict=True):
        change = changes[tuple(row[list(SETTING)])]
        curves.append((row["layers"], ", ".join(place), f"{row['best']:g}", row["large"], row["small"], change))
    names = ["layers", "test curve", "lowest at β", "largest β above it", "smallest β above it", "from β = 1 to 0.1"]
    return pd.DataFrame(curves, columns=names).sort_values("layers", kind="stable").set_index(names[:2]).round(1)


def summarize_match(results: Results, paper: pd.DataFrame) -> str:
    """Return Markdown that says on which data the paper's two shapes of test curves are seen, and how surely."""
    theirs = _test_distortion(paper)
    sentences = []
    falls = contrast(results).query("layers == 3 and seeds > 0")
    if len(falls):
        values = [signed(row) for _, row in falls.iterrows()]
        fall = f"{theirs[3, 0.1] - theirs[3, 1.0]:+.1f}".replace("-", "−")
        sentences.append(
            f"The deep network's fall of test distortion from β = 1 to β = 0.1, {fall} nats in the paper, is "
            f"{_seen(falls, falls['verdict'], falls['difference'] < 0, values)}."
        )
    curves = u_shape(results).query("layers == 1")
    if len(curves):
        values = [f"lowest at β = {best:g}" for best in curves["best"]]
        sentences.append(
            f"The shallow network's U, with the lowest point at β = {theirs[1].idxmin():g} in the paper, is "
            f"{_seen(curves, curves['shape'], (curves['large'] > 0) & (curves['small'] > 0), values)}."
        )
    if not sentences:
        return "No network and β of this study are among the paper's points, so there is nothing to compare."
    seeds = len(results.study.axis_seeds)
    if seeds < ENOUGH_SEEDS:
        sentences.append(f"With {plural(seeds, 'seed')} these are observations; a verdict takes {ENOUGH_SEEDS} seeds.")
    return f"**What matches.** {' '.join(sentences)}"


def _seen(table: pd.DataFrame, verdicts: pd.Series, in_means: pd.Series, values: list[str]) -> str:
    """Say on which data something is seen, an interval that holds zero leaving it undecided."""
    places = labels(table).agg(", ".join, axis="columns")
    named = [f"{place} ({value})" for place, value in zip(places, values, strict=True)]
    answers = np.where(verdicts == "undecided", "undecided", np.where(in_means, "seen", "not seen"))
    parts = []
    for answer, joint in {"seen": " and ", "undecided": " and ", "not seen": " or "}.items():
        those = [name for name, one in zip(named, answers, strict=True) if one == answer]
        parts += [f"{answer} on {joint.join(those)}"] if those else []
    return ", and ".join(parts)
