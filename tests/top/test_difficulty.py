import dataclasses
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from ipywidgets.embed import dependency_state

import ratereg
from ratereg import MLP, Data, claims, plots, widgets
from ratereg.data import splits, tetrominoes
from ratereg.measurements import ByDistance
from ratereg.plots.difficulty import beta_colors
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


def test_the_distortion_by_class_is_that_of_the_members():
    # Members in another order than their arrays would shift every number.
    results = synthetic(STUDY)
    classes = np.arange(len(STUDY))[:, None] * np.array([1.0, *[0.0] * 6, 100.0])
    results = dataclasses.replace(results, arrays={**results.arrays, "distance_distortion": classes})
    table = claims.contrast_by_distance(results)
    members = results.final[results.final["partition"] == "test"].set_index(["setting", "beta", "seed"])["member"]
    for _, row in table.iterrows():
        change = (members[row["setting"], 0.1] - members[row["setting"], 1.0]).mean()
        assert row["difference"] == pytest.approx(change * {0: 1, 7: 100, -1: 99}.get(row["place"], 0))


@pytest.mark.parametrize(
    ("slope", "verdict"),
    [(lambda seed: -4.0, "improves"), (lambda seed: 4.0, "worsens"), (lambda seed: seed - 1.0, "undecided")],
)
def test_near_and_far_have_a_verdict_for_each_outcome(slope, verdict):
    table = claims.contrast_by_distance(by_class(lambda place, seed: slope(seed) * place))
    assert set(table.loc[table["place"] == -1, "verdict"]) == {verdict}
    few = claims.contrast_by_distance(by_class(lambda place, seed: -place, STUDY.replace(seeds=2)))
    assert set(few["verdict"]) == {"not enough data"}
    lacking = claims.contrast_by_distance(by_class(lambda place, seed: -place), low=0.01)
    assert set(lacking["seeds"]) == {0}


@pytest.mark.parametrize("function", [claims.contrast_by_distance, plots.distance_distortion])
def test_results_without_distances_are_refused(function):
    with pytest.raises(ValueError, match="no distances; give"):
        function(synthetic(STUDY.without(ByDistance)))


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


def test_betas_have_colors_of_their_own_the_same_in_any_order():
    colors = beta_colors([0.1, 1, 0.1])
    assert list(colors) == [1, 0.1]
    assert len(set(colors.values())) == 2
    assert colors == beta_colors(np.array([1, 0.1]))


def test_data_sets_are_drawn_from_near_to_far_with_the_steps_of_those_of_another_age():
    results = synthetic(STUDY)
    other = synthetic(STUDY.replace(data=Data("tetrominoes", split="checkerboard"), steps=700, distances=0))
    distances = DISTANCES | {"checkerboard, 81,920": 0.12}
    fig = plots.difficulty(results, distances=distances, others=[other])
    assert [panel.get_title() for panel in fig.axes] == ["1 hidden layer", "3 hidden layers"]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [
        "central block, 8,192\ndistance 0.070",
        "checkerboard, 81,920\n700 steps, distance 0.120",
        "random subset, 1,638\ndistance 0.160",
    ]
    assert fig.axes[0].get_ylim()[0] > fig.axes[0].get_ylim()[1]


def test_a_data_set_without_a_distance_is_refused():
    with pytest.raises(ValueError, match="give one for 'central block, 8,192' too"):
        plots.difficulty(synthetic(STUDY), distances={"random subset, 1,638": 0.2})


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


@pytest.fixture(scope="module")
def sides():
    factors = tetrominoes.factors()
    varying = factors[:, :5], tetrominoes.RANGES
    rows = {"random halves": splits.default(len(factors)), "checkerboard": splits.checkerboard(*varying)}
    rows["central"] = splits.cd(*varying, 0.1)
    return {name: (factors[train], factors[test]) for name, (train, test) in rows.items()}


def points_of(frame):
    """Return the training and the test points of a frame, in units of the square, from its lower left corner."""
    paths = [path.attrib for path in ElementTree.fromstring(frame).iter("{http://www.w3.org/2000/svg}path")]
    dots = [np.array(re.findall(r"M(\d+) (\d+)h0", one["d"]), dtype=float) / 10 for one in paths if "transform" in one]
    return [np.column_stack([(one[:, 0] - 86) / 370, 1 - (one[:, 1] - 66) / 370]) for one in dots]


def test_each_pair_of_factors_has_a_frame_for_each_split_which_menu_and_slider_choose(sides):
    box = widgets.factor_space(sides, dict.fromkeys(sides, 0.1), pairs=[("x", "y"), ("hue", "scale")])
    menu, slider, stacks = box.children
    assert [len(stack.children) for stack in stacks.children] == [3, 3]
    assert menu.options == ("x and y", "hue and scale")
    links = [one["state"] for one in dependency_state([box]).values() if one["model_name"] == "LinkModel"]
    ties = {tuple(zip(link["source"], link["target"], strict=True)) for link in links}
    ends = {(f"IPY_MODEL_{slider.model_id}", f"IPY_MODEL_{stack.model_id}") for stack in stacks.children}
    ends |= {(f"IPY_MODEL_{menu.model_id}", f"IPY_MODEL_{stacks.model_id}")}
    assert ties == {(end, ("index", "selected_index")) for end in ends}
    assert len(json.dumps(dependency_state([box]))) < 200_000


def test_a_slice_of_the_checkerboard_has_training_images_in_two_quarters_and_test_images_in_the_others(sides):
    box = widgets.factor_space(sides, dict.fromkeys(sides, 0.123))
    for stack in box.children[2].children:
        train, test = points_of(stack.children[1].value)
        assert len(train) > 100
        assert len(test) == 80
        for points, odd in ((train, False), (test, True)):
            # Points are rounded to a tenth of a unit.
            clear = points[(np.abs(points - 0.5) > 1e-3).all(axis=1)]
            assert (((clear > 0.5).sum(axis=1) % 2 == 1) == odd).all()


def test_a_frame_shows_all_training_images_of_its_slice_and_says_the_distance(sides):
    distances = {"random halves": 0.11, "checkerboard": 0.22, "central": 0.33}
    frame = widgets.factor_space(sides, distances).children[2].children[0].children[2].value
    cube = tetrominoes.unit_cube(sides["central"][0])
    inside = ((cube[:, :3] >= 0.36) & (cube[:, :3] < 0.5)).all(axis=1)
    train, _ = points_of(frame)
    assert train == pytest.approx(cube[inside][:, 3:], abs=3e-4)
    label = ElementTree.fromstring(frame).attrib["aria-label"]
    assert label.startswith(f"central: {inside.sum()} training images and ")
    assert label.endswith("nearest training image: 0.33.")
    assert "central: mean distance to training 0.33" in frame


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": {}}, "splits is empty; give"),
        ({"distances": {"checkerboard": 0.1, "central": 0.1}}, "distances lacks random halves; give"),
        ({"pairs": [("x", "x")]}, "give two of angle, hue"),
        ({"pairs": [("x", "shape")]}, "give two of angle, hue"),
    ],
)
def test_splits_and_pairs_that_cannot_be_drawn_are_refused(sides, change, message):
    given = {"splits": sides, "distances": dict.fromkeys(sides, 0.1)} | change
    with pytest.raises(ValueError, match=message):
        widgets.factor_space(**given)
