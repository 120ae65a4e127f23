import math

import numpy as np
import pytest

from ratereg.summary import data_label, groups, mean_interval, network_label, over_seeds, t_quantile


@pytest.mark.parametrize(
    ("degrees", "value"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (30, 2.0423), (1000, 1.9623)],
)
def test_t_quantile_agrees_with_printed_tables(degrees, value):
    assert t_quantile(degrees, 0.975) == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize("degrees", [1, 2, 5, 8])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.995])
def test_t_quantile_inverts_the_integral_of_the_density(degrees, probability):
    t = np.linspace(0, t_quantile(degrees, probability), 200_001)
    log_constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    density = np.exp(log_constant - (degrees + 1) / 2 * np.log1p(t**2 / degrees))
    assert 0.5 + np.trapezoid(density, t) == pytest.approx(probability, abs=1e-8)


def test_t_quantile_is_odd_around_one_half():
    assert t_quantile(3, 0.1) == pytest.approx(-t_quantile(3, 0.9))
    assert t_quantile(3, 0.5) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("degrees", "probability"), [(0, 0.9), (3, 0.0), (3, 1.0)])
def test_t_quantile_refuses_what_has_no_quantile(degrees, probability):
    with pytest.raises(ValueError, match="give"):
        t_quantile(degrees, probability)


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
