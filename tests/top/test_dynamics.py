import numpy as np
import pytest
from matplotlib.colors import to_hex

from drawn import half_width, intervals, lines, results
from ratereg import plots


@pytest.fixture(scope="module")
def made():
    return results(data={"cv": 16_384}, betas=(1, 0.1), steps=(1, 10, 100, 1000))


def test_a_path_is_that_of_the_means_over_seeds_in_the_order_of_steps(made):
    fig = plots.training_paths(made)
    assert [panel.get_title().split("\n")[0] for panel in fig.axes] == ["1 hidden layer", "3 hidden layers"]
    for (layers, beta, partition), rows in made.table.groupby(["layers", "beta", "partition"]):
        path = rows.groupby("step")[["rate", "distortion"]].mean().sort_index().to_numpy()
        panel = fig.axes[(1, 3).index(layers)]
        assert lines(panel)[rf"$\beta$ = {beta:g}, {plots.style.WORDS[partition]}"] == pytest.approx(path)
        # Both ends are marked: the first hollow, the last edged in black.
        for end, face, edge in ((path[0], "#ffffff", None), (path[-1], None, "#000000")):
            (mark,) = (line for line in panel.lines if np.allclose(np.column_stack(line.get_data()), [end]))
            assert mark.get_marker() == plots.MARKERS[partition]
            assert face in (None, to_hex(mark.get_markerfacecolor()))
            assert edge in (None, to_hex(mark.get_markeredgecolor()))


@pytest.mark.parametrize("partition", ["train", "test"])
def test_each_setting_has_a_row_with_the_parts_of_its_rate_and_the_gap(made, partition):
    fig = plots.training_parts(made, partition=partition)
    assert len(fig.axes) == 6
    rows = made.table.query("layers == 3 and beta == 0.1")
    sides = {name: side.set_index(["seed", "step"]) for name, side in rows.groupby("partition")}
    gap = sides["test"]["distortion"] - sides["train"]["distortion"]
    expected = [sides[partition]["mutual_information"], sides[partition]["marginal_kl"], gap]
    for panel, values in zip(fig.axes[3:], expected, strict=True):
        means = values.groupby("step").mean().reset_index().to_numpy()
        assert lines(panel)[r"$\beta$ = 0.1"] == pytest.approx(means)


def test_the_ceiling_is_the_log_of_the_images_measured_at_that_step(made):
    ceiling = made.table.query("layers == 1 and partition == 'train'").groupby("step")["log_n"].first()
    assert ceiling.nunique() == 2
    shown = lines(plots.training_parts(made).axes[0])["ceiling"]
    assert shown == pytest.approx(ceiling.reset_index().to_numpy())


def test_the_intervals_of_the_gap_are_paired_over_seeds():
    def numbers(measure, panel, model, beta, seed, partition, step):
        # Distortions differ a lot between seeds, and gaps little.
        return 100.0 * seed + (10 + seed**2) * (partition == "test")

    fig = plots.training_parts(results(numbers, data={"cv": 16_384}, betas=(1,)))
    shown = intervals(fig.axes[2], plots.beta_colors([1])[1])[-1]
    gap = 10 + 5 / 3
    ends = half_width([0, 1, 4])
    assert shown == pytest.approx(np.array([[100, gap - ends], [100, gap + ends]]), abs=1e-4)
