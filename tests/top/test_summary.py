import math

import numpy as np
import pytest

from ratereg.summary import data_label, groups, mean_interval, network_label, over_seeds


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


def test_over_seeds_keeps_settings_betas_and_partitions_apart(make_results):
    results = make_results(lambda seed, beta, **_: 80 + seed + beta)
    means = over_seeds(results.final, ("distortion",))
    assert len(means) == 2 * 2 * 6 * 2
    assert (means["seeds"] == 3).all()
    assert means["distortion"].to_numpy() == pytest.approx(81 + means["beta"])
    assert (means["distortion_low"] < means["distortion"]).all()


def test_labels_say_what_was_learned_from_and_what_learned(make_results):
    rows = make_results().final
    assert [data_label(one) for one in groups(rows, ["split"])] == [
        "checkerboard, 81,920 training images",
        "random subset, 16,384 training images",
    ]
    assert {network_label(one) for one in groups(rows, ["layers"])} == {"1 hidden layer", "3 hidden layers"}
    assert network_label(rows.assign(width=64)) == "1 hidden layer of 64, 10 latents"
    assert data_label(rows.assign(dataset="mnist"), short=True) == "mnist, checkerboard, 81,920"
    assert network_label(rows.assign(layers=0)) == "linear, 10 latents"
    convolutional = rows.assign(network="convolutional", layers=2, width=16)
    assert network_label(convolutional) == "convolutional, 16 channels"
    assert network_label(convolutional.assign(latent_dim=5)) == "convolutional, 16 channels, 5 latents"
    binary = rows.assign(dataset="tetrominoes, static binarization", split="default")
    assert data_label(binary, short=True) == "static binarization, random halves, 81,920"
    assert data_label(binary.assign(dataset="mnist, dynamic binarization"), short=True) == (
        "mnist, dynamic binarization, 81,920"
    )
