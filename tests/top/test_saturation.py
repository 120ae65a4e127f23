import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import ratereg
from ratereg import Data, claims, plots, widgets
from ratereg.measurements import Annealed, FreshInformation
from ratereg.summary import SETTING, groups
from synthetic import synthetic

STUDY = ratereg.published("saturation", "cpu")
SIZES = [256, 1024, 4096, 16_384, 65_536, 163_840]
NOISE = (0.0, 0.3, -0.2)


def informative(beta, seed, **_):
    """A rate of which nine tenths are information: 5 nats at beta = 5, 9 at 1, 15 at 0.1, and 30 at 0.01."""
    return {5: 5, 1: 9, 0.1: 15, 0.01: 30}[beta] / 0.9 + 0.01 * NOISE[seed]


def by_setting(results):
    return {rows["n_train"].iloc[0]: claims.saturated(rows) for rows in groups(results.final, SETTING)}


def test_the_saturated_betas_are_those_within_the_threshold_of_the_ceiling():
    # log 256 = 5.55 and log 81,920 = 11.31
    assert by_setting(synthetic(STUDY, rate=informative)) == {256: [1, 0.1, 0.01], 81_920: [0.1, 0.01]}
    missing = {5: 0.06, 1: 0.04, 0.1: 0.06, 0.01: 0.04}
    nearly = synthetic(STUDY, rate=lambda beta, **_: (math.log(256) - missing[beta]) / 0.9)
    assert by_setting(nearly)[256] == [1, 0.01]
    assert by_setting(nearly)[81_920] == []


def test_saturation_is_that_of_the_mean_over_seeds():
    results = synthetic(STUDY, rate=lambda seed, **_: (math.log(256) - 0.04 - 0.03 * (seed == 1)) / 0.9)
    below = claims.below_ceiling(results.final.query("n_train == 256"))
    assert list(below.index) == [5, 1, 0.1, 0.01]
    assert below.to_numpy() == pytest.approx(0.05, abs=1e-9)
    assert below.to_numpy() != pytest.approx(0.04)


def test_saturation_is_described_with_what_is_missing_to_the_ceiling():
    first, second = claims.describe_saturation(synthetic(STUDY, rate=informative)).splitlines()
    assert "random halves, 256 training images" in first
    assert "the ceiling is 5.55 nats, and it is reached at β = 1, 0.1, 0.01 (0.54 nats below it at β = 5)." in first
    assert "reached at β = 0.1, 0.01 (6.31 nats below it at β = 5; 2.31 nats below it at β = 1)." in second
    assert "reached at no β" in claims.describe_saturation(synthetic(STUDY, rate=lambda **_: 1.0))


def test_after_saturation_smaller_betas_are_compared_with_the_largest_saturated_one():
    def distortion(beta, seed, partition, **_):
        return 70 + 10 * beta + seed + (partition == "test") * (1 + beta) * NOISE[seed]

    results = synthetic(STUDY, distortion, informative, bound_gap=lambda beta, **_: 3 * beta)
    after = claims.after_saturation(results)
    pairs = {(256, 1, 0.1), (256, 1, 0.01), (81_920, 0.1, 0.01)}
    assert set(zip(after["n_train"], after["from"], after["to"], strict=True)) == pairs
    one = after[(after["n_train"] == 256) & (after["to"] == 0.1)].set_index("measure")["difference"].to_dict()
    change = -9 - 0.9 * np.mean(NOISE)
    assert one == pytest.approx(
        {
            # All of the rate's growth: the information is log 256 at both.
            "training marginal KL": (15 - 9) / 0.9,
            "training distortion": -9,
            "test distortion": change,
            "train–test gap of distortion": -0.9 * np.mean(NOISE),
            # The bound is 3 beta - distortion - rate.
            "test annealed bound on −log p(x)": change + 6 / 0.9 + 3 * 0.9,
        },
        abs=1e-6,
    )
    table = claims.contrast_table(after)
    place = ("random halves, 81,920", STUDY.axis_networks[0].label, "training distortion")
    assert table.loc[place].to_dict() == {
        "0.1 against 1": "",
        "0.01 against 1": "",
        "0.01 against 0.1": "−0.9 (−0.9\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}−0.9)",
    }


def test_after_saturation_there_is_nothing_where_there_is_no_smaller_beta():
    assert claims.after_saturation(synthetic(STUDY, rate=lambda **_: 1.0)).empty
    assert claims.after_saturation(synthetic(STUDY.replace(betas=0.01), rate=informative)).empty


def test_a_likelihood_that_was_not_measured_is_not_compared():
    after = claims.after_saturation(synthetic(STUDY.without(Annealed), rate=informative))
    assert after["measure"].nunique() == 4


def test_the_populations_information_is_placed_by_its_bounds():
    # The regression's bound is 0.6 of the rate, the fitted density's 0.9, and the fresh images' own information at most
    # log 163,840 = 12.01.
    table = claims.ceiling_table(synthetic(STUDY, rate=informative)).set_index(["n_train", "beta"])
    assert len(table) == 8
    assert table["place"].to_dict() == {
        (256, 5): "short of log N",
        (256, 1): "beyond log N",
        (256, 0.1): "beyond log N",
        (256, 0.01): "beyond log N",
        (81_920, 5): "short of log N",
        (81_920, 1): "short of log N",
        (81_920, 0.1): "beyond log N",
        (81_920, 0.01): "beyond log N",
    }
    assert table.loc[(256, 1), "below"] == pytest.approx(9, abs=0.01)
    assert table.loc[(256, 0.01), "below"] == pytest.approx(20, abs=0.01)
    assert table.loc[(256, 0.01), "above"] == pytest.approx(30, abs=0.01)
    # 0.6 and 0.9 of the rate's spread over seeds
    spread = 4.302653 * 0.01 * np.std(NOISE, ddof=1) / math.sqrt(3)
    ends = table.loc[(256, 0.01), ["below", "below_low", "above", "above_high"]].to_numpy(dtype=float)
    assert (ends[0] - ends[1], ends[3] - ends[2]) == pytest.approx((0.6 * spread, 0.9 * spread), rel=1e-5)
    assert table["fresh_reaches"].to_dict() == {
        key: {5: 0, 1: 4096, 0.1: 163_840, 0.01: 163_840}[key[1]] for key in table.index
    }
    assert table.loc[(256, 1), "last_gain"] == pytest.approx(0, abs=0.01)
    assert table.loc[(256, 0.1), "last_gain"] == pytest.approx(math.log(2.5))
    assert table["last_rise"].to_numpy() == pytest.approx(math.log(2.5))
    assert (table["m"] == 163_840).all()
    assert table["log_m"].to_numpy() == pytest.approx(math.log(163_840))


def test_bounds_on_both_sides_of_the_ceiling_are_undecided_and_few_seeds_not_enough():
    # 10 nats from below and 15 from above; log 32,768 = 10.4.
    study = STUDY.replace(data=Data("tetrominoes", n_train=32_768)).measuring(FreshInformation(images=1024))
    between = claims.ceiling_table(synthetic(study, rate=informative)).set_index("beta")
    assert between.loc[0.1, "place"] == "undecided"
    few = claims.ceiling_table(synthetic(STUDY.replace(seeds=2), rate=informative))
    assert set(few["place"]) == {"not enough data"}
    single = claims.ceiling_table(synthetic(STUDY.measuring(FreshInformation(images=256)), rate=informative))
    assert single["last_gain"].isna().all()


def test_the_training_size_is_contrasted_where_the_ceiling_is_one():
    def rate(n_train, beta, seed, **_):
        return (10 if n_train == 256 else 8) / 0.9 + NOISE[seed] * (n_train == 256)

    results = synthetic(STUDY, rate=rate)
    table = claims.contrast(results, "mutual_information", "fresh", along="n_train")
    assert len(table) == 4
    assert table["difference"].to_numpy() == pytest.approx(-2 - 0.9 * np.mean(NOISE))
    assert (table["from"].iloc[0], table["to"].iloc[0]) == (256, 81_920)
    on_training = claims.contrast(results, "mutual_information", "train", along="n_train")["difference"]
    assert on_training.to_numpy() == pytest.approx(8 - math.log(256))
    text = claims.contrast_table(table, means=True)
    change = "81,920 training images instead of 256 training images"
    place = ("random halves", STUDY.axis_networks[0].label, change, "fresh images' mutual information")
    assert text.loc[place, "0.1"].startswith("10.0 → 8.0: −2.0 (−2.6")
    assert claims.contrast(synthetic(STUDY.replace(data=STUDY.axis_data[0])), "rate", "train", along="n_train").empty


def test_fresh_and_training_images_are_contrasted_under_the_same_ceiling():
    def rate(partition, seed, **_):
        return (4 if partition == "train" else 3) / 0.9 + seed

    table = claims.contrast_fresh(synthetic(STUDY, rate=rate))
    # 81,920 is no number of fresh images.
    assert set(table["n_train"]) == {256}
    assert len(table) == 4
    changes = [3 + 0.9 * seed - min(4 + 0.9 * seed, math.log(256)) for seed in (0, 1, 2)]
    assert table["difference"].to_numpy() == pytest.approx(np.mean(changes))
    assert claims.contrast_table(table, digits=2).shape == (1, 4)
    assert claims.contrast_fresh(synthetic(STUDY.replace(data=STUDY.axis_data[1]))).empty


@pytest.mark.parametrize("function", [claims.ceiling_table, plots.information_ceiling, widgets.ceiling_slider])
def test_results_without_fresh_images_are_refused(function):
    with pytest.raises(ValueError, match=r"fresh images.*give those"):
        function(synthetic(STUDY.without(FreshInformation)))


def curves(panel, count):
    return [np.column_stack(line.get_data()) for line in panel.lines if len(line.get_xdata()) == count]


def test_the_figure_along_beta_has_the_four_measures_in_a_column_for_each_training_size():
    results = synthetic(STUDY, rate=informative, bound_gap=lambda **_: 2.0)
    axes = np.array(plots.saturation(results).axes).reshape(4, 2)
    assert [panel.get_title() for panel in axes[0]] == ["N = 256", "N = 81,920"]
    for panel, count in zip(axes[0], (256, 81_920), strict=True):
        assert any((one[:, 1] == math.log(count)).all() for one in curves(panel, 2))
    test = results.final[(results.final["partition"] == "test") & (results.final["n_train"] == 81_920)]
    means = test.groupby("beta")[["distortion", "annealed_importance_sampling", "importance_weighted_bound"]].mean()
    (shown,) = curves(axes[2, 1], 4)
    assert shown == pytest.approx(means["distortion"].reset_index().to_numpy())
    annealed, weighted = curves(axes[3, 1], 4)
    assert annealed[:, 1] == pytest.approx(-means["annealed_importance_sampling"])
    assert weighted[:, 1] == pytest.approx(-means["importance_weighted_bound"])
    (kl,) = curves(axes[1, 1], 4)
    assert kl[:, 1] == pytest.approx([30 / 0.9 - math.log(81_920), 15 / 0.9 - math.log(81_920), 1, 5 / 9], abs=0.01)
    # The largest beta is on the left.
    assert axes[0, 0].get_xlim()[0] > 1 > axes[0, 0].get_xlim()[1]


def test_bounds_that_were_not_measured_leave_their_panel_empty():
    fig = plots.saturation(synthetic(STUDY.replace(bound_images=0, annealed_images=0, seeds=1)))
    assert not fig.axes[-1].lines


def test_the_figure_of_the_ceiling_has_the_curve_the_ceiling_and_the_bounds_of_each_beta():
    fig = plots.information_ceiling(synthetic(STUDY, rate=informative))
    panel = fig.axes[1]
    assert "81,920" in panel.get_title()
    found = curves(panel, 6)
    assert len(found) == 5
    assert found[-1] == pytest.approx(np.column_stack([SIZES, np.log(SIZES)]))
    assert found[1][:, 1] == pytest.approx(np.minimum(9, np.log(SIZES)), abs=0.01)
    bars = [one for one in curves(panel, 2) if one[0, 0] > 1.5 * 163_840 and one[0, 0] == one[1, 0]]
    ends = {tuple(one[:, 1].round(1)) for one in bars}
    assert ends == {(3.3, 5), (6, 9), (10, 15), (20, 30)}


def test_the_figure_of_the_ceiling_shows_six_betas_at_most_or_those_that_are_asked_for():
    many = STUDY.replace(betas=(10, 5, 3, 2, 1, 0.5, 0.3, 0.1, 0.01, 0.001), seeds=1)
    results = synthetic(many)
    assert len(curves(plots.information_ceiling(results).axes[0], 6)) == 6 + 1
    assert len(curves(plots.information_ceiling(results, betas=[0.3]).axes[0], 6)) == 1 + 1
    with pytest.raises(ValueError, match=r"betas is \[7\]; give some of 10, 5"):
        plots.information_ceiling(results, betas=[7])


@pytest.fixture(scope="module")
def slider():
    return widgets.ceiling_slider(synthetic(STUDY, rate=informative))


def frames_of(box):
    _, models = box.children[-1].children
    return [[[frame.value for frame in stack.children] for stack in model.children] for model in models.children]


def backdrops_of(box):
    models, _ = box.children[-1].children
    return [[frame.value for frame in model.children] for model in models.children]


def test_every_encoder_has_a_frame_for_each_number_of_images(slider):
    frames = frames_of(slider)
    assert [[len(stack) for stack in model] for model in frames] == [[6] * 4] * 2
    menu, weights, images, _ = slider.children
    assert menu.options[1] == "81,920 training images, 1 hidden layer of 256, 10 latents"
    assert weights.options == ("5", "1", "0.1", "0.01")
    assert [label for label, _ in images.options] == ["256", "1,024", "4,096", "16,384", "65,536", "163,840"]


def test_a_frame_says_and_draws_the_parts_of_its_encoders_rate(slider):
    frame = frames_of(slider)[1][1][2]
    root = ElementTree.fromstring(frame)
    label = root.attrib["aria-label"]
    assert label.startswith("beta = 1, 4,096 fresh images: mutual information 8.32 nats below its ceiling of 8.32")
    assert label.endswith("Bounds on the population's information: 6.00 and 9.00.")
    svg = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{svg}text")]
    rate, information, marginal_kl = (
        float(re.search(r"= (.*)", next(w for w in words if w.startswith(f"{name} = ")))[1])
        for name in ("R", "I", "KL")
    )
    assert rate == pytest.approx(10, abs=0.01)
    assert rate == pytest.approx(information + marginal_kl, abs=0.011)
    bars = [one.attrib for one in root.findall(f"{svg}rect")]
    starts, lengths = ([float(bar[name]) for bar in bars] for name in ("x", "width"))
    assert np.array(lengths) / lengths[0] == pytest.approx(np.array([rate, information, marginal_kl]) / rate, abs=2e-3)
    assert starts[2] == pytest.approx(starts[1] + lengths[1], abs=0.11)


def test_only_the_curve_up_to_this_number_of_images_is_drawn(slider):
    def points_of(picture):
        (line,) = ElementTree.fromstring(picture).findall("{http://www.w3.org/2000/svg}polyline")
        return np.array([one.split(",") for one in line.attrib["points"].split()], dtype=float)

    ceiling = points_of(backdrops_of(slider)[0][2])
    assert len(ceiling) == 6
    for place, frame in enumerate(frames_of(slider)[0][2]):
        curve = points_of(frame)
        assert len(curve) == place + 1
        # This encoder follows the ceiling.
        assert curve == pytest.approx(ceiling[: place + 1])


def test_one_number_of_images_and_information_below_zero_can_be_drawn():
    results = synthetic(STUDY.replace(fresh_images=256, seeds=1), rate=lambda **_: -0.01)
    frames = [frame for model in frames_of(widgets.ceiling_slider(results)) for stack in model for frame in stack]
    assert len(frames) == 8
    assert all("nan" not in frame and "='-" not in frame for frame in frames)


def test_a_seed_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"seed is 7, .* seeds 0, 1, 2"):
        widgets.ceiling_slider(synthetic(STUDY), seed=7)
