import math

import numpy as np
import pandas as pd
import pytest

from ratereg import MLP, Data, Study
from ratereg.summary import data_label, groups, labels, mean_interval, network_label, over_seeds
from synthetic import synthetic

STUDY = Study(
    data=(Data("tetrominoes", split="checkerboard"), Data("tetrominoes", split="cv", share=0.1)),
    network=(MLP(layers=1), MLP(layers=3)),
    betas=(5, 1, 0.1),
    seeds=3,
    steps=100,
)


def final(**settings):
    return synthetic(STUDY.replace(**settings)).final


@pytest.mark.parametrize(("seeds", "quantile"), [(2, 12.7062), (3, 4.3027), (5, 2.7764)])
def test_an_interval_has_the_width_of_printed_tables(seeds, quantile):
    values = np.arange(seeds)
    assert mean_interval(values).half_width == pytest.approx(quantile * values.std(ddof=1) / seeds**0.5, rel=1e-4)


def test_a_95_percent_interval_holds_the_mean_95_times_in_100():
    generator = np.random.default_rng(0)
    intervals = [mean_interval(generator.normal(3, 2, size=4)) for _ in range(4000)]
    assert np.mean([one.low < 3 < one.high for one in intervals]) == pytest.approx(0.95, abs=0.012)


def test_one_value_has_a_mean_and_no_interval():
    assert mean_interval([2.0]).mean == 2
    assert math.isnan(mean_interval([2.0]).low)
    assert mean_interval([]).seeds == 0


def test_over_seeds_keeps_settings_betas_and_partitions_apart():
    made = synthetic(STUDY, lambda seed, beta, partition, layers, **_: 80 + seed + beta + 7 * layers * len(partition))
    means = over_seeds(made.final, ("distortion", "rate"))
    assert len(means) == 2 * 2 * 3 * 2
    assert (means["seeds"] == 3).all()
    expected = 81 + means["beta"] + 7 * means["layers"] * means["partition"].str.len()
    assert means["distortion"].to_numpy() == pytest.approx(expected)
    half_width = means["distortion"] - means["distortion_low"]
    assert half_width.to_numpy() == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)
    assert (means["rate"] < 50).all()


def test_over_seeds_keeps_those_apart_that_differ_in_how_they_were_trained():
    table = pd.concat([final(), final(learning_rate=3e-3), final(steps=70)])
    assert len(over_seeds(table, ("rate",))) == 3 * len(over_seeds(final(), ("rate",)))


def test_labels_say_what_was_learned_from_and_what_learned():
    rows = final()
    assert [data_label(one) for one in groups(rows, ["split"])] == [
        "checkerboard, 81,920 training images",
        "random subset, 16,384 training images",
    ]
    assert network_label(rows) == MLP().label
    assert data_label(rows.assign(dataset="mnist"), short=True) == "mnist, checkerboard, 81,920"
    binary = rows.assign(dataset="tetrominoes, static binarization", split="default")
    assert data_label(binary, short=True) == "static binarization, random halves, 81,920"
    assert data_label(binary.assign(dataset="mnist, dynamic binarization"), short=True) == (
        "mnist, dynamic binarization, 81,920"
    )
    words = labels(rows, short=True)
    assert set(map(tuple, words.to_numpy())) == {
        (data, MLP(layers=layers).label)
        for data in ("checkerboard, 81,920", "random subset, 16,384")
        for layers in (1, 3)
    }
    assert (words["network"] == rows["architecture"]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": 3e-3}, ("learning rate 0.001", "learning rate 0.003")),
        ({"schedule": "cosine", "steps": 70}, ("steps 100, schedule constant", "steps 70, schedule cosine")),
        ({"batch_size": 32}, ("batch size 128", "batch size 32")),
        ({"data": Data("tetrominoes", split="cv", share=0.1, seed=4)}, ("data seed 0", "data seed 4")),
    ],
)
def test_settings_of_the_same_name_are_told_apart_by_what_differs(change, words):
    one = final(data=STUDY.axis_data[1], network=MLP())
    rows = pd.concat([one, final(**{"data": STUDY.axis_data[1], "network": MLP()} | change)], ignore_index=True)
    told = labels(rows)
    assert list(dict.fromkeys(told["network"])) == [f"{MLP().label}, {word}" for word in words]
    assert pd.concat([told, rows["setting"]], axis=1).drop_duplicates().shape == (2, 3)
    assert set(labels(one)["network"]) == {MLP().label}


def test_settings_that_differ_in_nothing_that_has_a_name_are_told_apart_by_their_digest():
    one = final(data=STUDY.axis_data[0], network=MLP())
    rows = pd.concat([one, one.assign(setting="0123456789ab")], ignore_index=True)
    assert labels(rows)["network"].nunique() == 2
    assert labels(rows)["network"].iloc[-1].endswith("setting 0123456789ab")
