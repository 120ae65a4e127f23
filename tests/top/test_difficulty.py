import dataclasses

import numpy as np
import pytest

import ratereg
from ratereg import MLP, Data, claims, plots
from ratereg.measurements import ByDistance
from synthetic import synthetic

STUDY = ratereg.published("difficulty", "cpu")
CLASSES = STUDY.measurement(ByDistance).classes
NOISE = (0.0, 0.3, -0.2)
DISTANCES = {"random subset, 1,638": 0.16, "central block, 8,192": 0.07}


def by_class(change, study=STUDY):
    """Results whose distortion at beta = 0.1 less that at 1 is a function of class (0 near, 1 far) and seed."""
    results = synthetic(study)
    places = np.linspace(0, 1, CLASSES)
    rows = [[80 + change(place, member.seed) * (member.beta == 0.1) for place in places] for member in study.members]
    return dataclasses.replace(results, arrays={**results.arrays, "distance_distortion": np.array(rows)})


def test_the_contrast_of_each_class_and_of_far_less_near_is_what_was_planted():
    table = claims.contrast_by_distance(by_class(lambda place, seed: -1 - 4 * place + NOISE[seed]))
    assert len(table) == 4 * (CLASSES + 1)
    one = table[(table["split"] == "cv") & (table["layers"] == 3)].set_index("place")
    assert list(one.index) == [*range(8), -1]
    noise = np.mean(NOISE)
    assert one["difference"].to_numpy() == pytest.approx([*(noise - 1 - 4 * np.linspace(0, 1, 8)), -4])
    # Paired over seeds, so that what a seed shifts in all classes is not in the last row.
    assert one["difference_high"].loc[-1] == pytest.approx(-4)
    assert one["difference_high"].loc[0] > one["difference"].loc[0] + 0.3
    text = claims.describe_contrasts(one.reset_index())
    assert "improves** the distortion of test images at a mean distance of 0.05: −1.0 nats" in text
    assert "improves** the excess distortion of the farthest test images over the nearest: −4.0 nats" in text


def test_what_has_no_distances_is_refused():
    with pytest.raises(ValueError, match="no distances; give"):
        claims.contrast_by_distance(synthetic(STUDY.without(ByDistance)))
    with pytest.raises(ValueError, match="give one for 'central block, 8,192' too"):
        plots.difficulty(synthetic(STUDY), distances={"random subset, 1,638": 0.2})


def test_the_distortion_by_class_is_that_of_the_members():
    results = synthetic(STUDY)
    classes = np.arange(len(STUDY))[:, None] * np.array([1.0, *[0.0] * 6, 100.0])
    # Rows in another order than the arrays.
    rows = results.table.sample(frac=1, random_state=0)
    results = dataclasses.replace(results, table=rows, arrays={**results.arrays, "distance_distortion": classes})
    table = claims.contrast_by_distance(results)
    members = (
        results.final[results.final["partition"] == "test"]
        .set_index(["setting", "beta", "seed"])["member"]
        .sort_index()
    )
    for _, row in table.iterrows():
        change = (members[row["setting"], 0.1] - members[row["setting"], 1.0]).mean()
        assert row["difference"] == pytest.approx(change * {0: 1, 7: 100, -1: 99}.get(row["place"], 0))


@pytest.mark.parametrize(("more", "verdict"), [(-2, "improves"), (2, "worsens")])
def test_what_a_small_beta_does_is_compared_between_the_nearest_and_the_farthest_data_set(more, verdict):
    def distortion(beta, split, seed, layers, **_):
        change = -3 * layers + (more if split == "cv" else 0) + 0.01 * NOISE[seed] * (split == "cv")
        return 80 + 5 * seed + change * (beta == 0.1)

    table = claims.contrast_data_sets(synthetic(STUDY, distortion), DISTANCES)
    assert table["difference"].to_numpy() == pytest.approx(more, abs=0.01)
    assert (set(table["from"]), set(table["to"])) == ({0.07}, {0.16})
    text = claims.describe_contrasts(table)
    names = "random subset, 1,638 instead of central block, 8,192"
    effect = "the effect of lowering β from 1 to 0.1 on the test distortion"
    assert f"- {MLP(layers=3).label}: {names} **{verdict}** {effect}" in text
    assert claims.contrast_data_sets(synthetic(STUDY.replace(data=STUDY.axis_data[0])), DISTANCES).empty


def test_data_sets_are_drawn_from_near_to_far_with_the_steps_of_those_of_another_age():
    results = synthetic(STUDY)
    other = synthetic(STUDY.replace(data=Data("tetrominoes", split="checkerboard"), steps=700).without(ByDistance))
    distances = DISTANCES | {"checkerboard, 81,920": 0.12}
    fig = plots.difficulty(results, distances=distances, others=[other])
    assert [panel.get_title() for panel in fig.axes] == [MLP(layers=1).label, MLP(layers=3).label]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [
        "central block, 8,192\ndistance 0.070",
        "checkerboard, 81,920\n700 steps, distance 0.120",
        "random subset, 1,638\ndistance 0.160",
    ]
    assert fig.axes[0].get_ylim()[0] > fig.axes[0].get_ylim()[1]


def test_the_figure_of_difficulty_has_the_means_of_both_partitions_in_the_line_of_their_data_set():
    def distortion(split, layers, beta, partition, seed, **_):
        return 60 + 10 * (split == "cv") + 3 * (layers == 3) + beta + 4 * (partition == "test") + seed

    panel = plots.difficulty(synthetic(STUDY, distortion), distances=DISTANCES).axes[1]
    markers = {"o": [], "^": []}
    for line in panel.lines:
        if line.get_marker() in markers and len(line.get_xdata()) == 1:
            markers[line.get_marker()].append((round(line.get_ydata()[0]), line.get_xdata()[0]))
    expected = [(place, 64 + 10 * place + beta) for place in (0, 1) for beta in (1, 0.1)]
    assert np.array(markers["^"]) == pytest.approx(np.array(expected))
    assert np.array(markers["o"]) == pytest.approx(np.array(expected) + np.array([0, 4]))


def test_the_curves_along_distance_are_means_over_seeds():
    results = by_class(lambda place, seed: 2 * place + seed)
    fig = plots.distance_distortion(results)
    assert len(fig.axes) == 4
    curves = [np.column_stack(line.get_data()) for line in fig.axes[3].lines if len(line.get_xdata()) == 8]
    assert len(curves) == 2
    assert curves[0][:, 1] == pytest.approx(80)
    assert curves[1][:, 1] == pytest.approx(81 + 2 * np.linspace(0, 1, 8))
    assert curves[1][:, 0] == pytest.approx(np.linspace(0.05, 0.25, 8))
