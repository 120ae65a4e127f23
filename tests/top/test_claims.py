import math

import numpy as np
import pandas as pd
import pytest

from ratereg import MLP, Data, Study, claims
from ratereg.claims.paper import u_shape
from synthetic import synthetic

CHECKERBOARD, SUBSET = Data("tetrominoes", split="checkerboard"), Data("tetrominoes", split="cv", share=0.1)
STUDY = Study(
    data=(CHECKERBOARD, SUBSET),
    network=(MLP(layers=1), MLP(layers=3)),
    betas=(5, 1, 0.3, 0.1, 0.01, 0.001),
    seeds=3,
    steps=100,
)
NOISE = (0.0, 0.4, -0.1)
# t with two degrees of freedom, and the standard deviation of the noise
HALF_WIDTH = 4.302653 * 0.264575 / math.sqrt(3)


def made(distortion=lambda **_: 80.0, rate=lambda beta, **_: 20 - 5 * math.log(beta), **settings):
    return synthetic(STUDY.replace(**settings), distortion, rate)


def distinct(beta, seed, partition, layers, split, **_):
    """Distortions of which no two differences are alike."""
    test = 3 + 5 * beta + 0.7 * layers + (split == "cv") * beta
    return 80 + 11 * beta + 13 * layers * beta + 17 * seed + (test + NOISE[seed] * beta) * (partition == "test")


def from_paper(shift=0.0):
    """The paper's distortion, plus a little noise over seeds and a shift on the checkerboard."""
    points = claims.paper_points().set_index(["depth", "partition", "beta_inferred"])

    def distortion(layers, partition, beta, seed, split, **_):
        noise = 0.1 * ((7 * seed + 3 * round(100 * beta)) % 5 - 2)
        return points.loc[(layers, partition, beta), "distortion"] + noise + shift * (split == "checkerboard")

    return distortion


def verdicts(table, column="verdict"):
    return set(table[column])


def test_a_contrast_is_the_smaller_beta_less_the_larger_paired_over_seeds():
    results = made(distinct)
    noise = np.mean(NOISE)
    for low, high in ((0.1, 1.0), (0.01, 0.3)):
        change = low - high
        expected = {
            ("train", "distortion"): lambda row, change=change: change * (11 + 13 * row["layers"]),
            ("gap", "distortion"): lambda row, change=change: change * (5 + (row["split"] == "cv") + noise),
            ("test", "distortion"): lambda row, change=change: (
                change * (16 + 13 * row["layers"] + (row["split"] == "cv") + noise)
            ),
            ("train", "rate"): lambda row, low=low, high=high: -5 * math.log(low / high),
            ("train", "-rate"): lambda row, low=low, high=high: 5 * math.log(low / high),
        }
        for (partition, measure), difference in expected.items():
            table = claims.contrast(results, measure, partition, low, high)
            assert len(table) == 4
            assert set(table["seeds"]) == {3}
            assert table["difference"].to_numpy() == pytest.approx(table.apply(difference, axis=1).to_numpy())
            spread = 0 if partition == "train" else -change * HALF_WIDTH
            assert (table["difference_high"] - table["difference"]).to_numpy() == pytest.approx(spread, abs=1e-5)
            assert (table["difference"] - table["difference_low"]).to_numpy() == pytest.approx(spread, abs=1e-5)


def test_rows_of_a_table_are_compared_as_results_are():
    results = made(distinct)
    pd.testing.assert_frame_equal(claims.contrast(results.final), claims.contrast(results))
    first = results.table[results.table["step"] == results.table["step"].min()]
    assert len(claims.contrast(first)) == 4


def test_settings_that_differ_in_training_alone_are_contrasted_each_by_itself():
    slow = made(lambda beta, **_: 80 + beta).final
    fast = made(lambda beta, **_: 80 - beta, learning_rate=3e-3).final
    table = claims.contrast(pd.concat([slow, fast], ignore_index=True))
    assert table["difference"].to_numpy() == pytest.approx([-0.9] * 4 + [0.9] * 4)
    text = claims.describe_contrasts(table)
    assert text.count("learning rate 0.003: lowering β from 1 to 0.1 **worsens**") == 4
    assert claims.contrast_table(table).shape == (8, 1)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (lambda seed: 3 + NOISE[seed], "worsens"),
        (lambda seed: -1.0, "improves"),
        (lambda seed: seed - 1.0, "undecided"),
    ],
)
def test_the_verdict_is_where_the_interval_lies(difference, verdict):
    results = made(lambda beta, seed, **_: 80 + 20 * seed + difference(seed) * (beta == 0.1))
    assert verdicts(claims.contrast(results)) == {verdict}


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_not_enough_data(seeds):
    table = claims.contrast(made(lambda beta, **_: 80 + beta, seeds=seeds))
    assert verdicts(table) == {"not enough data"}
    assert claims.describe_contrasts(table).count("**not enough data**") == 4


def test_a_beta_that_was_not_measured_gives_no_seeds():
    table = claims.contrast(made(betas=(1, 0.01)))
    assert verdicts(table) == {"not enough data"}
    assert set(table["seeds"]) == {0}
    assert claims.describe_contrasts(table).count("lowering β from 1 to 0.1 was not measured.") == 4
    assert claims.contrast_table(table).empty


def test_a_seed_that_diverged_is_left_out():
    results = made(lambda beta, seed, **_: math.nan if (beta, seed) == (0.1, 1) else 80 + 10 * seed + beta, seeds=4)
    table = claims.contrast(results)
    assert set(table["seeds"]) == {3}
    assert table["difference"].to_numpy() == pytest.approx(-0.9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "accuracy"}, r"measure is 'accuracy' and partition 'test'; give"),
        ({"partition": "validation"}, r"measure is 'distortion' and partition 'validation'; give"),
        ({"along": "seed"}, r"along is 'seed'; give 'beta', 'layers'"),
        ({"low": 1.0, "high": 0.1}, r"low is 1\.0 and high 0\.1; give a low"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        claims.contrast(made(), **arguments)


def test_the_deepest_network_is_compared_with_the_shallowest_at_each_beta():
    def distortion(layers, beta, seed, **_):
        deeper = {5: -3, 1: 5}.get(beta, seed - 1)
        return 80 + 9 * seed + 100 * (layers == 2) + (layers == 3) * (deeper + NOISE[seed])

    network = [MLP(layers=layers) for layers in (3, 1, 2)]
    table = claims.contrast(made(distortion, network=network, betas=(5, 1, 0.1)), along="layers")
    assert len(table) == 2 * 3
    assert (set(table["from"]), set(table["to"])) == ({1}, {3})
    found = table[table["split"] == "cv"].set_index("beta")
    assert found["difference"].to_dict() == pytest.approx({5: -2.9, 1: 5.1, 0.1: 0.1})
    assert found["verdict"].to_dict() == {5: "improves", 1: "worsens", 0.1: "undecided"}
    text = claims.describe_contrasts(found.reset_index())
    names = f"{MLP(layers=3).label} instead of {MLP(layers=1).label}"
    assert f"- random subset, 16,384 training images, β = 1: {names} **worsens** the test distortion: +5.1 nats" in text
    assert claims.contrast_table(table).shape == (2, 3)


def test_the_widest_network_is_compared_with_the_narrowest_of_the_same_depth():
    def distortion(width, layers, beta, seed, partition, split, **_):
        effect = {1: -4.0, 3: 3.0}[layers] * beta - (split == "cv") * 2
        test = (effect + NOISE[seed]) * (width == 512) + 50 * (width == 128)
        return 80 + 10 * seed + (test if partition == "test" else width / 64)

    network = [MLP(layers=layers, width=width) for layers in (1, 3) for width in (64, 128, 512)]
    results = made(distortion, network=network, betas=(1, 0.1))
    table = claims.contrast(results, along="width")
    assert len(table) == 2 * 2 * 2
    assert (set(table["from"]), set(table["to"])) == ({64}, {512})
    found = table.set_index(["split", "layers", "beta"])["difference"]
    assert found["checkerboard", 1, 1] == pytest.approx(-3.9)
    assert found["cv", 3, 0.1] == pytest.approx(0.3 - 2 + 0.1)
    on_training = claims.contrast(results, partition="train", along="width")["difference"]
    assert on_training.to_numpy() == pytest.approx(7)
    assert claims.contrast(made(), along="width").empty
    assert claims.describe_contrasts(claims.contrast(made(), along="width")) == "There is nothing to compare."


def test_networks_that_differ_otherwise_are_not_compared():
    networks = (MLP(1, 64, 5), MLP(1, 512, 10), MLP(3, 512, 5))
    assert claims.contrast(made(network=networks), along="width").empty
    assert claims.contrast(made(network=networks), along="layers").empty
    rows = pd.concat([made(network=MLP(1)).final, made(network=MLP(3), learning_rate=3e-3).final])
    assert claims.contrast(rows, along="layers").empty


def test_verdicts_are_counted_in_the_words_that_are_asked_for():
    found = pd.DataFrame({"verdict": ["improves", "undecided", "improves", "worsens"]})
    assert claims.count_verdicts(found) == "**improves** in 2, **worsens** in 1 and **undecided** in 1 of 4"
    assert claims.count_verdicts(found[:1], better="better") == "**better** in 1 of 1"
    assert claims.count_verdicts(found[3:], worse="worse") == "**worse** in 1 of 1"
    assert claims.count_verdicts(pd.DataFrame()) == "nothing to compare"


def test_a_table_of_contrasts_has_a_column_for_each_beta_and_keeps_measures_apart():
    results = made(lambda beta, partition, **_: 80 + beta * (1 if partition == "test" else 3), betas=(1, 0.1, 0.01))
    pairs = [("distortion", "test"), ("distortion", "gap")]
    rows = pd.concat([claims.contrast(results, *pair, low=low) for pair in pairs for low in (0.1, 0.01, 0.001)])
    table = claims.contrast_table(rows)
    assert list(table.columns) == ["0.1 against 1", "0.01 against 1"]
    assert table.shape == (8, 2)
    place = ("checkerboard, 81,920", MLP(layers=3).label)
    assert (
        table.loc[(*place, "test distortion"), "0.1 against 1"]
        == "−0.9 (−0.9\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}−0.9)"
    )
    assert table.loc[(*place, "train–test gap of distortion"), "0.01 against 1"].startswith("+2.0 (")
    assert (
        claims.contrast_table(rows, means=True)
        .loc[(*place, "test distortion"), "0.1 against 1"]
        .startswith("81.0 → 80.1: −0.9 (")
    )


def test_results_equal_to_the_paper_match_it():
    paper, results = claims.paper_points(), made(from_paper())
    points = claims.compare_with_paper(results, paper)
    assert len(points) == 2 * 2 * 2 * 6
    assert points["distortion_difference"].abs().max() < 0.2
    assert claims.match_table(results, paper)["distance"].max() < 0.2
    text = claims.summarize_match(results, paper)
    assert "−37.8 nats in the paper, is seen on checkerboard, 81,920 training images, 3 x 512 (−37.8 nats" in text
    assert "and random subset, 16,384 training images, 3 x 512 (−37.8 nats" in text
    assert text.count("is seen on") == 2
    assert "not seen" not in text
    assert "undecided" not in text


@pytest.mark.parametrize(
    ("distortion", "said"),
    [
        (lambda beta, **_: 80 - beta, "is not seen on checkerboard, 81,920 training images, 3 x 512 (+0.9 nats"),
        (
            lambda beta, seed, **_: 80 + beta + 30 * (seed - 1) * (beta == 0.1),
            "is undecided on checkerboard, 81,920 training images, 3 x 512 (−0.9 nats",
        ),
    ],
)
def test_results_unlike_the_paper_are_said_not_to_match_and_what_seeds_disagree_on_to_be_undecided(distortion, said):
    text = claims.summarize_match(made(distortion), claims.paper_points())
    assert said in text
    assert " is seen on" not in text


def test_the_data_set_whose_points_are_closer_is_the_first():
    paper = claims.paper_points()
    table = claims.match_table(made(from_paper(shift=4.0)), paper)
    assert list(table.index) == ["random subset, 16,384 training images", "checkerboard, 81,920 training images"]
    assert table["distance"].iloc[1] == pytest.approx(4, abs=0.1)
    assert table["low"].iloc[1] < table["distance"].iloc[1] < table["high"].iloc[1]
    assert set(table["points"]) == {12}
    above = table["test distortion, ours less the paper's"]
    assert above.to_numpy() == pytest.approx([0, 4], abs=0.1)


def test_one_seed_gives_observations_and_no_verdict():
    text = claims.summarize_match(made(from_paper(), seeds=1), claims.paper_points())
    assert "With 1 seed these are observations" in text
    assert not any(word in text for word in ("improves", "worsens", "undecided", "interval"))


def test_the_table_of_shapes_has_the_papers_curve_beside_ours():
    table = claims.shape_table(made(from_paper()), claims.paper_points())
    assert list(table.index.get_level_values("layers")) == [1, 1, 1, 3, 3, 3]
    assert table.loc[(1, "paper"), "lowest at β"] == "0.7"
    assert table.loc[(3, "paper"), "from β = 1 to 0.1"] == -37.8
    assert table["from β = 1 to 0.1"].loc[3].to_numpy() == pytest.approx(-37.8, abs=0.2)


def test_networks_of_one_depth_are_told_apart_and_members_that_diverged_left_out():
    table = claims.shape_table(made(network=(MLP(), MLP(latent_dim=5))), claims.paper_points())
    assert not table.index.duplicated().any()
    lost = made(lambda **_: math.nan)
    assert len(claims.shape_table(lost, claims.paper_points())) == 2
    assert "nothing to compare" in claims.summarize_match(lost, claims.paper_points())


def test_a_study_without_any_of_the_papers_networks_has_nothing_to_compare():
    results = made(network=MLP(layers=2))
    assert "nothing to compare" in claims.summarize_match(results, claims.paper_points())
    assert claims.match_table(results, claims.paper_points()).empty


@pytest.mark.parametrize(
    ("curve", "shape"),
    [((90, 80, 85), "U"), ((90, 80, 70), "not U"), ((70, 80, 90), "not U"), ((90, 80, 80.1), "undecided")],
)
def test_a_curve_is_u_shaped_if_both_ends_lie_above_an_interior_least(curve, shape):
    by_beta = dict(zip((5, 1, 0.1), curve, strict=True))
    results = made(lambda beta, seed, **_: by_beta[beta] + 0.3 * (seed - 1) * (beta == 0.1), betas=(5, 1, 0.1))
    assert verdicts(u_shape(results), "shape") == {shape}
    assert verdicts(u_shape(made(betas=(1, 0.1))), "shape") == {"not enough data"}


def test_provenance_says_what_was_run():
    text = claims.describe_provenance(made(seeds=1))
    assert "24 members (2 data sets × 2 networks × 6 values of β × 1 seed)" in text
    assert "100 steps" in text
    assert "1.0 hours in all on no device" in text
