"""The ledger on results of known verdict, and recomputed from the committed tables by other means."""

import io
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ratereg import CATALOG, MLP, Convolutional, Data, Study, claims, plots
from ratereg.claims.gather import longest, values_of
from ratereg.claims.settings import (
    capacity_of,
    difficulty_of,
    growing,
    lowering,
    lowering_when_saturated,
    saturated_betas,
    underfitting,
)
from ratereg.claims.verdicts import bootstrap_interval, tally
from ratereg.studies.results import published_directory
from synthetic import synthetic

CHECKERBOARD, SUBSET = Data("tetrominoes", split="checkerboard"), Data("tetrominoes", split="cv", share=0.1)
HALVES, BLOCK = Data("tetrominoes"), Data("tetrominoes", split="cd", share=0.1)
HARD, EASY = (CHECKERBOARD, SUBSET), (HALVES, BLOCK)
WORDS = ("supported", "contradicted", "mixed", "not enough data")


def study(data=HARD, layers=(1, 3), **settings):
    networks = settings.pop("network", tuple(MLP(layers=count) for count in layers))
    usual = {"betas": (1, 0.1), "seeds": 3, "steps": 100, "records": 1, "bound_images": 8, "annealed_images": 2}
    return Study(data=data, network=networks, **usual | settings)


def constant(value):
    return lambda **_: value


SATURATING = constant(30.0)


def table_of(distortion, rate=SATURATING, **settings):
    # The bound on the likelihood goes along with the distortion, whatever the rate.
    bound_gap = settings.pop("bound_gap", rate)
    return claims.gather([synthetic(study(**settings), distortion, rate, bound_gap)])


def found(number, table):
    return claims.ledger(table, claims=[claims.CLAIMS[number - 1]])[0]


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
    verdicts = claim(table)
    assert {name: one.word for name, one in verdicts.items()} == dict.fromkeys(claim.measures, word)
    finding = found(number, table)
    assert claims.ledger_table([finding]).loc[number, "verdict"] == word
    assert claims.describe_claim(finding).startswith(f"**{word.capitalize()}.**")
    if word != "not enough data":
        settings = 4 if number in (1, 2, 3, 4) else 2
        undecided = 2 if (number, word) == (4, "mixed") else 0
        opposing = {"supported": 0, "contradicted": settings, "mixed": (settings - undecided) / 2}[word]
        main = finding.main
        assert (main.supporting, main.opposing, main.undecided) == (
            settings - opposing - undecided,
            opposing,
            undecided,
        )


def test_the_effect_is_the_mean_over_settings_with_enough_seeds():
    fall = {"checkerboard": 2.0, "cv": 6.0}
    few = synthetic(study(data=(BLOCK,), seeds=2), lambda beta, **_: 80 + 100 * beta)
    many = synthetic(study(), lambda beta, split, **_: 80 + fall[split] * (beta == 1))
    verdict = claims.CLAIMS[0](claims.gather([many, few]))["distortion"]
    assert verdict.effect == pytest.approx(-4)
    assert (verdict.settings, len(verdict.rows)) == (4, 6)
    assert (verdict.rows["counts"] == "too few seeds").sum() == 2


def test_a_negative_claim_is_supported_only_if_the_undecided_could_not_overturn_it():
    def decided(settings):
        def distortion(beta, seed, split, layers, **_):
            clear = ["checkerboard1", "checkerboard3", "cv1", "cv3"].index(f"{split}{layers}") < settings
            return 80 + (3 * beta if clear else (seed - 1) * beta)

        return table_of(distortion)

    assert claims.CLAIMS[0](decided(2))["distortion"].word == "mixed"
    assert claims.CLAIMS[3](decided(2))["distortion"].word == "supported"
    assert claims.CLAIMS[3](decided(1))["distortion"].word == "mixed"


@pytest.mark.parametrize(
    ("counts", "word", "negative_word"),
    [
        ((3, 2, 0), "supported", "supported"),
        ((2, 2, 0), "mixed", "supported"),
        ((2, 0, 3), "mixed", "mixed"),
        ((2, 3, 0), "contradicted", "contradicted"),
        ((0, 2, 2), "mixed", "mixed"),
        ((1, 0, 0), "not enough data", "not enough data"),
        ((0, 0, 0), "not enough data", "not enough data"),
    ],
)
def test_a_verdict_is_that_of_more_than_half(counts, word, negative_word):
    names = list(
        itertools.chain(*([name] * n for name, n in zip(("for", "against", "undecided"), counts, strict=True)))
    )
    rows = pd.DataFrame({"counts": [*names, "too few seeds", "not counted"], "effect": [1.0] * (len(names) + 2)})
    assert tally(rows).word == word
    assert tally(rows, negative=True).word == negative_word


def test_the_bootstrap_interval_is_that_of_all_resamples():
    values = np.array([-9.0, -2.0, 0.5, 3.0, 4.0])
    means = [np.mean(one) for one in itertools.product(values, repeat=5)]
    assert bootstrap_interval(values) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.25)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert all(math.isnan(end) for end in bootstrap_interval(values[:1]))


def test_measures_that_disagree_are_named_and_so_are_those_that_agree():
    table = table_of(
        lambda beta, partition, **_: 80 + 3 * beta * (1 if partition == "test" else 2),
        rate=lambda beta, **_: 30 - 10 * math.log(beta),
    )
    finding = found(1, table)
    text = claims.describe_claim(finding)
    assert (
        "**The measures disagree**: by the test negative ELBO it is contradicted (0 for, 4 against, 0 undecided)"
        in text
    )
    assert "by the train–test gap of distortion it is contradicted (0 for, 4 against, 0 undecided)" in text
    assert "The test bound on −log p(x) agrees." in text
    row = claims.measures_table([finding]).loc[1]
    assert row["test distortion"] == "supported, 4/0/0"
    assert row["test negative ELBO"] == "contradicted, 0/4/0"
    brief = "Judged in other ways: contradicted by the test negative ELBO, supported by the test bound on −log p(x), "
    assert f"{brief}contradicted by the train–test gap of distortion." in claims.summarize([finding])
    agreed = claims.describe_claim(found(1, planted(1, "supported")))
    assert "The other measures agree." in agreed
    assert "disagree" not in agreed


def test_a_measure_that_was_not_taken_is_said_to_lack_data():
    finding = found(1, table_of(lambda beta, **_: 80 + beta, bound_images=0, annealed_images=0))
    assert "By the test bound on −log p(x) there is not enough data." in claims.describe_claim(finding)
    assert set(claims.settings_table(finding)["test bound on −log p(x)"]) == {"not measured"}


def test_the_same_member_in_several_studies_counts_once():
    first = synthetic(study(), lambda beta, **_: 80 + beta)
    again = synthetic(study(records=3), lambda beta, **_: 80 - beta)
    table = claims.gather([first, again])
    pd.testing.assert_frame_equal(table, claims.gather([first]))
    fewer_test_images = tuple(Data(one.source, one.split, one.share, n_test=500) for one in HARD)
    seen_on_fewer = synthetic(study(data=fewer_test_images), lambda beta, **_: 80 - beta)
    for order in ([first, seen_on_fewer], [seen_on_fewer, first]):
        assert claims.CLAIMS[0](claims.gather(order))["distortion"].supporting == 4


def test_the_longest_training_counts_and_a_decaying_rate_does_not():
    short = synthetic(study(), lambda beta, **_: 80 + beta)
    long = synthetic(study(steps=200), lambda beta, **_: 80 - beta)
    decaying = synthetic(study(steps=400, schedule="cosine"), lambda beta, **_: 80 + beta)
    verdict = claims.CLAIMS[0](claims.gather([short, long, decaying]))["distortion"]
    assert (verdict.supporting, verdict.opposing) == (0, 4)
    assert set(verdict.rows["steps"]) == {200}


def test_nothing_to_gather_is_refused():
    with pytest.raises(ValueError, match="gather: results has none"):
        claims.gather([synthetic(study(schedule="cosine"))])


def test_annealing_is_preferred_to_the_importance_weighted_bound():
    annealed = longest(table_of(constant(80.0), bound_gap=constant(4.0)))[0]
    weighted = longest(table_of(constant(80.0), bound_gap=constant(4.0), annealed_images=0))[0]
    # In `synthetic` annealing gives 4 nats more than the ELBO, and the weighted bound one nat less than that.
    assert values_of(annealed, "log_likelihood").to_numpy() == pytest.approx(80 + 30 - 4)
    assert values_of(weighted, "log_likelihood").to_numpy() == pytest.approx(80 + 30 - 4 + 1)
    with pytest.raises(ValueError, match="measure is 'accuracy'; give one of"):
        values_of(annealed, "accuracy")


def test_changing_one_result_changes_the_words():
    results = synthetic(study(), lambda beta, seed, **_: 80 + 3 * beta + noise(beta, seed))
    changed = results.table.copy()
    worse = (changed["split"] == "cv") & (changed["beta"] == 0.1) & (changed["partition"] == "test")
    changed.loc[worse, "distortion"] += 9
    before, after = (
        claims.ledger(claims.gather([one]), claims=claims.CLAIMS[:1])
        for one in (results, replace(results, table=changed))
    )
    for findings, verdict, supporting, opposing in ((before, "supported", 4, 0), (after, "mixed", 2, 2)):
        row = claims.ledger_table(findings).loc[1]
        assert (row["verdict"], row["for/against/undecided"]) == (verdict, f"{supporting}/{opposing}/0")
        word, text = f"**{verdict.capitalize()}.** By the test distortion", claims.describe_claim(findings[0])
        assert f"{word}, of 4 settings with at least 3 seeds, {supporting} speak for it, {opposing} against it" in text
        assert f"{word}, {supporting} of 4 settings speak for it and {opposing} against" in claims.summarize(findings)
    assert claims.ledger_table(before).loc[1, "effect (nats)"] != claims.ledger_table(after).loc[1, "effect (nats)"]


def test_underfitting_is_a_rise_of_training_distortion_beyond_a_twentieth():
    def distortion(beta, partition, seed, **_):
        return 100 + {5: 5.5, 3: 4.5, 1: 2, 0.1: 0}[beta] + (1000 * beta if partition == "test" else 0) + 0.1 * seed

    def rate(beta, **_):
        return {5: 2, 3: 4, 1: 30, 0.1: 30}[beta]

    rows = underfitting(table_of(distortion, rate, betas=(5, 3, 1, 0.1)))
    assert set(rows["to"]) == {5}
    assert rows["effect"].to_numpy() == pytest.approx(5.5)
    assert set(rows["verdict"]) == {"worsens"}
    assert set(rows["while_saturated"]) == {"improves"}
    assert set(underfitting(table_of(distortion, rate, betas=(3, 1, 0.1)))["verdict"]) == {"improves"}


def test_without_a_loss_of_information_nothing_is_said_about_underfitting():
    finding = found(2, table_of(lambda beta, **_: 80 + 20 * beta))
    text = claims.describe_claim(finding)
    assert finding.main.settings == 0
    assert "No setting has the 3 seeds" in text
    assert "4 settings say nothing, as no measured β reduces the mutual information." in text
    assert "In 4 of the 4 settings" in text
    assert "underfitting without a loss of mutual information" in text


def test_a_smallest_beta_that_is_not_saturated_is_a_reference_all_the_same():
    # 8.1 nats at the smallest beta, below the ceiling, and 2.7 and 8.09 above.
    rows = underfitting(
        table_of(
            lambda beta, **_: 80 + 9 * beta, lambda beta, **_: {1: 3, 0.5: 8.99, 0.1: 9}[beta], betas=(1, 0.5, 0.1)
        )
    )
    assert set(rows["to"]) == {1}
    assert set(rows["while_saturated"]) == {""}


def test_after_saturation_the_largest_saturated_beta_is_held_against_one_a_factor_of_three_below():
    level = {5: 90, 1: 85, 0.5: 84, 0.3: 83, 0.1: 81, 0.01: 70}

    def rows_of(betas, saturated=1.0):
        rate = lambda beta, **_: 2 if beta > saturated else 30  # noqa: E731
        return lowering_when_saturated(table_of(lambda beta, **_: level[beta], rate, betas=betas), "distortion")

    rows = rows_of(tuple(level))
    assert set(rows["from"]) == {1}
    assert set(rows["to"]) == {0.3}
    assert rows["difference"].to_numpy() == pytest.approx(83 - 85)
    # 0.3 / 3 is a little less than 0.1 in floating point.
    assert set(rows_of(tuple(level), saturated=0.3)["to"]) == {0.1}
    assert set(rows_of((1, 0.5))["reason"]) == {
        "no two measured β that saturate the mutual information lie a factor of 3 apart"
    }
    assert set(rows_of((5, 1, 0.1), saturated=0.01)["verdict"]) == {""}


def test_saturation_is_within_a_twentieth_of_a_nat_of_the_ceiling():
    ceiling = math.log(16_384)
    rates = {1: (ceiling - 0.06) / 0.9, 0.5: (ceiling - 0.04) / 0.9, 0.1: 30}
    table = table_of(constant(80.0), lambda beta, **_: rates[beta], data=(SUBSET,), layers=(1,), betas=tuple(rates))
    assert saturated_betas(longest(table)[0]) == [0.1, 0.5]


@pytest.mark.parametrize(
    ("data", "difficulty"),
    [
        (CHECKERBOARD, "hard"),
        (SUBSET, "hard"),
        (Data("tetrominoes", n_train=256), "hard"),
        (Data("tetrominoes", split="cv", share=0.3), ""),
        (Data("tetrominoes", split="cv", share=0.9), "easy"),
        (HALVES, "easy"),
        (BLOCK, "easy"),
        (Data("fashion-mnist"), ""),
    ],
)
def test_problems_are_easy_or_hard_by_their_split_and_size(data, difficulty):
    assert difficulty_of(table_of(constant(80.0), data=(data,))) == difficulty


@pytest.mark.parametrize(
    ("network", "capacity"),
    [
        (MLP(layers=0), "low"),
        (MLP(layers=1, width=1024), "low"),
        (MLP(layers=3, width=64), "low"),
        (MLP(layers=2), ""),
        (MLP(layers=3, width=256), ""),
        (MLP(layers=3), "high"),
        (Convolutional(), ""),
    ],
)
def test_capacity_is_low_or_high_by_depth_and_width(network, capacity):
    assert capacity_of(table_of(constant(80.0), network=(network,))) == capacity


def test_the_eighth_statement_leaves_easy_problems_to_the_tenth():
    table = table_of(lambda beta, **_: 80 + beta, data=(*HARD, *EASY), layers=(1,))
    eighth, tenth = claims.CLAIMS[7](table)["distortion"], claims.CLAIMS[9](table)["distortion"]
    assert set(eighth.rows["split"]) == {"checkerboard", "cv"}
    assert set(tenth.rows["split"]) == {"default", "cd"}


def test_larger_networks_are_deeper_or_wider_ones_of_the_same_kind_and_training():
    networks = tuple(MLP(layers=layers, width=width) for layers in (1, 3) for width in (64, 128, 512))
    wide = synthetic(study(data=(SUBSET,), network=networks), lambda layers, width, **_: 100 - 10 * layers - width / 64)
    alone = synthetic(study(data=(SUBSET,), network=MLP(layers=3, width=32), steps=200), constant(0.0))
    rows = growing(claims.gather([wide, alone]), "distortion", 1.0)
    told = {where.split(": ")[1]: value for where, value in zip(rows["where"], rows["difference"], strict=True)}
    assert told == pytest.approx(
        {f"3 against 1 layers of {width} units": -20.0 for width in (64, 128, 512)}
        | {"512 against 64 units, 1 layer": -7.0, "512 against 64 units, 3 layers": -7.0}
    )
    longer = synthetic(study(data=(SUBSET,), network=networks, steps=200), lambda layers, **_: 100 + layers)
    rows = growing(claims.gather([wide, longer]), "distortion", 1.0)
    assert set(rows["difference"].round(9)) == {2.0, 0.0}


def test_one_seed_or_no_setting_is_not_enough_data_everywhere():
    for table in (table_of(constant(80.0), seeds=1), table_of(constant(80.0), betas=(0.7,))):
        findings = claims.ledger(table)
        assert set(claims.ledger_table(findings)["verdict"]) == {"not enough data"}
        assert claims.summarize(findings[:4]).count("**Not enough data.**") == 4
    text = claims.describe_claim(found(1, table_of(lambda beta, **_: 80 + beta, data=(SUBSET,), layers=(1,))))
    assert text.startswith(
        "**Not enough data.** By the test distortion, of 1 setting with at least 3 seeds, 1 speaks for it"
    )
    assert "a verdict takes 2 settings. There, the change of the test distortion from β = 1 to 0.1 is −0.9 nats" in text


def test_the_weights_that_are_compared_can_be_chosen_and_are_told():
    table = table_of(lambda beta, **_: 80 + beta * (beta < 1), betas=(1, 0.5, 0.1))
    findings = claims.ledger(table, low=0.1, high=0.5, claims=claims.CLAIMS[:1])
    assert findings[0].main.effect == pytest.approx(-0.4)
    assert "from β = 0.5 to 0.1" in claims.describe_claim(findings[0])
    with pytest.raises(ValueError, match=r"low is 1\.0 and high 0\.1; give a low"):
        claims.ledger(table, low=1.0, high=0.1)


def test_other_small_weights_have_a_column_each():
    told = claims.weights_table(table_of(lambda beta, **_: 80 + 10 * beta, betas=(1, 0.1, 0.01)))
    assert list(told.columns) == ["0.1 against 1", "0.01 against 1", "0.001 against 1"]
    assert told.loc["test distortion", "0.01 against 1"].startswith("supported, 4/0/0; −9.9 (")
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
        table = claims.gather([results]).assign(study=name or "")
        assert found(3, table).figure == figure
        assert f"{{numref}}`{figure}`" in claims.describe_claim(found(3, table))


def test_a_table_of_settings_has_a_row_for_each_and_says_what_it_speaks_for():
    told = claims.settings_table(found(1, table_of(lambda beta, **_: 80 + 10 * beta)))
    assert told.shape == (4, 4)
    assert told.loc["random subset, 16,384: 3 hidden layers", "test distortion"].startswith(
        "−9.0 (−9.0\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}−9.0), for"
    )
    assert told["test distortion"].str.endswith(", for").all()


def test_the_forest_has_a_row_for_each_setting_and_a_panel_for_each_measure():
    finding = found(1, table_of(lambda beta, split, **_: 80 + 40 * beta * (1 if split == "cv" else -1)))
    fig = plots.forest(claims.forest_rows(finding))
    assert [panel.get_title().replace("\n", " ") for panel in fig.axes] == [
        "test distortion",
        "test negative ELBO",
        "test bound on −log p(x)",
        "train–test gap of distortion",
    ]
    for panel, name in zip(fig.axes, finding.verdicts, strict=True):
        drawn = [line.get_xdata()[0] for line in panel.lines if line.get_marker() in ("o", "s", "D")]
        assert drawn == pytest.approx(finding.verdicts[name].rows["difference"].tolist())
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["1 hidden layer", "3 hidden layers"] * 2
    assert [text.get_text() for text in fig.texts] == ["checkerboard, 81,920", "random subset, 16,384"]
    low, high = fig.axes[0].get_xlim()
    assert low < -36 < 36 < high
    fig.savefig(io.BytesIO(), format="svg")
    with pytest.raises(ValueError, match="forest: contrasts has no rows"):
        plots.forest(claims.forest_rows(finding).iloc[:0])


def recount(partition_sign):
    """Count the first claim's settings from the committed tables alone: improved, worsened and undecided."""
    parts = []
    for name, scales in CATALOG.items():
        committed = [
            json.loads(path.read_text()) | {"path": path}
            for path in published_directory().glob(f"{name}/*/provenance.json")
        ]
        scale = next((one for one in scales if one in {facts.get("scale") for facts in committed}), None)
        for facts in committed:
            settings = json.loads(Path(facts["path"]).with_name("study.json").read_text())
            if facts.get("scale") == scale and settings.get("schedule", "constant") == "constant":
                rows = pd.read_csv(Path(facts["path"]).with_name("table.csv"))
                parts.append(rows[rows["step"] == facts["steps"]].assign(steps=facts["steps"]))
    table = pd.concat(parts).fillna({"share": -1})
    where = ["dataset", "split", "share", "n_train", "network", "layers", "width", "latent_dim", "prior", "likelihood"]
    counts = {"improved": 0, "worsened": 0, "undecided": 0}
    for _, rows in table.groupby(where):
        last = rows[rows["steps"] == rows["steps"].max()]
        last = last[(last["n_test"] == last["n_test"].max()) & last["partition"].isin(partition_sign)]
        by_seed: dict[int, float] = {}
        for (seed, partition), pair in last[last["beta"].isin([1, 0.1])].groupby(["seed", "partition"]):
            values = pair.drop_duplicates("beta").set_index("beta")["distortion"]
            if len(values) == 2:
                change = (values[0.1] - values[1]) * partition_sign[partition]
                by_seed[seed] = by_seed.get(seed, 0.0) + change
        changes = np.array([one for one in by_seed.values() if not math.isnan(one)])
        if len(changes) >= 3:
            half = stats.t.ppf(0.975, len(changes) - 1) * changes.std(ddof=1) / math.sqrt(len(changes))
            word = "improved" if changes.mean() + half < 0 else "worsened" if changes.mean() - half > 0 else "undecided"
            counts[word] += 1
    return counts


@pytest.mark.parametrize(
    ("measure", "partition_sign"), [("distortion", {"test": 1}), ("gap", {"test": 1, "train": -1})]
)
def test_the_first_claims_counts_are_those_of_the_committed_tables(measure, partition_sign, monkeypatch, tmp_path):
    # No result that happens to be cached on this machine.
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path))
    verdict = claims.CLAIMS[0](claims.gather(claims.published_results()))[measure]
    counts = {"improved": verdict.supporting, "worsened": verdict.opposing, "undecided": verdict.undecided}
    assert counts == recount(partition_sign)
    assert sum(counts.values()) >= 4


def test_a_setting_that_lacks_one_of_the_weights_is_not_looked_at():
    both = synthetic(study())
    other = synthetic(study(data=(BLOCK,), betas=(1, 0.3)))
    assert set(lowering(claims.gather([both, other]), "distortion", 0.1, 1.0)["split"]) == {"checkerboard", "cv"}
