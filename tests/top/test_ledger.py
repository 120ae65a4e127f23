"""The ledger on results of known verdict, and recomputed from the committed tables by other means."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ratereg import MLP, Convolutional, Data, Study, claims
from ratereg.claims.settings import (
    capacity_of,
    difficulty_of,
    growing,
    lowering,
    lowering_when_saturated,
    underfitting,
)
from ratereg.claims.statements import tally
from ratereg.measurements import Annealed, ImportanceWeighted
from ratereg.models import Gaussian
from ratereg.models.priors import DiagonalGaussian
from synthetic import synthetic

CHECKERBOARD, SUBSET = Data("tetrominoes", split="checkerboard"), Data("tetrominoes", split="cv", share=0.1)
HALVES, BLOCK = Data("tetrominoes"), Data("tetrominoes", split="cd", share=0.1)
HARD, EASY = (CHECKERBOARD, SUBSET), (HALVES, BLOCK)
WORDS = ("supported", "contradicted", "mixed", "not enough data")
BOUNDS = (ImportanceWeighted(images=8), Annealed(images=2))


def study(data=HARD, layers=(1, 3), bounds=BOUNDS, **settings):
    networks = settings.pop("network", tuple(MLP(layers=count) for count in layers))
    return Study(data=data, network=networks, **{"betas": (1, 0.1), "seeds": 3, "steps": 100} | settings).measuring(
        *bounds
    )


def constant(value):
    return lambda **_: value


SATURATING = constant(30.0)


def table_of(distortion, rate=SATURATING, **settings):
    # The bound on the likelihood goes along with the distortion, whatever the rate.
    bound_gap = settings.pop("bound_gap", rate)
    return claims.gather([synthetic(study(**settings), distortion, rate, bound_gap)])


def found(number, table):
    return claims.ledger(table, claims=[claims.CLAIMS[number - 1]])[0]


def improving(beta, **_):
    return 80 + beta


def worsening(beta, **_):
    return 80 - beta


def noise(beta, seed, layers=0):
    """Differences between seeds that no contrast cancels, of at most 0.2."""
    return 0.1 * ((7 * seed + 3 * round(100 * beta) + layers) % 5 - 2)


def planted(number, word):
    """Results in which a claim has a known verdict: mixed if one of two data sets speaks for it, one against it."""

    def sign(split):
        opposes = word == "contradicted" or (word == "mixed" and split in ("checkerboard", "default"))
        return -1 if opposes else 1

    def lowered(beta, seed, split, layers, partition, **_):
        if (number, word, layers) == (4, "mixed", 3):
            return 80 + (seed - 1) * beta  # undecided, so that the others are not most
        better = sign(split) * (-1 if number == 8 else 1)
        return 80 + (better * 3 * beta + noise(beta, seed)) * (partition == "test")

    def grown(beta, seed, split, layers, partition, **_):
        better = sign(split) * (-1 if number == 6 else 1)
        return 80 - better * 4 * (layers == 3) * (partition == "test") + noise(beta, seed, layers)

    def underfitted(beta, seed, split, partition, **_):
        return 80 + (12 if sign(split) > 0 else 2) * (beta == 5) + noise(beta, seed)

    seeds = 2 if word == "not enough data" else 3
    if number == 2:
        return table_of(underfitted, lambda beta, **_: 2 if beta == 5 else 30, betas=(5, 1, 0.1), seeds=seeds)
    layers = {8: (1,), 9: (3,), 10: (1,)}.get(number, (1, 3))
    data = EASY if number in (5, 10) else HARD
    return table_of(grown if number in (5, 6, 7) else lowered, data=data, layers=layers, seeds=seeds)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("number", range(1, 11))
def test_a_claim_gets_the_verdict_that_was_planted(number, word):
    claim = claims.CLAIMS[number - 1]
    assert claim.number == number
    table = planted(number, word)
    finding = found(number, table)
    assert {name: one.word for name, one in finding.verdicts.items()} == dict.fromkeys(claim.measures, word)
    assert claims.ledger_table([finding]).loc[number, "verdict"] == word
    assert claims.describe_claim(finding).startswith(f"**{word.capitalize()}.**")
    if word != "not enough data":
        settings = 4 if number in (1, 2, 3, 4) else 2
        undecided = 2 if (number, word) == (4, "mixed") else 0
        opposing = {"supported": 0, "contradicted": settings, "mixed": (settings - undecided) / 2}[word]
        supporting = settings - opposing - undecided
        counts = finding.main.supporting, finding.main.opposing, finding.main.undecided
        assert counts == (supporting, opposing, undecided)
        said = f"{supporting:g} for it, {opposing:g} against it and {undecided} undecided, of {settings} "
        assert said in claims.describe_claim(finding)
        assert said in claims.summarize([finding])


def test_the_effect_is_the_mean_over_settings_with_enough_seeds():
    fall = {"checkerboard": 2.0, "cv": 6.0}
    few = synthetic(study(data=(BLOCK,), seeds=2), lambda beta, **_: 80 + 100 * beta)
    many = synthetic(study(), lambda beta, split, **_: 80 + fall[split] * (beta == 1))
    verdict = claims.CLAIMS[0](claims.gather([many, few]))["distortion"]
    assert verdict.effect == pytest.approx(-4)
    assert (verdict.settings, len(verdict.rows)) == (4, 6)
    assert (verdict.rows["counts"] == "too few seeds").sum() == 2


@pytest.mark.parametrize(
    ("counts", "word", "negative_word"),
    [
        ((3, 2, 0), "supported", "supported"),
        ((2, 2, 0), "mixed", "supported"),
        # A negative claim is supported only if the undecided could not overturn it.
        ((2, 0, 2), "mixed", "supported"),
        ((2, 0, 3), "mixed", "mixed"),
        ((2, 3, 0), "contradicted", "contradicted"),
        ((0, 2, 2), "mixed", "mixed"),
        ((1, 0, 0), "not enough data", "not enough data"),
        ((0, 0, 0), "not enough data", "not enough data"),
    ],
)
def test_a_verdict_is_that_of_more_than_half(counts, word, negative_word):
    names = [name for name, n in zip(("for", "against", "undecided"), counts, strict=True) for _ in range(n)]
    rows = pd.DataFrame({"counts": [*names, "too few seeds", "not counted"], "effect": [1.0] * (len(names) + 2)})
    assert tally(rows).word == word
    assert tally(rows, negative=True).word == negative_word


def test_the_bootstrap_interval_is_that_of_all_resamples():
    values = [-9.0, -2.0, 0.5, 3.0, 4.0, 11.0]
    means = [np.mean(one) for one in itertools.product(values, repeat=6)]
    first, again = (tally(pd.DataFrame({"counts": "for", "effect": values})) for _ in range(2))
    ends = first.effect_low, first.effect_high
    assert ends == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.25)
    assert ends == (again.effect_low, again.effect_high)


@pytest.mark.parametrize("settings", range(6))
def test_fewer_than_six_settings_have_no_interval(settings):
    rows = pd.DataFrame({"counts": ["for"] * settings, "effect": np.arange(settings, dtype=float)})
    verdict = tally(rows)
    assert math.isnan(verdict.effect_low)
    assert math.isnan(verdict.effect_high)


def test_measures_that_disagree_are_named():
    table = table_of(
        lambda beta, partition, **_: 80 + 3 * beta * (1 if partition == "test" else 2),
        rate=lambda beta, **_: 30 - 10 * math.log(beta),
    )
    finding = found(1, table)
    said = (
        "**The measures disagree**: test negative ELBO, contradicted (0 for, 4 against, 0 undecided); test bound on "
        "−log p(x), supported (4 for, 0 against, 0 undecided); train–test gap of distortion, contradicted (0 for, 4 "
        "against, 0 undecided)."
    )
    assert said in claims.describe_claim(finding)
    assert said in claims.summarize([finding])
    row = claims.measures_table([finding]).loc[1]
    assert row["test distortion"] == "supported, 4/0/0"
    assert row["test negative ELBO"] == "contradicted, 0/4/0"
    assert "The other measures agree." in claims.describe_claim(found(1, planted(1, "supported")))


def test_a_measure_that_was_not_taken_has_not_enough_data():
    finding = found(1, table_of(improving, bounds=()))
    said = claims.describe_claim(finding)
    assert "test bound on −log p(x), not enough data (0 for, 0 against, 0 undecided)" in said
    assert set(claims.settings_table(finding)["test bound on −log p(x)"]) == {"not measured"}


def test_a_training_of_several_studies_counts_once():
    first = synthetic(study(bounds=()), improving)
    again = synthetic(study(), worsening, bound_gap=constant(0.0))
    table = claims.gather([first, again])
    assert not table.duplicated(["training", "partition"]).any()
    alone = claims.gather([first])
    pd.testing.assert_frame_equal(
        table[["training", "partition", "distortion"]], alone[["training", "partition", "distortion"]]
    )
    # What the first did not measure is the second's.
    bound = claims.CLAIMS[0](table)["log_likelihood"]
    assert (bound.settings, bound.opposing) == (4, 4)
    assert claims.CLAIMS[0](table)["distortion"].supporting == 4


def test_more_seeds_of_a_setting_from_another_study_are_its_seeds():
    first = synthetic(study(seeds=(0, 1)), improving)
    more = synthetic(study(seeds=(1, 2, 3)), improving)
    rows = lowering(claims.gather([first, more]), "distortion", 0.1, 1.0)
    assert rows["seeds"].tolist() == [4] * 4


@pytest.mark.parametrize("less", [{"steps": 50}, {"data": tuple(replace(one, n_test=500) for one in HARD)}])
@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_training_and_the_most_test_images_count(less, order):
    both = [synthetic(study(), improving), synthetic(study(**less), worsening)]
    verdict = claims.CLAIMS[0](claims.gather(both[::order]))["distortion"]
    assert (verdict.supporting, verdict.opposing) == (4, 0)
    assert set(verdict.rows["steps"]) == {100}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"learning_rate": 3e-3}, "learning rate 0.003"),
        ({"batch_size": 32}, "batch size 32"),
        ({"schedule": "cosine"}, "schedule cosine"),
        ({"warm_up": 50}, "warm up 50"),
        ({"precision": "bfloat16"}, "precision bfloat16"),
        ({"likelihood": Gaussian(0.3)}, "likelihood gaussian 0.3"),
        ({"prior": DiagonalGaussian()}, "prior diagonal gaussian"),
        ({"data": tuple(replace(one, seed=3) for one in HARD)}, "data seed 3"),
    ],
)
@pytest.mark.parametrize("steps", [100, 50])
def test_what_was_trained_differently_is_neither_pooled_nor_dropped(change, word, steps):
    usual = {"precision": "float32", "likelihood": Gaussian(0.1)}
    results = [synthetic(study(**usual), improving), synthetic(study(**usual | {"steps": steps} | change), worsening)]
    finding = found(1, claims.gather(results))
    assert (finding.main.supporting, finding.main.opposing) == (4, 4)
    assert set(finding.main.rows["seeds"]) == {3}
    told = claims.settings_table(finding)
    assert len(told) == 8
    assert sum(word in place for place in told.index) == 4


def test_annealing_is_preferred_to_the_importance_weighted_bound():
    # In `synthetic` annealing gives 4 nats more than the ELBO, and the weighted bound one nat less than that.
    for bounds, bound in ((BOUNDS, 80 + 30 - 4), (BOUNDS[:1], 80 + 30 - 4 + 1)):
        table = table_of(constant(80.0), bound_gap=constant(4.0), bounds=bounds)
        assert table["negative_log_likelihood"].to_numpy() == pytest.approx(bound)
        assert set(table["bound"]) == {repr(bounds[-1])}


def test_bounds_of_other_images_or_estimators_are_not_compared():
    at_one = synthetic(study(betas=1, bounds=(ImportanceWeighted(images=8), Annealed(images=8))), improving)
    for bounds in (BOUNDS, BOUNDS[:1]):
        at_a_tenth = synthetic(study(betas=0.1, bounds=bounds), improving)
        verdicts = claims.CLAIMS[0](claims.gather([at_one, at_a_tenth]))
        assert verdicts["distortion"].supporting == 4
        assert verdicts["log_likelihood"].settings == 0


def test_underfitting_is_a_rise_of_training_distortion_beyond_a_twentieth():
    def distortion(beta, partition, seed, **_):
        return 100 + {5: 5.5, 3: 4.5, 1: 2, 0.1: 0}[beta] + (1000 * beta if partition == "test" else 0) + 0.1 * seed

    def rate(beta, **_):
        return {5: 2, 3: 4, 1: 30, 0.1: 30}[beta]

    rows = underfitting(table_of(distortion, rate, betas=(5, 3, 1, 0.1)))
    assert set(rows["to"]) == {5}
    assert rows["effect"].to_numpy() == pytest.approx(5.5)
    assert rows["difference"].to_numpy() == pytest.approx(5.5 - 0.05 * 100.1)
    assert set(rows["verdict"]) == {"worsens"}
    assert set(rows["while_saturated"]) == {"improves"}
    assert set(underfitting(table_of(distortion, rate, betas=(3, 1, 0.1)))["verdict"]) == {"improves"}


def test_without_a_loss_of_information_nothing_is_said_about_underfitting():
    finding = found(2, table_of(lambda beta, **_: 80 + 20 * beta))
    text = claims.describe_claim(finding)
    assert finding.main.settings == 0
    assert "4 settings say nothing, as no measured β reduces the mutual information." in text
    assert "In 4 of the 4 settings" in text


def test_a_smallest_beta_that_is_not_saturated_is_a_reference_all_the_same():
    # 8.1 nats at the smallest beta, below the ceiling, and 2.7 and 8.09 above.
    rates = {1: 3, 0.5: 8.99, 0.1: 9}
    rows = underfitting(table_of(lambda beta, **_: 80 + 9 * beta, lambda beta, **_: rates[beta], betas=tuple(rates)))
    assert set(rows["to"]) == {1}
    assert set(rows["while_saturated"]) == {""}


def test_after_saturation_the_largest_saturated_beta_is_held_against_one_a_factor_of_three_below():
    level = {5: 90, 1: 85, 0.5: 84, 0.3: 83, 0.1: 81, 0.01: 70}

    def rows_of(betas, saturated=1.0):
        rate = lambda beta, **_: 2 if beta > saturated else 30  # noqa: E731
        return lowering_when_saturated(table_of(lambda beta, **_: level[beta], rate, betas=betas), "distortion")

    rows = rows_of(tuple(level))
    assert (set(rows["from"]), set(rows["to"])) == ({1}, {0.3})
    assert rows["difference"].to_numpy() == pytest.approx(83 - 85)
    # 0.3 / 3 is a little less than 0.1 in floating point.
    assert set(rows_of(tuple(level), saturated=0.3)["to"]) == {0.1}
    reason = "no two measured β that saturate the mutual information lie a factor of 3 apart"
    assert set(rows_of((1, 0.5))["reason"]) == {reason}
    assert set(rows_of((5, 1, 0.1), saturated=0.01)["verdict"]) == {""}


DIFFICULTIES = {
    "hard": (CHECKERBOARD, SUBSET, Data("tetrominoes", n_train=256)),
    "easy": (HALVES, BLOCK, Data("tetrominoes", split="cv", share=0.9)),
    "": (Data("tetrominoes", split="cv", share=0.3), Data("fashion-mnist")),
}
CAPACITIES = {
    "low": (MLP(layers=0), MLP(layers=1, width=1024), MLP(layers=3, width=64)),
    "high": (MLP(layers=3),),
    "": (MLP(layers=2), MLP(layers=3, width=256), Convolutional()),
}


@pytest.mark.parametrize(("word", "data"), [(word, one) for word, several in DIFFICULTIES.items() for one in several])
def test_problems_are_easy_or_hard_by_their_split_and_size(data, word):
    assert difficulty_of(table_of(constant(80.0), data=data)) == word


@pytest.mark.parametrize(("word", "network"), [(word, one) for word, several in CAPACITIES.items() for one in several])
def test_capacity_is_low_or_high_by_depth_and_width(network, word):
    assert capacity_of(table_of(constant(80.0), network=network)) == word


def test_the_eighth_statement_leaves_easy_problems_to_the_tenth():
    table = table_of(improving, data=(*HARD, *EASY), layers=(1,))
    eighth, tenth = claims.CLAIMS[7](table)["distortion"], claims.CLAIMS[9](table)["distortion"]
    assert set(eighth.rows["split"]) == {"checkerboard", "cv"}
    assert set(tenth.rows["split"]) == {"default", "cd"}


def test_larger_networks_are_deeper_or_wider_ones_of_the_same_kind_and_training():
    networks = tuple(MLP(layers=layers, width=width) for layers in (1, 3) for width in (64, 128, 512))
    wide = synthetic(study(data=(SUBSET,), network=networks), lambda layers, width, **_: 100 - 10 * layers - width / 64)
    alone = synthetic(study(data=(SUBSET,), network=MLP(layers=3, width=32), steps=200), constant(0.0))
    faster = synthetic(study(data=(SUBSET,), network=MLP(layers=3, width=32), learning_rate=0.1), constant(0.0))
    rows = growing(claims.gather([wide, alone, faster]), "distortion", 1.0)
    told = rows.set_index(["from_name", "to_name"])["difference"].to_dict()
    expected = {(MLP(1, width).label, MLP(3, width).label): -20.0 for width in (64, 128, 512)}
    expected |= {(MLP(layers, 64).label, MLP(layers, 512).label): -7.0 for layers in (1, 3)}
    assert told == pytest.approx(expected)
    longer = synthetic(study(data=(SUBSET,), network=networks, steps=200), lambda layers, **_: 100 + layers)
    rows = growing(claims.gather([wide, longer]), "distortion", 1.0)
    assert len(rows) == 5
    assert set(rows["difference"].round(9)) == {2.0, 0.0}


def test_one_seed_or_no_setting_is_not_enough_data_everywhere():
    for table in (table_of(constant(80.0), seeds=1), table_of(constant(80.0), betas=(0.7,))):
        findings = claims.ledger(table)
        assert set(claims.ledger_table(findings)["verdict"]) == {"not enough data"}
        assert claims.summarize(findings[:4]).count("**Not enough data.**") == 4
        assert all(isinstance(claims.settings_table(one), pd.DataFrame) for one in findings)
    text = claims.describe_claim(found(1, table_of(improving, data=(SUBSET,), layers=(1,))))
    assert "1 for it, 0 against it and 0 undecided, of 1 setting with" in text
    assert "the change of the test distortion from β = 1 to 0.1 is −0.9 nats." in text


def test_the_weights_that_are_compared_can_be_chosen_and_are_told():
    table = table_of(lambda beta, **_: 80 + beta * (beta < 1), betas=(1, 0.5, 0.1))
    findings = claims.ledger(table, low=0.1, high=0.5, claims=claims.CLAIMS[:1])
    assert findings[0].main.effect == pytest.approx(-0.4)
    assert "from β = 0.5 to 0.1" in claims.describe_claim(findings[0])
    with pytest.raises(ValueError, match=r"low is 1\.0 and high 0\.1; give a low"):
        claims.ledger(table, low=1.0, high=0.1)
    with pytest.raises(ValueError, match="gather: results is empty; give"):
        claims.gather([])


def test_a_setting_that_lacks_one_of_the_weights_is_not_looked_at():
    other = synthetic(study(data=(BLOCK,), betas=(1, 0.3)))
    rows = lowering(claims.gather([synthetic(study()), other]), "distortion", 0.1, 1.0)
    assert set(rows["split"]) == {"checkerboard", "cv"}


def test_other_small_weights_have_a_column_each():
    told = claims.weights_table(table_of(lambda beta, **_: 80 + 10 * beta, betas=(1, 0.1, 0.01)))
    assert list(told.columns) == ["0.1 against 1", "0.01 against 1", "0.001 against 1"]
    assert told.loc["test distortion", "0.01 against 1"] == "supported, 4/0/0; −9.9"
    assert list(told.index)[3:] == [
        "train–test gap of distortion",
        "train–test gap of the negative ELBO",
        "train–test gap of the bound on −log p(x)",
    ]
    assert told.loc["test distortion", "0.001 against 1"] == "not enough data; –"


def test_the_figure_of_a_claim_is_one_of_a_study_that_there_is():
    results = synthetic(study())
    named = {None: "fig-ledger", "capacity": "fig-capacity-information", "saturation": "fig-saturation"}
    for name, figure in named.items():
        finding = found(3, claims.gather([results]).assign(study=name or ""))
        assert finding.figure == figure
        assert f"{{numref}}`{figure}`" in claims.describe_claim(finding)


def test_a_table_of_settings_has_a_row_for_each_and_says_what_it_speaks_for():
    def distortion(beta, split, layers, partition, **_):
        return 80 + beta * (layers + 10 * (split == "cv")) * (partition == "test")

    finding = found(1, table_of(distortion))
    told = claims.settings_table(finding)
    assert told.shape == (4, 4)
    space = "\N{NO-BREAK SPACE}"
    for data, split in (("checkerboard, 81,920", "checkerboard"), ("random subset, 16,384", "cv")):
        for layers in (1, 3):
            change = f"−{0.9 * (layers + 10 * (split == 'cv')):.1f}"
            cell = f"{change} ({change}{space}to{space}{change}), for"
            assert told.loc[f"{data}: {MLP(layers=layers).label}", "test distortion"] == cell
    forest = claims.forest_rows(finding)
    assert forest.groupby("measure", sort=False).size().to_dict() == dict.fromkeys(told.columns, 4)
    for name, verdict in finding.verdicts.items():
        rows = forest[forest["measure"] == claims.MEASURES[name].label]
        assert rows["difference"].tolist() == verdict.rows["difference"].tolist()
    pairs = claims.settings_table(found(6, table_of(distortion)))
    assert f"checkerboard, 81,920: {MLP(layers=3).label} against {MLP(layers=1).label}" in pairs.index


SAID = ["dataset", "split", "share", "n_train", "data_seed", "architecture", "prior", "likelihood", "batch_size"]
SAID += ["learning_rate", "schedule", "warm_up", "precision"]


def recomputed():
    """The first claim's settings from the committed tables, by what they say of themselves, and scipy's paired test."""
    table = pd.concat([one.final for one in claims.published_results()])
    table = table[table["partition"].isin(["train", "test"])].drop_duplicates(
        [*SAID, "steps", "n_test", "beta", "seed", "partition"]
    )
    rows = []
    for _, setting in table.groupby(SAID, dropna=False, sort=False):
        last = setting[setting["steps"] == setting["steps"].max()]
        last = last[last["n_test"] == last["n_test"].max()].assign(negative_elbo=last["rate"] + last["distortion"])
        by = last.set_index(["partition", "beta", "seed"])
        for measure, column in (
            ("distortion", "distortion"),
            ("negative_elbo", "negative_elbo"),
            ("gap", "distortion"),
        ):
            values = by[column]["test"] - (by[column]["train"] if measure == "gap" else 0)
            pairs = values.unstack("beta").reindex(columns=[0.1, 1.0]).dropna()
            if len(pairs) >= 3:
                ends = stats.ttest_rel(pairs[0.1], pairs[1.0]).confidence_interval(0.95)
                effect = (pairs[0.1] - pairs[1.0]).mean()
                rows.append({"measure": measure, "effect": effect, "low": ends.low, "high": ends.high})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # No result that happens to be cached on this machine.
        patch.setenv("RATEREG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield claims.CLAIMS[0](claims.gather(claims.published_results())), recomputed()


@pytest.mark.parametrize("measure", ["distortion", "negative_elbo", "gap"])
def test_the_first_claim_is_what_scipy_makes_of_the_committed_tables(measure, committed):
    verdict, oracle = committed[0][measure], committed[1].query("measure == @measure")
    rows = verdict.rows[verdict.rows["counts"] != "too few seeds"]
    ours = rows[["difference", "difference_low", "difference_high"]].sort_values("difference").to_numpy()
    theirs = oracle[["effect", "low", "high"]].sort_values("effect").to_numpy()
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert len(ours) >= 4
    counts = verdict.supporting, verdict.opposing, verdict.undecided
    improved, worsened = int((oracle["high"] < 0).sum()), int((oracle["low"] > 0).sum())
    assert counts == (improved, worsened, len(oracle) - improved - worsened)
    assert verdict.effect == pytest.approx(oracle["effect"].mean(), abs=1e-9)
