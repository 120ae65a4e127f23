"""The data and the words that a figure carries, against figures of which both are known."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot as plt
from traitlets.config import Config

from ratereg import plots
from ratereg.plots.data import figure_data, panels, plain
from ratereg.plots.style import COLORS, FIGURE, interval
from ratereg.plots.words import describe, smallest_letters


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def two_panels():
    fig, (left, right) = plt.subplots(1, 2, sharey=True)
    left.plot([1, 10, 100], [9, 5, 1], "o-", label="test images")
    left.plot([1, 10, 100], [1, 2, 3], "--", color="C1", label="training images")
    left.axhline(2, label=r"ceiling $\log N$")
    left.axhline(0)
    left.set(title="a\nfirst", xlabel=r"$\beta$", ylabel="distortion (nats)", xscale="log")
    right.bar([0, 1], [5, 6], label="rate")
    right.set_xticks([0, 1], ["one", r"$\beta$ = 2"])
    right.set(title="second")
    return fig


def rows(data, **where):
    for name, value in where.items():
        data = data[data[name] == value]
    return data


def test_lines_and_bars_are_read_with_their_panel_axes_and_names():
    data = figure_data(two_panels())
    test = rows(data, series="test images")
    assert test[["x", "y"]].to_numpy().tolist() == [[1, 9], [10, 5], [100, 1]]
    assert set(test["panel"]) == {"a, first"}
    assert set(test["x_axis"]) == {"beta"}
    assert set(test["kind"]) == {"line"}
    bars = rows(data, kind="bar")
    assert bars[["x", "y", "panel"]].to_numpy().tolist() == [["one", 5, "second"], ["beta = 2", 6, "second"]]
    # The vertical axis is shared, and so is its label.
    assert set(data["y_axis"]) == {"distortion (nats)"}


def test_a_labelled_level_is_data_and_a_line_for_the_eye_is_not():
    levels = rows(figure_data(two_panels()), kind="level")
    assert levels[["series", "y"]].to_numpy().tolist() == [["ceiling log N", 2]]


def test_error_bars_and_bands_become_low_and_high():
    fig, panel = plt.subplots()
    panel.errorbar([1, 2], [5.0, 6.0], [0.5, 1.0], fmt="o", label="estimate")
    panel.fill_between([1, 2], [0, 1], [2, 4], label="range")
    data = figure_data(fig)
    assert rows(data, series="estimate")[["low", "high"]].to_numpy().tolist() == [[4.5, 5.5], [5, 7]]
    assert rows(data, series="range")[["x", "low", "high"]].to_numpy().tolist() == [[1, 0, 2], [2, 1, 4]]


def test_what_is_carried_is_a_column_and_not_a_second_series():
    fig, panel = plt.subplots()
    (line,) = panel.plot([1, 2], [3, 4], label="mean")
    markers = panel.plot([1, 2], [3, 4], "o")
    plots.carry(line, *markers, beta=[5.0, 0.1], low=[2, 3], high=[4, 5])
    interval(panel, [1, 1], [2, 4])
    data = figure_data(fig)
    assert data["series"].tolist() == ["mean", "mean"]
    assert data[["low", "high", "beta"]].to_numpy().tolist() == [[2, 4, 5.0], [3, 5, 0.1]]


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_a_map_has_each_cells_place_and_value_and_a_photograph_is_left_out(origin):
    fig, (left, right) = plt.subplots(1, 2)
    left.imshow(np.arange(6.0).reshape(2, 3), extent=(0, 3, 0, 2), origin=origin)
    right.imshow(np.zeros((4, 4, 3), dtype=np.uint8))
    data = figure_data(fig)
    height = 1.5 if origin == "upper" else 0.5
    assert data[["x", "y", "value"]].to_numpy().tolist()[:3] == [[0.5, height, 0], [1.5, height, 1], [2.5, height, 2]]
    assert len(data) == 6


def test_a_mesh_is_a_map_and_its_color_bar_is_no_panel():
    fig, panel = plt.subplots()
    fig.colorbar(panel.pcolormesh([0.0, 1.0, 2.0], [0.0, 2.0], [[7.0, 8.0]]))
    assert len(panels(fig)) == 1
    assert figure_data(fig)[["x", "y", "value"]].to_numpy().tolist() == [[0.5, 1, 7], [1.5, 1, 8]]


def test_a_long_series_is_thinned_and_says_so():
    fig, panel = plt.subplots()
    panel.plot(np.arange(10_000), np.arange(10_000), label="long")
    data = figure_data(fig)
    assert len(data) == 2500
    assert set(data["kind"]) == {"line, every 4th"}
    assert (data["x"].diff().dropna() == 4).all()


def test_an_unlabelled_line_has_the_name_that_the_legend_gives_its_color():
    fig, panel = plt.subplots()
    panel.plot([0, 1], [0, 1], color="C2")
    fig.legend(handles=[plots.style.key(color="C2", label=r"$\beta$ = 1"), plots.style.key(color="C3", label="other")])
    assert set(figure_data(fig)["series"]) == {"beta = 1"}


def test_labels_are_read_without_mathematical_notation():
    assert plain("$\\beta$ = 0.1") == "beta = 0.1"
    assert plain("ceiling\n$\\log N$") == "ceiling log N"
    assert plain(r"$\log q(z)$, $z_{1}$") == "log q(z), z_1"


def test_the_rate_distortion_figures_data_are_the_means_over_seeds(make_results):
    results = make_results(lambda seed, layers, beta, partition, **_: 70 + 10 * layers * beta + seed + len(partition))
    data = figure_data(plots.rate_distortion(results))
    mine = rows(data, series="3 hidden layers, test images", panel="random subset, 16,384 training images")
    theirs = results.final.query("split == 'cv' and layers == 3 and partition == 'test'").groupby("beta")
    expected = theirs[["rate", "distortion"]].mean()
    pd.testing.assert_frame_equal(
        mine.set_index("beta")[["x", "y"]].astype(float).sort_index(),
        expected.rename(columns={"rate": "x", "distortion": "y"}),
        check_names=False,
    )
    assert ((mine["low"] < mine["y"]) & (mine["y"] < mine["high"])).all()
    seeds = rows(data, series="3 hidden layers, test images, seeds", panel="random subset, 16,384 training images")
    assert set(seeds["seed"]) == {0, 1, 2}


@pytest.mark.parametrize("draw", [plots.rate_distortion, plots.information, plots.trajectory])
def test_each_series_of_a_figure_of_ours_has_a_name(make_results, draw):
    data = figure_data(draw(make_results()))
    assert len(data)
    assert (data["series"] != "").all()
    assert (data[["x_axis", "y_axis"]] != "").all(axis=None)


def test_a_figure_of_pictures_has_no_data_and_says_that_it_shows_pictures(make_results):
    fig = plots.reconstructions(make_results())
    assert figure_data(fig).empty
    assert describe(fig) == "4 panels. Pictures, without axes."


def test_a_description_says_panels_axes_and_where_each_curve_goes():
    assert describe(two_panels()) == (
        "2 panels: a, first; second. Across: beta, one; beta = 2. Upwards: distortion (nats), from 1 to 9. "
        "From left to right: test images: falls, 9 to 1; training images: rises, 1 to 3. "
        "A line of ceiling log N at 2; rate: 2 bars, 5 to 6."
    )


@pytest.mark.parametrize(
    ("y", "way"),
    [
        ([0, 1, 2], "rises, 0 to 2"),
        ([2, 1, 0], "falls, 2 to 0"),
        ([2, 0, 2], "falls and then rises, 2 to 2"),
        ([0, 2, 0], "rises and then falls, 0 to 0"),
        ([1, 1, 1], "stays level, 1 to 1"),
        ([1, 0, 2, 1], "goes up and down, 1 to 1"),
    ],
)
def test_a_curve_goes_as_it_is_seen_from_left_to_right(y, way):
    fig, panel = plt.subplots()
    panel.plot(range(len(y)), y, label="curve")
    panel.set_ylim(-1, 3)
    assert f"From left to right: curve: {way}." in describe(fig)
    panel.invert_xaxis()
    mirrored = {"rises": "falls", "falls": "rises"}.get(way.split(",")[0], way.split(",")[0])
    assert f"From left to right: curve: {mirrored}" in describe(fig)


def test_of_many_curves_it_is_counted_how_they_go_and_exceptions_are_named():
    fig, panel = plt.subplots()
    for k in range(8):
        panel.plot([0, 1], [0, 1 + k], label=f"curve {k}")
    assert "all 8 curves rise." in describe(fig)
    panel.plot([0, 1], [8, 0], label="the odd one")
    assert "of 9 curves 8 rise, 1 falls (the odd one)." in describe(fig)


def test_the_smallest_letters_are_found_in_subscripts_too():
    fig, panel = plt.subplots()
    panel.set_xlabel("a label", fontsize=8)
    assert smallest_letters(fig) == pytest.approx(8)
    panel.set_ylabel("$z_1$", fontsize=10)
    assert smallest_letters(fig) == pytest.approx(7)


def test_a_notebook_keeps_a_figures_picture_data_and_description():
    with matplotlib.rc_context():
        shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        try:
            plots.use_style()
            kept, _ = shell.display_formatter.format(two_panels())
            pictures, _ = shell.display_formatter.format(plots.style.finished(plt.figure()))
        finally:
            InteractiveShell.clear_instance()
    assert "<svg" in kept["image/svg+xml"]
    assert "image/png" not in kept
    assert kept[FIGURE]["description"].startswith("2 panels: a, first; second.")
    read = pd.read_csv(io.StringIO(kept["text/csv"]))
    assert rows(read, series="training images")["y"].tolist() == [1, 2, 3]
    assert "text/csv" not in pictures


# Machado, Oliveira and Fernandes (2009): what a person sees who lacks one kind of cone, of linear RGB.
CONES = {
    "all": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(color):
    rgb = np.array(matplotlib.colors.to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """From linear RGB to CIE L*a*b* under D65."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = matrix @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


PALETTES = {
    "networks": list(plots.NETWORKS.values()),
    "parts of the rate": list(plots.MEASURES.values()),
    "training and test": list(plots.PARTITIONS.values()),
    "cycle": COLORS[:4],
}


@pytest.mark.parametrize("eyes", CONES)
@pytest.mark.parametrize("name", PALETTES)
def test_colors_that_stand_side_by_side_are_told_apart_by_all_eyes(name, eyes):
    seen = [lab(np.array(CONES[eyes]) @ linear(color)) for color in PALETTES[name]]
    apart = [np.linalg.norm(one - other) for index, one in enumerate(seen) for other in seen[:index]]
    # A difference of 2 can be seen side by side; this is many times that, and markers or words help.
    assert min(apart) > 15


def test_a_color_has_one_meaning_and_stands_out_from_white():
    colors = [*plots.NETWORKS.values(), *plots.MEASURES.values(), *plots.PARTITIONS.values()]
    assert len(set(colors)) == len(colors)
    assert not set(colors) & set(COLORS)
    for color in colors:
        luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(color)
        assert 1.05 / (luminance + 0.05) >= 3, color


def test_a_network_has_the_color_of_its_depth_in_every_figure(make_results):
    fig = plots.rate_distortion(make_results(layers=(3, 1)))
    colors = {line.get_label(): line.get_color() for line in fig.axes[0].lines}
    assert colors["1 hidden layer, test images"] == plots.NETWORKS[1]
    assert colors["3 hidden layers, training images"] == plots.NETWORKS[3]


@pytest.mark.parametrize("columns", [2, 3, 5, 7, 20])
def test_the_betas_that_the_book_compares_are_among_those_shown(make_results, columns):
    betas = (5, 3, 2, 1, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    fig = plots.reconstructions(make_results(betas=betas, seeds=1), columns=columns)
    shown = [plain(label.get_text()) for label in fig.axes[0].get_xticklabels()][1:]
    assert len(shown) == min(columns, len(betas))
    assert {"beta = 1", "beta = 0.1"} <= set(shown)
    assert shown == sorted(shown, key=lambda word: -float(word.removeprefix("beta = ")))
    if columns > 3:
        assert {"beta = 5", "beta = 0.001"} <= set(shown)


def test_what_is_given_as_tensors_is_read_as_numbers_and_an_empty_band_is_none():
    fig, panel = plt.subplots()
    panel.axhline(torch.tensor(2.0), label="level")
    panel.axhspan(torch.tensor(1.0), torch.tensor(3.0), label="span")
    panel.fill_between([1, 2], [np.nan, np.nan], [np.nan, np.nan], label="nothing")
    data = figure_data(fig)
    assert rows(data, series="level")["y"].tolist() == [2]
    assert rows(data, series="span")[["low", "high"]].to_numpy().tolist() == [[1, 3]]
    assert set(data["series"]) == {"level", "span"}
    assert "level at 2" in describe(fig)
