import io
import math

import numpy as np
import pytest

from ratereg import CATALOG, claims, plots
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
