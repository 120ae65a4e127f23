import io
import math

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from drawn import half_width, intervals, lines, results
from ratereg import plots
from ratereg.claims import paper_points
from ratereg.plots.grid import labeled, model_colors

FIGURES = [
    plots.rate_distortion,
    plots.information,
    plots.trajectory,
    plots.training_paths,
    plots.training_parts,
    plots.saturation,
]


def of(result, **where):
    rows = result.table
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows


def test_each_curve_has_the_means_over_seeds_of_its_panel_model_and_partition():
    made = results()
    fig = plots.rate_distortion(made)
    assert [panel.get_title() for panel in fig.axes] == [
        "checkerboard, 81,920 training images",
        "random subset, 16,384 training images",
    ]
    for panel, split in zip(fig.axes, ("checkerboard", "cv"), strict=True):
        assert len(lines(panel)) == 4
        for (model, partition), rows in of(made, split=split, step=100).groupby(["architecture", "partition"]):
            curve = rows.groupby("beta")[["rate", "distortion"]].mean().sort_index(ascending=False)
            shown = lines(panel)[f"{model}, {plots.style.WORDS[partition]}"]
            assert shown == pytest.approx(curve.to_numpy())


def test_intervals_of_rate_lie_across_and_those_of_distortion_upwards():
    def numbers(measure, panel, model, beta, seed, partition, step):
        return {"rate": 20 + seed, "distortion": 80 + 5 * seed**2}.get(measure, 1.0) + (partition == "test")

    panel = plots.rate_distortion(results(numbers, betas=(1,)), partitions=("test",)).axes[0]
    across, upwards = intervals(panel, plots.NETWORKS[1])
    rate, distortion = 22, 81 + 25 / 3
    assert across[:, 0] == pytest.approx([rate - half_width([0, 1, 2]), rate + half_width([0, 1, 2])], abs=1e-4)
    assert across[:, 1] == pytest.approx([distortion] * 2)
    assert upwards[:, 0] == pytest.approx([rate] * 2)
    ends = half_width([0, 5, 20])
    assert upwards[:, 1] == pytest.approx([distortion - ends, distortion + ends], abs=1e-3)


def test_the_figures_table_has_the_numbers_that_are_drawn():
    made = results()
    table = plots.figure_data(plots.rate_distortion(made))
    row = table.query(
        "panel.str.startswith('random') and series == '3 hidden layers' and partition == 'test' and beta == 0.1"
    )
    values = of(made, split="cv", layers=3, partition="test", beta=0.1, step=100)[["rate", "distortion"]]
    assert row[["rate", "distortion"]].to_numpy() == pytest.approx(values.mean().to_numpy()[None])
    for name in values:
        assert row[f"{name}_high"].item() - row[name].item() == pytest.approx(half_width(values[name]), abs=1e-5)
        assert row[name].item() - row[f"{name}_low"].item() == pytest.approx(half_width(values[name]), abs=1e-5)


def test_only_the_partitions_asked_for_are_drawn():
    assert list(lines(plots.rate_distortion(results(), partitions=("test",)).axes[0])) == [
        "1 hidden layer, test images",
        "3 hidden layers, test images",
    ]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda made: plots.rate_distortion(made, partitions=("validation",)), "partitions is .* give some of 'train'"),
        (lambda made: plots.rate_distortion(made, partitions=()), r"partitions is \(\)"),
        (
            lambda made: plots.trajectory(made, measure="elbow"),
            "measure is 'elbow' and partition 'test'; give",
        ),
        (lambda made: plots.trajectory(made, partition="fresh"), "partition 'fresh'; give"),
        (lambda made: plots.reconstructions(made, images=0), "images is 0"),
        (plots.information_ceiling, "no fresh images"),
        (plots.distance_distortion, "no distances"),
    ],
)
def test_an_argument_or_results_that_a_figure_cannot_show_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(results())


def test_the_papers_points_are_hollow_and_named_in_the_legend():
    paper = paper_points()
    fig = plots.rate_distortion(results(), paper=paper)
    star = paper.query("depth == 3 and partition == 'test' and star == 1")[["rate", "distortion"]].to_numpy()
    found = [line for line in fig.axes[0].lines if np.array_equal(np.column_stack(line.get_data()), star)]
    assert [(line.get_marker(), to_hex(line.get_markerfacecolor())) for line in found] == [("*", "#ffffff")]
    assert any("paper" in text.get_text() for text in fig.legends[0].get_texts())


def test_beta_1_is_starred_and_betas_are_written_along_the_test_curve():
    panel = plots.rate_distortion(results(betas=(2, 1, 0.9, 0.1, 0)), partitions=("test",)).axes[0]
    assert sum(line.get_marker() == "*" and len(line.get_xdata()) == 1 for line in panel.lines) == 2
    # 0.9 would be written over 1.
    assert [text.get_text() for text in panel.texts] == ["2", "1", "0.1", "0"] * 2


def test_an_interval_longer_than_the_figure_does_not_stretch_it():
    def numbers(measure, panel, model, beta, seed, partition, step):
        return 80 + 5 * seed + beta

    low, high = plots.rate_distortion(results(numbers, seeds=2, betas=(5, 1))).axes[0].get_ylim()
    assert 75 < low < 81 < 90 < high < 95


def test_a_rate_of_zero_and_beta_zero_have_marked_places_on_logarithmic_axes():
    def collapsed(measure, panel, model, beta, seed, partition, step):
        return 0.0 if beta == 5 and measure == "rate" else 10.0 / (1 + beta)

    made = results(collapsed, betas=(5, 1, 0.1, 0), seeds=1)
    figures = (plots.rate_distortion, 5), (plots.information, 0.1), (plots.saturation, 0.1)
    for draw, smallest in figures:
        panel = draw(made).axes[0]
        low, high = sorted(panel.get_xlim())
        assert low < 0 < high
        assert 0 in panel.get_xticks()
        # It lies apart from the smallest value above it, by more than a tenth of the axis.
        places = panel.transAxes.inverted().transform(panel.transData.transform([[0, 1], [smallest, 1]]))
        assert abs(np.diff(places[:, 0])) > 0.1
    assert plots.rate_distortion(results()).axes[0].get_xscale() == "log"


def test_models_that_differ_in_any_column_have_labels_and_colors_of_their_own():
    priors = ("gaussian", "mixture of 100", "anything new")
    made = results(models=("any network",) * 3, prior=priors)
    panel = plots.rate_distortion(made, partitions=("test",)).axes[0]
    assert list(lines(panel)) == [f"any network, prior {name}, test images" for name in priors]
    assert len({line.get_color() for line in panel.lines if line.get_label() in lines(panel)}) == 3


def test_a_model_has_the_color_of_its_depth_whatever_else_is_drawn():
    assert model_colors(labeled(results().final)) == {
        name: plots.NETWORKS[k] for name, k in (("1 hidden layer", 1), ("3 hidden layers", 3))
    }
    assert model_colors(labeled(results(models=("3 hidden layers",)).final)) == {"3 hidden layers": plots.NETWORKS[3]}


def test_information_has_the_parts_of_the_rate_with_intervals_and_their_ceiling():
    made = results()
    fig = plots.information(made)
    assert len(fig.axes) == 4
    panel = fig.axes[3]
    assert panel.get_title() == "3 hidden layers\nrandom subset, 16,384"
    assert lines(panel)["ceiling"][:, 1] == pytest.approx([math.log(16_384)] * 2)
    assert panel.get_xlim()[0] > panel.get_xlim()[1]
    for measure, color in plots.MEASURES.items():
        by_beta = of(made, split="cv", layers=3, partition="train", step=100).groupby("beta")[measure]
        shown = lines(panel)[measure.replace("_", " ").replace("kl", "KL")]
        assert shown == pytest.approx(by_beta.mean().reset_index().to_numpy())
        ends = [[[beta, v.mean() + side * half_width(v)] for side in (-1, 1)] for beta, v in by_beta]
        assert intervals(panel, color) == pytest.approx(np.array(ends), abs=1e-4)


def test_a_trajectory_has_one_line_for_each_beta():
    made = results()
    panel = plots.trajectory(made, measure="marginal_kl", partition="train").axes[1]
    assert len(lines(panel)) == 6
    path = of(made, split="checkerboard", layers=3, partition="train", beta=0.3).groupby("step")["marginal_kl"].mean()
    assert lines(panel)[r"$\beta$ = 0.3"] == pytest.approx(path.reset_index().to_numpy())


@pytest.mark.parametrize("channels", [3, 1])
def test_reconstructions_stand_beside_their_originals_from_large_to_small_beta(channels):
    made = results(seeds=2, channels=channels)
    fig = plots.reconstructions(made, images=3)
    canvas = fig.axes[2].images[0].get_array()
    members = of(made, split="cv", layers=1, seed=0, partition="test", step=100).set_index("beta")["member"]
    side = 8 + 2
    assert canvas.shape == (3 * side - 2, 7 * side - 2, 3)
    expected = [made.arrays["test_originals"][1]]
    expected += [made.arrays["test_reconstructions"][members[beta]] for beta in (5, 1, 0.3, 0.1, 0.01, 0.001)]
    for column, images in enumerate(expected):
        for row in range(3):
            cell = canvas[row * side : row * side + 8, column * side : column * side + 8]
            assert np.array_equal(cell, np.broadcast_to(images[row].transpose(1, 2, 0), cell.shape))


@pytest.mark.parametrize("count", [1, 2, 5, 7, 12])
def test_the_betas_that_the_book_compares_are_among_those_shown(count):
    betas = (1, 0.1, 5, 0.001, 3, 0.3, 2, 0.7, 0.5, 0.03, 0.01, 0.003)[:count]
    fig = plots.reconstructions(results(betas=betas, seeds=1))
    shown = [float(label.get_text().rpartition(" ")[2]) for label in fig.axes[0].get_xticklabels()[1:]]
    assert len(shown) == min(7, count)
    assert set(betas[:4]) <= set(shown)
    assert shown == sorted(shown, reverse=True)


def test_networks_of_one_depth_and_width_are_refused_in_a_figure_along_width():
    with pytest.raises(ValueError, match=r"prior gaussian; .* networks that differ in depth and width only"):
        plots.distortion_by_width(results(models=("a", "a"), prior=("gaussian", "another")))


def test_distortion_along_width_joins_networks_of_one_depth():
    made = results(models=("a", "b", "c"), layers=(1, 1, 2), width=(64, 512, 64), betas=(1, 0.1))
    fig = plots.distortion_by_width(made)
    assert fig.axes[3].get_title() == "random subset, 16,384\n$\\beta$ = 0.1"
    means = of(made, split="cv", beta=0.1, layers=1, partition="test", step=100).groupby("width")["distortion"].mean()
    assert lines(fig.axes[3])["1 hidden layer, test images"] == pytest.approx(means.reset_index().to_numpy())


@pytest.mark.parametrize("draw", FIGURES)
def test_a_single_seed_beta_and_model_and_members_that_diverged_can_be_drawn(draw):
    draw(results(seeds=1, betas=(1,), models=("1 hidden layer",))).savefig(io.BytesIO(), format="svg")
    diverged = results(lambda measure, *place: math.nan if place[2] == 1 else 3.0, betas=(1, 0.1))
    draw(diverged).savefig(io.BytesIO(), format="svg")


@pytest.mark.parametrize("draw", [*FIGURES, plots.reconstructions])
def test_figures_are_closed_opaque_and_the_same_every_time(draw):
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        fig = draw(results(data={"cv": 16_384}, betas=(1, 0.1)))
        with plt.style.context(plots.STYLE):
            fig.savefig(file, format="svg", metadata={"Date": None})
    assert plt.get_fignums() == []
    assert to_hex(fig.get_facecolor()) == "#ffffff"
    assert files[0].getvalue() == files[1].getvalue()


def test_the_renderer_draws_any_step_into_any_panel_and_returns_its_means():
    made = results(data={"cv": 16_384})
    fig, panel = plt.subplots()
    table = plots.draw_rate_distortion(panel, of(made, step=10), numbers=False)
    plt.close(fig)
    means = of(made, step=10, layers=1, partition="test").groupby("beta")[["rate", "distortion"]].mean()
    shown = table[(table["series"] == "1 hidden layer") & (table["partition"] == "test")].set_index("beta").sort_index()
    assert shown[["rate", "distortion"]].to_numpy() == pytest.approx(means.to_numpy())
    assert lines(panel)["1 hidden layer, test images"] == pytest.approx(means.to_numpy()[::-1])
    assert not panel.texts


@pytest.fixture(scope="module")
def trained():
    return results(data={"cv": 16_384}, betas=(1, 0.1), steps=(1, 10, 100, 1000))


def test_a_path_is_that_of_the_means_over_seeds_in_the_order_of_steps(trained):
    fig = plots.training_paths(trained)
    assert [panel.get_title().split("\n")[0] for panel in fig.axes] == ["1 hidden layer", "3 hidden layers"]
    for (layers, beta, partition), rows in trained.table.groupby(["layers", "beta", "partition"]):
        path = rows.groupby("step")[["rate", "distortion"]].mean().sort_index().to_numpy()
        panel = fig.axes[(1, 3).index(layers)]
        assert lines(panel)[rf"$\beta$ = {beta:g}, {plots.style.WORDS[partition]}"] == pytest.approx(path)
        # Both ends are marked: the first hollow, the last edged in black.
        for end, face, edge in ((path[0], "#ffffff", None), (path[-1], None, "#000000")):
            (mark,) = (line for line in panel.lines if np.allclose(np.column_stack(line.get_data()), [end]))
            assert mark.get_marker() == plots.MARKERS[partition]
            assert face in (None, to_hex(mark.get_markerfacecolor()))
            assert edge in (None, to_hex(mark.get_markeredgecolor()))


def test_each_setting_has_a_row_with_the_parts_of_its_rate_and_the_gap(trained):
    fig = plots.training_parts(trained)
    assert len(fig.axes) == 6
    rows = trained.table.query("layers == 3 and beta == 0.1")
    sides = {name: side.set_index(["seed", "step"]) for name, side in rows.groupby("partition")}
    gap = sides["test"]["distortion"] - sides["train"]["distortion"]
    expected = [sides["train"]["mutual_information"], sides["train"]["marginal_kl"], gap]
    for panel, values in zip(fig.axes[3:], expected, strict=True):
        means = values.groupby("step").mean().reset_index().to_numpy()
        assert lines(panel)[r"$\beta$ = 0.1"] == pytest.approx(means)


def test_the_ceiling_is_the_log_of_the_images_measured_at_that_step(trained):
    ceiling = trained.table.query("layers == 1 and partition == 'train'").groupby("step")["log_n"].first()
    assert ceiling.nunique() == 2
    shown = lines(plots.training_parts(trained).axes[0])["ceiling"]
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
