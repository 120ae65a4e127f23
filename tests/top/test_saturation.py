import math

import numpy as np
import pytest

import ratereg
from ratereg import Data, claims, plots
from ratereg.claims.saturation import below_ceiling
from ratereg.measurements import Annealed, FreshInformation, ImportanceWeighted
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
    below = below_ceiling(results.final.query("n_train == 256"))
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
    # Beyond and short of log 256 = 5.55 in the mean, at seeds that are far apart.
    for mean in (11, 5):
        apart = claims.ceiling_table(synthetic(STUDY, rate=lambda seed, mean=mean, **_: mean + 4.5 * (seed - 1)))
        assert set(apart.loc[apart["n_train"] == 256, "place"]) == {"undecided"}
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


def test_results_without_fresh_images_are_refused():
    with pytest.raises(ValueError, match=r"fresh images.*give those"):
        claims.ceiling_table(synthetic(STUDY.without(FreshInformation)))


def curves(panel, count):
    return [np.column_stack(line.get_data()) for line in panel.lines if len(line.get_xdata()) == count]


def test_the_figure_along_beta_has_the_four_measures_in_a_column_for_each_training_size():
    results = synthetic(STUDY, rate=informative, bound_gap=lambda **_: 2.0)
    axes = np.array(plots.saturation(results).axes).reshape(4, 2)
    assert [panel.get_title() for panel in axes[0]] == ["random halves, 256", "random halves, 81,920"]
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


def test_bounds_that_were_not_measured_have_no_panel():
    fig = plots.saturation(synthetic(STUDY.without(ImportanceWeighted, Annealed).replace(seeds=1)))
    assert len(fig.axes) == 3 * 2


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


def test_the_figure_of_the_ceiling_shows_six_betas_at_most():
    many = STUDY.replace(betas=(10, 5, 3, 2, 1, 0.5, 0.3, 0.1, 0.01, 0.001), seeds=1)
    table = plots.figure_data(plots.information_ceiling(synthetic(many)))
    assert sorted(table["beta"].unique(), reverse=True) == [10, 3, 1, 0.5, 0.1, 0.001]
