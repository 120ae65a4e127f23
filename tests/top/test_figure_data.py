"""The table and the words that a figure carries, against figures of which both are known; and colors and axes."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot as plt
from traitlets.config import Config

from drawn import results
from ratereg import plots
from ratereg.plots.data import FIGURE, description, in_words, plain, smallest_letters
from ratereg.plots.style import COLORS, interval, log_axis


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def two_panels():
    fig, (left, right) = plt.subplots(1, 2)
    left.plot([1, 10, 100], [9, 5, 1], "o-", label="test images")
    left.plot([1, 10], [7, 8], "--", label=r"_$\beta$ = 2")
    left.axhline(2, label=r"ceiling $\log N$")
    left.axhline(0)
    interval(left, [1, 1], [0, 3])
    left.set(title="a\nfirst", xlabel=r"$\beta$", ylabel="distortion (nats)")
    right.errorbar([3, 4], [5.0, 6.0], [0.5, 1.0], fmt="o", label="estimate")
    return fig


def test_a_table_that_is_attached_is_the_figures_data():
    table = pd.DataFrame({"beta": [1.0], "rate": [20.0]})
    fig = plots.carry(two_panels(), table, "Words.")
    assert plots.figure_data(fig) is table
    assert description(fig) == "Words."


def test_of_other_figures_lines_and_levels_are_read_with_their_names():
    table = plots.figure_data(two_panels())
    shown = {name: rows[["x", "y"]].to_numpy().tolist() for name, rows in table.fillna(-1).groupby("series")}
    assert shown == {
        "test images": [[1, 9], [10, 5], [100, 1]],
        "beta = 2": [[1, 7], [10, 8]],
        "ceiling log N": [[-1, 2]],
        "estimate": [[3, 5], [4, 6]],
    }
    first = table[table["series"] == "test images"].iloc[0]
    assert first[["panel", "x_axis", "y_axis"]].tolist() == ["a first", "beta", "distortion (nats)"]
    assert set(table.loc[table["series"] == "estimate", "panel"]) == {"2"}
    assert description(two_panels()) == ""


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_a_map_has_each_cells_place_and_value_and_a_photograph_is_left_out(origin):
    fig, (left, right) = plt.subplots(1, 2)
    mapped = left.imshow(np.arange(6.0).reshape(2, 3), extent=(0, 3, 0, 2), origin=origin)
    fig.colorbar(mapped)
    right.imshow(np.zeros((4, 4, 3), dtype=np.uint8))
    height = 1.5 if origin == "upper" else 0.5
    table = plots.figure_data(fig)[["x", "y", "value"]]
    assert table.to_numpy().tolist()[:3] == [[0.5, height, 0], [1.5, height, 1], [2.5, height, 2]]
    assert len(table) == 6


def test_a_long_series_is_thinned_evenly_and_a_figure_of_pictures_has_no_data():
    fig, panel = plt.subplots()
    panel.plot(np.arange(10_000), np.arange(10_000), label="long")
    assert plots.figure_data(fig)["x"].tolist() == list(range(0, 10_000, 4))
    assert plots.figure_data(plots.reconstructions(results())).empty


def test_words_give_both_ends_of_few_curves_and_the_range_of_many():
    table = pd.DataFrame({"panel": "p", "series": ["b", "a", "a"], "measure": "marginal_kl"})
    table = table.assign(beta=[1, 5, 0.1], value=[1234.567, 20.04, 7.0])
    assert (
        in_words(table, "beta")
        == "p, b: marginal KL is 1235 at beta = 1. p, a: marginal KL is 7 at beta = 0.1, and 20.04 at 5."
    )
    named = in_words(table.assign(width=64).iloc[:2], "width")
    assert named.endswith("p, a, beta = 5: marginal KL is 20.04 at width = 64.")
    many = pd.concat([table.assign(series=table["series"] + str(k)) for k in range(4)])
    assert in_words(many, "beta") == "8 curves, with values from 7 to 1235 nats."


@pytest.mark.parametrize(
    "draw", [plots.rate_distortion, plots.information, plots.trajectory, plots.training_paths, plots.training_parts]
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_each_figure_has_a_table_with_panels_and_series_and_words_without_mathematical_notation(draw, seeds):
    fig = draw(results(seeds=seeds, betas=(1, 0.1)))
    table = plots.figure_data(fig)
    assert set(table["series"]) == {"1 hidden layer", "3 hidden layers"}
    assert table["panel"].str.contains("16,384|81,920").all()
    assert not set(description(fig)) & set("$\\{}")
    assert any(character.isdigit() for character in description(fig))


def test_labels_are_read_without_mathematical_notation():
    assert plain("$\\beta$ = 0.1") == "beta = 0.1"
    assert plain("ceiling\n$\\log N$") == "ceiling log N"
    assert plain(r"$\mathrm{log} q(z)$, $z_{1}$") == "log q(z), z_1"


def test_the_smallest_letters_are_found_in_subscripts_too():
    fig, panel = plt.subplots()
    panel.set_xlabel("a label", fontsize=8)
    assert smallest_letters(fig) == pytest.approx(8)
    panel.set_ylabel("$z_1$", fontsize=10)
    assert smallest_letters(fig) == pytest.approx(7)


def test_a_notebook_keeps_a_figures_picture_table_and_description():
    with matplotlib.rc_context():
        shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        try:
            plots.use_style()
            kept, _ = shell.display_formatter.format(
                plots.carry(two_panels(), pd.DataFrame({"rate": [1 / 3]}), "Seen.")
            )
            pictures, _ = shell.display_formatter.format(plots.style.finished(plt.figure()))
        finally:
            InteractiveShell.clear_instance()
    assert "<svg" in kept["image/svg+xml"]
    assert "image/png" not in kept
    assert kept[FIGURE] == {"description": "Seen.", "letters": 10}
    assert pd.read_csv(io.StringIO(kept["text/csv"]))["rate"].tolist() == [0.333333]
    assert "text/csv" not in pictures


@pytest.mark.parametrize(
    ("values", "scale", "ticks"),
    [
        ([10, 200], "log", [10, 20, 50, 100, 200]),
        ([0.01, 5], "log", [0.01, 0.1, 1]),
        ([0, 0.02, 90], "symlog", [0, 0.1, 1, 10, 100]),
        ([1e-6, 0.02, 90], "symlog", [0, 0.1, 1, 10, 100]),
        ([0, 0, np.nan], "linear", None),
    ],
)
def test_a_logarithmic_axis_has_round_numbers_and_a_place_for_zero_only_where_it_is_needed(values, scale, ticks):
    _, panel = plt.subplots()
    panel.plot(values, values)
    log_axis(panel.xaxis, values, least=0.01)
    assert panel.get_xscale() == scale
    low, high = panel.get_xlim()
    if scale != "linear":
        assert [tick for tick in panel.get_xticks() if low <= tick <= high] == pytest.approx(ticks)


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
