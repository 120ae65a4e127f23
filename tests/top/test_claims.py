import math

import IPython.display
import pandas as pd
import pytest

from ratereg import claims
from ratereg.summary import over_seeds


def from_paper(shift=0.0):
    """The paper's distortion, plus a little noise over seeds and a shift on the checkerboard."""
    points = claims.paper_points().set_index(["depth", "partition", "beta_inferred"])

    def distortion(layers, partition, beta, seed, split, **_):
        noise = 0.1 * ((7 * seed + 3 * round(100 * beta)) % 5 - 2)
        return points.loc[(layers, partition, beta), "distortion"] + noise + shift * (split == "checkerboard")

    return distortion


def verdicts(table, column="verdict"):
    return set(table[column])


def test_a_contrast_finds_the_difference_that_was_planted(make_results):
    noise = (0.0, 0.4, -0.1)
    results = make_results(lambda beta, seed, **_: 80 + 3 * (beta == 0.1) + noise[seed] * (beta == 0.1))
    table = claims.contrast(results)
    assert len(table) == 4
    assert table["difference"].to_numpy() == pytest.approx(3.1)
    # t with two degrees of freedom, and the standard deviation of 0, 0.4 and -0.1
    half_width = 4.302653 * 0.264575 / math.sqrt(3)
    assert table["difference_high"].to_numpy() == pytest.approx(3.1 + half_width, abs=1e-4)
    assert verdicts(table) == {"worsens"}


def test_a_contrast_is_paired_over_seeds(make_results):
    results = make_results(lambda beta, seed, **_: 80 + 20 * seed - 1.0 * (beta == 0.1))
    assert verdicts(claims.contrast(results)) == {"improves"}


def test_a_contrast_whose_interval_holds_zero_is_undecided(make_results):
    results = make_results(lambda beta, seed, **_: 80 + (seed - 1.0) * (beta == 0.1))
    assert verdicts(claims.contrast(results)) == {"undecided"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_are_not_enough_data(make_results, seeds):
    table = claims.contrast(make_results(lambda beta, **_: 80 + beta, seeds=seeds))
    assert verdicts(table) == {"not enough data"}
    assert "**not enough data**" in claims.describe_contrasts(table)


def test_a_beta_that_was_not_measured_gives_no_seeds(make_results):
    table = claims.contrast(make_results(betas=(1, 0.01)))
    assert verdicts(table) == {"not enough data"}
    assert set(table["seeds"]) == {0}
    assert "not measured at both" in claims.describe_contrasts(table)


def test_the_gap_is_test_less_train_and_the_negative_elbo_adds_the_rate(make_results):
    results = make_results(lambda beta, partition, **_: 80 + beta * (1 if partition == "train" else 3))
    assert claims.contrast(results, partition="gap")["difference"].to_numpy() == pytest.approx(-1.8)
    assert claims.contrast(results, "negative_elbo", "train")["difference"].to_numpy() == pytest.approx(
        -0.9 - 5 * math.log(0.1)
    )


@pytest.mark.parametrize(("measure", "partition"), [("accuracy", "test"), ("distortion", "validation")])
def test_an_unknown_measure_or_partition_is_refused(make_results, measure, partition):
    with pytest.raises(ValueError, match=f"{measure}.*{partition}.*give"):
        claims.contrast(make_results(), measure, partition)


def test_contrasts_are_described_in_words_for_each_outcome(make_results):
    better = claims.contrast(make_results(lambda beta, **_: 80 + beta))
    worse = claims.contrast(make_results(lambda beta, **_: 80 - beta))
    assert claims.describe_contrasts(better).count("**improves** the test distortion: −0.9 nats") == 4
    assert claims.describe_contrasts(worse).count("**worsens** the test distortion: +0.9 nats") == 4


def test_verdicts_are_counted_in_the_words_that_are_asked_for():
    found = pd.DataFrame({"verdict": ["improves", "undecided", "improves", "worsens"]})
    assert claims.count_verdicts(found) == "**improves** in 2, **worsens** in 1 and **undecided** in 1 of 4"
    assert claims.count_verdicts(found[:1], better="better") == "**better** in 1 of 1"
    assert claims.count_verdicts(found[3:], worse="worse") == "**worse** in 1 of 1"
    assert claims.count_verdicts(pd.DataFrame()) == "nothing to compare"


def test_a_table_of_contrasts_has_a_column_for_each_beta_that_was_measured(make_results):
    results = make_results(lambda beta, **_: 80 + beta, betas=(1, 0.1, 0.01))
    table = claims.contrast_table(pd.concat([claims.contrast(results, low=low) for low in (0.1, 0.01, 0.001)]))
    assert list(table.columns) == ["0.1 against 1", "0.01 against 1"]
    assert table.shape == (4, 2)
    row = ("checkerboard, 81,920", "3 hidden layers", "test")
    assert table.loc[row, "0.1 against 1"] == "−0.9 (−0.9\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}−0.9)"


def test_a_table_of_contrasts_keeps_networks_and_measures_apart(make_results):
    results = make_results(lambda beta, **_: 80 + beta)
    wider = make_results(lambda beta, **_: 80 + beta)
    wider.table["width"] = 64
    both = [claims.contrast(one, measure) for one in (results, wider) for measure in ("distortion", "negative_elbo")]
    assert len(claims.contrast_table(pd.concat(both))) == 2 * 2 * 2 * 2


def test_the_papers_points_keep_their_provenance():
    paper = claims.paper_points()
    assert set(paper.groupby("depth").size().index) == {1, 3}
    assert (paper[paper["star"] == 1]["beta_inferred"] == 1).all()
    assert paper["distortion"].between(50, 150).all()


def test_results_equal_to_the_paper_match_it(make_results):
    paper = claims.paper_points()
    results = make_results(from_paper())
    points = claims.compare_with_paper(results, paper)
    assert len(points) == 2 * 2 * 2 * 6
    assert points["distortion_difference"].abs().max() < 0.2
    assert claims.distance_to_paper(results, paper)["distance"].max() < 0.2
    text = claims.describe_match(results, paper)
    assert "−37.8 nats in the paper, is seen on checkerboard, 81,920 training images (−37.8 nats" in text
    assert "and random subset, 16,384 training images (−37.8 nats" in text
    assert text.count("is seen on") == 2
    assert "not seen" not in text
    assert "undecided" not in text


def test_results_unlike_the_paper_are_said_not_to_match(make_results):
    text = claims.describe_match(make_results(lambda beta, **_: 80 - beta), claims.paper_points())
    assert "is not seen on checkerboard, 81,920 training images (+0.9 nats" in text
    assert text.count("is not seen on") == 2
    assert text.count("(lowest at β = 5)") == 2


def test_what_the_seeds_disagree_on_is_undecided(make_results):
    results = make_results(lambda beta, seed, **_: 80 + beta + 30 * (seed - 1) * (beta == 0.1))
    text = claims.describe_match(results, claims.paper_points())
    assert "in the paper, is undecided on checkerboard, 81,920 training images (−0.9 nats" in text
    assert " is seen on" not in text


def test_the_split_whose_points_are_closer_is_the_nearest(make_results):
    paper = claims.paper_points()
    results = make_results(from_paper(shift=4.0))
    distances = claims.distance_to_paper(results, paper)
    assert list(distances["split"]) == ["cv", "checkerboard"]
    assert distances["distance"].iloc[1] == pytest.approx(4, abs=0.1)
    text = claims.describe_match(results, paper)
    assert "test points is **random subset, 16,384 training images**" in text
    assert "intervals over seeds do not overlap" in text
    assert "intervals over seeds overlap" in claims.describe_match(make_results(from_paper()), paper)


def test_one_seed_gives_observations_and_no_verdict(make_results):
    text = claims.describe_match(make_results(from_paper(), seeds=1), claims.paper_points())
    assert "With one seed these are observations; a verdict takes 3 seeds." in text
    assert "One seed cannot tell" in text
    assert not any(word in text for word in ("improves", "worsens", "undecided", "interval"))


def test_the_table_of_shapes_has_the_papers_curve_beside_ours(make_results):
    table = claims.shape_table(make_results(from_paper()), claims.paper_points())
    assert list(table.index.get_level_values("layers")) == [1, 1, 1, 3, 3, 3]
    assert table.loc[(1, "paper"), "lowest at β"] == "0.7"
    assert table.loc[(3, "paper"), "from β = 1 to 0.1"] == -37.8
    assert table["from β = 1 to 0.1"].loc[3].to_numpy() == pytest.approx(-37.8, abs=0.2)


def test_a_study_without_any_of_the_papers_betas_has_nothing_to_compare(make_results):
    assert "nothing to compare" in claims.describe_match(make_results(betas=(7,)), claims.paper_points())


@pytest.mark.parametrize(
    ("curve", "shape"),
    [((90, 80, 85), "U"), ((90, 80, 70), "not U"), ((70, 80, 90), "not U"), ((90, 80, 80.1), "undecided")],
)
def test_a_curve_is_u_shaped_if_both_ends_lie_above_an_interior_least(make_results, curve, shape):
    by_beta = dict(zip((5, 1, 0.1), curve, strict=True))
    results = make_results(lambda beta, seed, **_: by_beta[beta] + 0.3 * (seed - 1) * (beta == 0.1), betas=(5, 1, 0.1))
    assert verdicts(claims.u_shape(results), "shape") == {shape}


def test_two_betas_have_no_shape(make_results):
    assert verdicts(claims.u_shape(make_results(betas=(1, 0.1))), "shape") == {"not enough data"}


def test_intervals_of_a_comparison_are_those_over_seeds(make_results):
    results = make_results(from_paper())
    points = claims.compare_with_paper(results, claims.paper_points())
    means = over_seeds(results.final, ("distortion",))
    merged = points.merge(means, on=["split", "layers", "beta", "partition"])
    pd.testing.assert_series_equal(merged["distortion_low_x"], merged["distortion_low_y"], check_names=False)


def test_a_record_is_kept_by_name_and_can_be_glued(monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: shown.append((data, options)))
    claims.record("distance", pd.Series([2.5]).sum())
    data, options = shown[0]
    assert data["application/vnd.ratereg.record+json"] == {"name": "distance", "value": 2.5}
    assert data["application/papermill.record/text/plain"] == "2.5"
    assert "text/plain" not in data
    assert options == {
        "raw": True,
        "metadata": {"scrapbook": {"name": "distance", "mime_prefix": "application/papermill.record/"}},
    }


def test_provenance_says_what_was_run(make_results):
    text = claims.describe_provenance(make_results(seeds=1))
    assert "24 members (2 data sets × 2 networks × 6 values of β × 1 seed)" in text
    assert "100 steps" in text
