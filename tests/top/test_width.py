import io
import math

import numpy as np
import pytest

from ratereg import CATALOG, MLP, claims, plots
from ratereg.claims import contrast_widths, describe_widths
from synthetic import synthetic

STUDY = CATALOG["width"]["cpu"]


def distortion(**at):
    """Wider is better by 4 nats for one hidden layer, worse by 3 for three, and by an amount of noise at beta = 0.1."""
    noise = (0.0, 0.4, -0.1)[at["seed"] % 3]
    effect = {1: -4.0, 3: 3.0}[at["layers"]] if at["beta"] == 1 else 0.0
    wide = at["width"] == 512
    return 80 + 10 * at["seed"] + 5 * (at["partition"] == "test") + wide * (effect + noise)


def results(study=STUDY):
    return synthetic(study, distortion)


def test_the_widest_is_compared_with_the_narrowest_paired_over_seeds() -> None:
    table = contrast_widths(results()).set_index(["layers", "beta"])
    assert len(table) == 4
    assert set(table["narrow"]) == {64}
    assert set(table["wide"]) == {512}
    assert set(table["seeds"]) == {3}
    # t with two degrees of freedom, and the standard deviation of 0, 0.4 and -0.1; the seeds' own 10 nats cancel.
    half_width = 4.302653 * 0.264575 / math.sqrt(3)
    assert table.loc[(1, 1.0), "difference"] == pytest.approx(-3.9)
    assert table.loc[(1, 1.0), "difference_high"] == pytest.approx(-3.9 + half_width, abs=1e-4)
    assert table["verdict"].to_dict() == {
        (1, 1.0): "improves",
        (1, 0.1): "undecided",
        (3, 1.0): "worsens",
        (3, 0.1): "undecided",
    }


def test_partitions_are_compared_by_themselves() -> None:
    study = STUDY.replace(seeds=3)
    made = synthetic(study, lambda width, partition, **_: 80 + (partition == "train") * width / 512)
    assert contrast_widths(made)["difference"].to_numpy() == pytest.approx(0)
    assert contrast_widths(made, "train")["difference"].to_numpy() == pytest.approx(448 / 512)


def test_of_several_widths_the_ends_count_and_each_data_set_is_by_itself() -> None:
    # Widths between the ends do not count.
    made = synthetic(
        CATALOG["width"]["full"],
        lambda width, split, seed, **_: 80 + seed + (width == 256) * 50 - (split == "cv") * width / 64,
    )
    table = contrast_widths(made)
    assert len(table) == 2 * 2 * 3
    assert set(zip(table["narrow"], table["wide"], strict=True)) == {(64, 1024)}
    for split, difference in (("cv", -15.0), ("checkerboard", 0.0)):
        assert table.loc[table["split"] == split, "difference"].to_numpy() == pytest.approx(difference)


def test_fewer_than_three_seeds_are_not_enough_data() -> None:
    table = contrast_widths(results(STUDY.replace(seeds=2)))
    assert set(table["verdict"]) == {"not enough data"}
    assert "**not enough data**" in describe_widths(table)


def test_every_outcome_is_said_in_words_and_counted() -> None:
    text = describe_widths(contrast_widths(results()))
    lines = text.splitlines()
    assert lines[0] == (
        "Of 2 comparisons at β = 1, wider: improves in 1, worsens in 1. "
        "Of 2 comparisons at β = 0.1, wider: undecided in 2."
    )
    where = "- random subset, 1,638 training images, "
    assert (
        f"{where}1 hidden layer, β = 1: 512 units a layer instead of 64 **improves** the test distortion: −3.9 nats, "
        "95% interval −4.6 to −3.2 (3 seeds)."
    ) in lines
    assert any(line.startswith(f"{where}3 hidden layers, β = 1: 512 units") and "**worsens**" in line for line in lines)
    assert sum("**undecided**" in line for line in lines) == 2


def test_networks_that_differ_otherwise_and_a_single_width_are_refused() -> None:
    with pytest.raises(ValueError, match="several networks of one depth and width"):
        contrast_widths(synthetic(STUDY.replace(network=[MLP(1, 64, 5), MLP(1, 64, 10), MLP(1, 512, 5)])))
    with pytest.raises(ValueError, match="the width 64 alone"):
        contrast_widths(synthetic(STUDY.replace(network=[MLP(1, 64), MLP(3, 64)])))
    with pytest.raises(ValueError, match="partition is 'validation'; give 'train' or 'test'"):
        contrast_widths(results(), "validation")


def test_the_figure_has_the_means_over_seeds_and_their_intervals_against_width() -> None:
    made = results()
    fig = plots.distortion_by_width(made)
    assert [panel.get_title() for panel in fig.axes] == [
        "random subset, 1,638\n$\\beta$ = 1",
        "random subset, 1,638\n$\\beta$ = 0.1",
    ]
    panel = fig.axes[0]
    assert panel.get_xscale() == "log"
    curves = {
        (line.get_marker(), line.get_color()): np.column_stack(line.get_data())
        for line in panel.lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[0] != line.get_xdata()[1]
    }
    assert len(curves) == 4
    deep = made.final.query("layers == 3 and beta == 1 and partition == 'test'").groupby("width")["distortion"].mean()
    found = [curve for (marker, _), curve in curves.items() if marker == "o" and np.allclose(curve[:, 1], deep)]
    assert [curve[:, 0].tolist() for curve in found] == [[64, 512]]
    # Seeds that are 10 nats apart: the ends of a t interval.
    bars = [line for line in panel.get_children() if len(getattr(line, "get_xdata", list)()) == 2]
    half_width = 4.302653 * 10 / math.sqrt(3)
    ends = sorted(line.get_ydata() for line in bars if list(line.get_xdata()) == [64, 64])
    assert ends[-1] == pytest.approx([95 - half_width, 95 + half_width], abs=1e-3)


def test_the_full_study_and_a_single_seed_can_be_drawn() -> None:
    full = plots.distortion_by_width(synthetic(CATALOG["width"]["full"]))
    assert len(full.axes) == 2 * 3
    one = plots.distortion_by_width(results(STUDY.replace(seeds=1)))
    for fig in (full, one):
        fig.savefig(io.BytesIO(), format="svg")


def test_the_chapters_other_figures_and_words_can_be_had_of_the_full_study() -> None:
    full = synthetic(CATALOG["capacity"]["full"].replace(seeds=2))
    paper = claims.paper_points()
    fig = plots.rate_distortion(full, paper=paper, floor=49.8)
    assert len(fig.axes) == 3
    # Betas are written along the curves of one and of three hidden layers, and between them none.
    assert len({text.get_color() for text in fig.axes[0].texts}) == 2
    for figure in (plots.information(full), plots.trajectory(full)):
        assert len(figure.axes) == 9
    assert len(plots.reconstructions(full).axes) == 9
    assert set(claims.shape_table(full, paper).index.get_level_values("layers")) == {1, 2, 3}
    assert len(claims.describe_contrasts(claims.contrast(full)).splitlines()) == 9
