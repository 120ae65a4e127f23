import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from ratereg import plots
from ratereg.claims import paper_points


def drawn(panel):
    return [np.column_stack([line.get_xdata(), line.get_ydata()]) for line in panel.lines]


def holds(panel, points):
    return any(one.shape == points.shape and np.allclose(one, points) for one in drawn(panel))


def test_every_data_set_and_split_has_a_panel_with_the_means_over_seeds(make_results):
    results = make_results(lambda seed, layers, beta, partition, **_: 70 + 10 * layers * beta + seed + len(partition))
    fig = plots.rate_distortion(results)
    assert [panel.get_title() for panel in fig.axes] == [
        "checkerboard, 81,920 training images",
        "random subset, 16,384 training images",
    ]
    of_subset = results.final[results.final["split"] == "cv"]
    for _, rows in of_subset.groupby(["layers", "partition"]):
        curve = rows.groupby("beta")[["rate", "distortion"]].mean().sort_index(ascending=False)
        assert holds(fig.axes[1], curve.to_numpy())


def test_partitions_that_are_not_asked_for_are_not_drawn(make_results):
    results = make_results(lambda partition, **_: 100.0 if partition == "test" else 50.0)
    fig = plots.rate_distortion(results, partitions=("test",))
    assert all((one[:, 1] == 100).all() for one in drawn(fig.axes[0]))


@pytest.mark.parametrize("partitions", [("validation",), ()])
def test_an_unknown_partition_or_none_is_refused(make_results, partitions):
    with pytest.raises(ValueError, match=r"partitions is .* give some of 'train' and 'test'"):
        plots.rate_distortion(make_results(), partitions=partitions)


def test_the_papers_points_are_hollow_and_said_to_be_the_papers(make_results):
    paper = paper_points()
    fig = plots.rate_distortion(make_results(), paper=paper)
    star = paper.query("depth == 3 and partition == 'test' and star == 1")[["rate", "distortion"]].to_numpy()
    found = [line for line in fig.axes[0].lines if np.array_equal(np.column_stack(line.get_data()), star)]
    assert [(line.get_marker(), to_hex(line.get_markerfacecolor())) for line in found] == [("*", "#ffffff")]
    assert any("paper" in text.get_text() for text in fig.legends[0].get_texts())


def test_beta_1_is_starred_and_betas_are_written_along_the_test_curve(make_results):
    results = make_results(betas=(2, 1, 0.9, 0.1))
    panel = plots.rate_distortion(results, partitions=("test",)).axes[0]
    assert sum(line.get_marker() == "*" and len(line.get_xdata()) == 1 for line in panel.lines) == 2
    # 0.9 would be written over 1.
    assert [text.get_text() for text in panel.texts] == ["2", "1", "0.1"] * 2


def test_an_interval_longer_than_the_figure_does_not_stretch_it(make_results):
    fig = plots.rate_distortion(make_results(lambda seed, beta, **_: 80 + 5 * seed + beta, seeds=2))
    low, high = fig.axes[0].get_ylim()
    assert 75 < low < 80 < 90 < high < 95


def test_one_seed_one_beta_and_a_floor_can_be_drawn(make_results):
    fig = plots.rate_distortion(make_results(seeds=1, betas=(1,), layers=(2,)), floor=49.8)
    fig.savefig(io.BytesIO(), format="svg")


def test_reconstructions_stand_beside_their_originals_from_large_to_small_beta(make_results):
    results = make_results(seeds=2)
    fig = plots.reconstructions(results, images=3, columns=4)
    canvas = fig.axes[2].images[0].get_array()
    members = results.final.query("split == 'cv' and layers == 1 and seed == 0 and partition == 'test'")
    by_beta = members.set_index("beta")["member"]
    side = 8 + 2
    assert canvas.shape == (3 * side - 2, 5 * side - 2, 3)
    expected = [results.arrays["test_originals"][1]]
    expected += [results.arrays["test_reconstructions"][by_beta[beta]] for beta in (5, 1, 0.1, 0.001)]
    for column, images in enumerate(expected):
        for row in range(3):
            cell = canvas[row * side : row * side + 8, column * side : column * side + 8]
            assert np.array_equal(cell, images[row].transpose(1, 2, 0))


def test_gray_images_are_drawn_gray(make_results):
    canvas = plots.reconstructions(make_results(channels=1)).axes[0].images[0].get_array()
    assert np.array_equal(canvas[..., 0], canvas[..., 2])


def test_information_shows_the_parts_of_the_rate_and_their_ceiling(make_results):
    results = make_results(seeds=2)
    fig = plots.information(results)
    assert len(fig.axes) == 4
    assert any((one[:, 1] == np.log(16_384)).all() for one in drawn(fig.axes[2]))
    rows = results.final.query("split == 'cv' and layers == 1 and partition == 'train'")
    means = rows.groupby("beta")["marginal_kl"].mean()
    assert holds(fig.axes[2], means.reset_index().to_numpy())


def test_a_trajectory_has_one_line_for_each_beta(make_results):
    results = make_results(lambda step, seed, **_: 100 - step / 10 + seed)
    fig = plots.trajectory(results)
    assert [len(panel.lines) for panel in fig.axes] == [6, 6, 6, 6]
    assert holds(fig.axes[0], np.array([[10, 100], [100, 91]]))


def test_figures_are_closed_opaque_and_the_same_every_time(make_results):
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        fig = plots.rate_distortion(make_results())
        with plt.style.context(plots.STYLE):
            fig.savefig(file, format="svg", metadata={"Date": None})
    assert plt.get_fignums() == []
    assert to_hex(fig.get_facecolor()) == "#ffffff"
    assert files[0].getvalue() == files[1].getvalue()
