import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from ratereg import MLP, Data, Study, plots
from synthetic import synthetic

STUDY = Study(
    data=Data("tetrominoes", split="cv", share=0.01),
    network=(MLP(layers=1), MLP(layers=3)),
    betas=(1, 0.1),
    seeds=3,
    steps=1000,
    records=4,
    trajectory_images=500,
)


def distortion(beta, partition, step, seed, layers, **_):
    """Test images stay behind by more at the smaller beta, and seeds differ in the gap."""
    return 200 - 0.1 * step + layers + (10 / beta + seed * step / 1000 if partition == "test" else 0)


@pytest.fixture
def results():
    return synthetic(STUDY, distortion)


def drawn(panel):
    return [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in panel.lines]


def holds(panel, points):
    return any(one.shape == points.shape and np.allclose(one, points) for one in drawn(panel))


def test_a_path_is_that_of_the_means_over_seeds_in_the_order_of_steps(results):
    fig = plots.training_paths(results)
    assert [panel.get_title().split("\n")[0] for panel in fig.axes] == ["1 hidden layer", "3 hidden layers"]
    for (layers, _, _), rows in results.table.groupby(["layers", "beta", "partition"]):
        path = rows.groupby("step")[["rate", "distortion"]].mean().sort_index().to_numpy()
        assert len(path) == 4
        assert holds(fig.axes[(1, 3).index(layers)], path)


def test_both_ends_of_a_path_are_marked(results):
    panel = plots.training_paths(results).axes[0]
    rows = results.table.query("layers == 1 and beta == 0.1 and partition == 'test'")
    path = rows.groupby("step")[["rate", "distortion"]].mean().sort_index().to_numpy()
    circles = [line for line in panel.lines if line.get_marker() == "o"]
    hollow = [line for line in circles if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    edged = [line for line in circles if to_hex(line.get_markeredgecolor()) == "#000000"]
    for lines, end in ((hollow, path[0]), (edged, path[-1])):
        assert any(np.allclose(np.column_stack(line.get_data()), [end]) for line in lines)


def test_each_setting_has_a_row_with_the_parts_of_its_rate_and_the_gap(results):
    fig = plots.training_parts(results)
    assert len(fig.axes) == 6
    rows = results.table.query("layers == 3 and beta == 0.1")
    train, test = (rows[rows["partition"] == name].set_index(["seed", "step"]) for name in ("train", "test"))
    gap = (test["distortion"] - train["distortion"]).groupby("step").mean().reset_index().to_numpy()
    information = train["mutual_information"].groupby("step").mean().reset_index().to_numpy()
    marginal_kl = train["marginal_kl"].groupby("step").mean().reset_index().to_numpy()
    for panel, expected in zip(fig.axes[3:], (information, marginal_kl, gap), strict=True):
        assert holds(panel, expected)
    assert gap[-1, 1] == pytest.approx(101)


def test_the_ceiling_is_the_log_of_the_images_measured_at_that_step(results):
    panel = plots.training_parts(results).axes[0]
    ceiling = results.table.query("layers == 1 and partition == 'train'").groupby("step")["log_n"].first()
    assert ceiling.nunique() == 2
    assert holds(panel, ceiling.reset_index().to_numpy())


def test_the_intervals_of_the_gap_are_paired_over_seeds(results):
    panel = plots.training_parts(results).axes[2]
    bars = [line for line in panel.get_children() if isinstance(line, Line2D) and len(line.get_xdata()) == 2]
    ends = [np.ptp(line.get_ydata()) for line in bars if line.get_xdata()[0] == 1000]
    # Gaps of 10 or 100, plus 0, 1 and 2: t with two degrees of freedom times 1 / sqrt(3), to both sides.
    assert ends == pytest.approx([2 * 4.302653 / 3**0.5] * 2, abs=1e-4)


def test_the_parts_can_be_those_of_test_images(results):
    panel = plots.training_parts(results, partition="test").axes[1]
    rows = results.table.query("layers == 1 and beta == 1 and partition == 'test'")
    assert holds(panel, rows.groupby("step")["marginal_kl"].mean().reset_index().to_numpy())


def test_a_partition_without_a_trajectory_is_refused(results):
    with pytest.raises(ValueError, match="partition is 'fresh'; give 'train' or 'test'"):
        plots.training_parts(results, partition="fresh")


def test_one_seed_and_one_beta_can_be_drawn():
    one = synthetic(STUDY.replace(seeds=1, betas=1, network=MLP(layers=1)), distortion)
    for draw in (plots.training_paths, plots.training_parts):
        draw(one).canvas.draw()
