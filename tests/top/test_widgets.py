import base64
import io
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from ipywidgets.embed import dependency_state
from PIL import Image

import ratereg
from ratereg import widgets
from ratereg.data import splits, tetrominoes
from ratereg.widgets.drawing import logarithmic_ticks, ticks
from synthetic import synthetic

SVG = "{http://www.w3.org/2000/svg}"


def bytes_of(box):
    """Return what a notebook keeps of a widget, defaults and all, as a page holds it."""
    return len(json.dumps(dependency_state([box], drop_defaults=False)).encode())


def leaves(stack):
    """Return the frames of nested stacks as HTML, nested alike."""
    return [leaves(one) if hasattr(one, "children") else one.value for one in stack.children]


def flat(frames):
    return [one for part in frames for one in (flat(part) if isinstance(part, list) else [part])]


def layers_of(box):
    """Return the frames, and below them the backdrops, if there are any."""
    *_, shown = box.children
    if type(shown).__name__ == "GridBox":
        backdrops, frames = shown.children
        return leaves(frames), leaves(backdrops)
    return leaves(shown), []


def frames_of(box):
    return layers_of(box)[0]


def published(name):
    return ratereg.load_or_run(ratereg.published(name))


def at_full_scale(name):
    # One seed is shown, and the last step.
    return synthetic(ratereg.published(name, "full").replace(seeds=1, records=2))


def factor_space():
    factors = tetrominoes.factors()
    cuts = {
        "random halves": splits.default(len(factors)),
        "checkerboard": splits.checkerboard(factors[:, :5], tetrominoes.RANGES),
        "random 10%": splits.cv(len(factors), 0.1),
        "random 1%": splits.cv(len(factors), 0.01),
        "central 10%": splits.cd(factors[:, :5], tetrominoes.RANGES, 0.1),
    }
    sides = {name: (factors[train], factors[test]) for name, (train, test) in cuts.items()}
    return widgets.factor_space(sides, dict.fromkeys(sides, 0.1))


MADE = {
    "reconstructions": lambda: widgets.reconstruction_slider(published("capacity")),
    "reconstructions of images": lambda: widgets.reconstruction_slider(published("images")),
    "information": widgets.information_sliders,
    "aggregate posterior": lambda: widgets.aggregate_posterior_slider(published("plane")),
    "ceiling": lambda: widgets.ceiling_slider(published("saturation")),
    "factor space": factor_space,
}


@pytest.fixture(scope="module", params=MADE)
def made(request):
    return MADE[request.param]()


def test_a_widget_weighs_less_than_a_megabyte(made):
    assert bytes_of(made) < 1_000_000


@pytest.mark.parametrize(
    ("name", "make", "choices"),
    [
        ("capacity", widgets.reconstruction_slider, [3, 3]),
        ("images", widgets.reconstruction_slider, [12, 3]),
        ("saturation", widgets.ceiling_slider, [10, 5, 6]),
        ("plane", widgets.aggregate_posterior_slider, [2, 6]),
    ],
)
def test_at_full_scale_too_though_noise_for_pictures_cannot_be_compressed(name, make, choices):
    box = make(at_full_scale(name))
    assert bytes_of(box) < 1_000_000
    *controls, _ = box.children
    assert [len(control.options) for control in controls][: len(choices)] == choices
    assert len(controls[-1].options) >= 5


def test_every_frame_has_a_text_alternative_of_its_own(made):
    controls, frames = made.children[:-1], flat(frames_of(made))
    assert len(frames) == math.prod(len(control.options) for control in controls)
    pictures = [ElementTree.fromstring(frame) for frame in frames]
    assert all(picture.attrib["role"] == "img" for picture in pictures)
    # With menus of data and network in the backdrop's words, what one of them says may be said again by another.
    places = len(controls[-1].options)
    labels = [picture.attrib["aria-label"] for picture in pictures]
    assert all(len(set(labels[start : start + places])) == places for start in range(0, len(labels), places))


def test_every_control_has_a_label_and_a_slider_says_its_value(made):
    *controls, _ = made.children
    assert all(control.description for control in controls)
    sliders = [control for control in controls if type(control).__name__ == "SelectionSlider"]
    assert sliders
    for one in sliders:
        assert one.readout
        assert 0 < one.index < len(one.options) - 1
        assert len({label for label, _ in one.options}) == len(one.options)


def test_controls_and_frames_are_tied_in_the_browser_and_agree_at_first(made):
    *controls, shown = made.children
    links = [one["state"] for one in dependency_state([made]).values() if one["model_name"] == "LinkModel"]
    ties = {(link["source"][0], link["target"][0]) for link in links}
    assert {(link["source"][1], link["target"][1]) for link in links} == {("index", "selected_index")}
    expected = set()

    def follow(stack, rest):
        if hasattr(stack, "selected_index"):
            expected.add((f"IPY_MODEL_{rest[0].model_id}", f"IPY_MODEL_{stack.model_id}"))
            assert stack.selected_index == rest[0].index
            for one in stack.children:
                follow(one, rest[1:])

    for stack in shown.children if type(shown).__name__ == "GridBox" else [shown]:
        follow(stack, controls)
    assert ties == expected


def test_as_html_a_widget_is_the_picture_that_it_begins_with(made):
    *controls, _ = made.children
    still = made._repr_mimebundle_()["text/html"]
    for layer in (one for one in layers_of(made) if one):
        for control in controls:
            layer = layer[control.index] if isinstance(layer, list) else layer
        assert layer in still
    assert all(f"{control.description}: {control.label}" in still for control in controls)
    assert len(still) < 40_000
    assert "application/vnd.jupyter.widget-view+json" in made._repr_mimebundle_()


def reconstructed(frame):
    (image,) = ElementTree.fromstring(frame).iter(f"{SVG}image")
    return Image.open(io.BytesIO(base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))))


def test_every_data_set_and_network_has_a_frame_for_each_beta(make_results):
    box = widgets.reconstruction_slider(make_results())
    frames, backdrops = layers_of(box)
    assert [[len(network) for network in data] for data in frames] == [[6, 6]] * 2
    assert len(backdrops) == 2
    data, network, weight, _ = box.children
    assert data.options == ("checkerboard, 81,920 training images", "random subset, 16,384 training images")
    assert network.options == ("1 hidden layer", "3 hidden layers")
    assert [label for label, _ in weight.options] == ["5", "1", "0.3", "0.1", "0.01", "0.001"]


def test_a_frame_says_its_beta_rate_and_distortion(make_results):
    results = make_results(lambda partition, **_: 90.04 if partition == "test" else 70.06)
    root = ElementTree.fromstring(frames_of(widgets.reconstruction_slider(results))[1][1][1])
    words = [one.text for one in root.iter(f"{SVG}text")]
    assert "their reconstructions at β = 1" in words
    assert "test: rate 20.0, distortion 90.0 nats" in words
    assert "training: rate 20.0, distortion 70.1 nats" in words
    assert root.attrib["aria-label"].startswith("3 hidden layers at β = 1: test: rate 20.0, distortion 90.0 nats; ")


def test_the_originals_are_in_the_backdrop_and_a_frame_has_the_reconstructions_of_its_member(make_results):
    results = make_results(seeds=2)
    frames, backdrops = layers_of(widgets.reconstruction_slider(results, images=3, seed=1))
    row = results.final.query("split == 'cv' and layers == 1 and beta == 0.01 and seed == 1 and partition == 'test'")
    expected = {
        backdrops[1]: results.arrays["test_originals"][1],
        frames[1][0][4]: results.arrays["test_reconstructions"][row["member"].iloc[0]],
    }
    for frame, images in expected.items():
        picture = np.asarray(reconstructed(frame))
        assert picture.shape == (10, 30, 3)
        for column in range(3):
            assert np.array_equal(picture[1:9, 10 * column + 1 : 10 * column + 9], images[column].transpose(1, 2, 0))


def test_gray_images_make_gray_frames(make_results):
    assert reconstructed(frames_of(widgets.reconstruction_slider(make_results(channels=1)))[0][0][0]).mode == "L"


def test_the_marks_of_a_frame_lie_on_the_curves_of_its_network(make_results):
    def distortion(layers, beta, partition, **_):
        return 60 + 3 * layers + 10 * beta + 5 * (partition == "test")

    frames, backdrops = layers_of(widgets.reconstruction_slider(make_results(distortion)))
    for data, backdrop in zip(frames, backdrops, strict=True):
        lines = ElementTree.fromstring(backdrop).findall(f"{SVG}polyline")
        curves = [
            np.array([point.split(",") for point in line.attrib["points"].split()], dtype=float) for line in lines
        ]
        assert len(curves) == 4
        for index, network in enumerate(data):
            for place, frame in enumerate(network):
                root = ElementTree.fromstring(frame)
                (disc,) = root.findall(f"{SVG}circle")
                triangle = next(one for one in root.findall(f"{SVG}path") if one.attrib["fill"] != "none")
                assert disc.attrib["fill"] == triangle.attrib["fill"] == lines[2 * index].attrib["stroke"]
                # Curves go from the smallest beta to the largest.
                trained, tested = (curves[2 * index + one][-1 - place] for one in (0, 1))
                assert [float(disc.attrib[name]) for name in ("cx", "cy")] == list(tested)
                tip = re.match(r"M([\d.]+) ([\d.]+)", triangle.attrib["d"]).groups()
                assert [float(one) for one in tip] == pytest.approx(list(trained - [0, 8.8]), abs=0.11)


def test_a_member_that_diverged_or_collapsed_can_be_shown(make_results):
    results = make_results(
        lambda beta, **_: math.nan if beta == 1 else 80.0,
        rate=lambda beta, **_: 0.0 if beta == 5 else 20 - 5 * math.log(beta),
    )
    frames, backdrops = layers_of(widgets.reconstruction_slider(results))
    for frame in flat(frames) + backdrops:
        assert not re.search(r"='[^']*(nan|inf)[^']*'", re.sub(r"aria-label='[^']*'", "", frame))
    collapsed, diverged, *_ = frames[0][0]
    assert ElementTree.fromstring(collapsed).find(f"{SVG}circle").attrib["cx"] == "58.0"
    assert ElementTree.fromstring(diverged).find(f"{SVG}circle") is None
    assert "test: rate 20.0, distortion nan nats" in diverged


def test_few_reconstructions_are_shown_whole_and_many_are_thinned_out_to_the_budget(make_results, monkeypatch):
    results = make_results(seeds=1)
    every = widgets.reconstruction_slider(results, images=8)
    assert {reconstructed(frame).size[0] for frame in flat(frames_of(every))} == {4 * 10}
    assert len(every.children[2].options) == 6
    total = sum(len(re.search(r"href='([^']*)'", frame)[1]) for frame in flat(frames_of(every)))
    monkeypatch.setattr("ratereg.widgets.reconstructions._MOST_BYTES", total - 1)
    fewer = widgets.reconstruction_slider(results)
    assert [label for label, _ in fewer.children[2].options] == ["5", "1", "0.3", "0.01", "0.001"]
    monkeypatch.setattr("ratereg.widgets.reconstructions._MOST_BYTES", total // 2)
    fewest = widgets.reconstruction_slider(results)
    assert len(fewest.children[2].options) == 5
    assert {reconstructed(frame).size[0] for frame in flat(frames_of(fewest))} == {2 * 10}


@pytest.mark.parametrize(
    ("given", "message"),
    [({"images": 0}, "images is 0; give 1 or more"), ({"seed": 9}, "seed is 9, and results has 0, 1")],
)
def test_images_and_seeds_that_are_not_there_are_refused(make_results, given, message):
    with pytest.raises(ValueError, match=message):
        widgets.reconstruction_slider(make_results(seeds=2), **given)


@pytest.mark.parametrize(("low", "high"), [(0, 13.4), (60.2, 152), (0, 0.03), (-3, 4000)])
def test_ticks_are_few_round_and_within(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7
    assert low <= found[0] <= found[-1] <= high
    assert {round(step, 12) for step in np.diff(found)} <= {
        factor * 10.0**power for factor in (1, 2, 5) for power in range(-4, 5)
    }


def test_ticks_of_a_logarithmic_axis_are_ones_twos_and_fives_or_powers_alone():
    assert logarithmic_ticks(9, 120) == [10, 20, 50, 100]
    assert logarithmic_ticks(0.09, 120) == [0.1, 1, 10, 100]


@pytest.fixture(scope="module")
def landscapes():
    return widgets.aggregate_posterior_slider(published("plane"), seed=1)


def rows_of_plane():
    final = published("plane").final.query("partition == 'train' and seed == 1")
    return final.sort_values("beta", ascending=False).reset_index(drop=True)


def test_a_landscape_has_the_numbers_of_the_results_table(landscapes):
    for view in frames_of(landscapes):
        for frame, (_, row) in zip(view, rows_of_plane().iterrows(), strict=True):
            root = ElementTree.fromstring(frame)
            words = [text.text for text in root.iter(f"{SVG}text")]
            assert f"R = {row['rate']:.2f}" in words
            assert f"I = {row['mutual_information']:.2f}" in words
            assert f"KL = {row['marginal_kl']:.2f}" in words
            assert f"ceiling of I: log 4,096 = {row['log_n']:.2f} nats" in words
            assert f"at β = {row['beta']:g}, from " in root.attrib["aria-label"]


def posteriors(member):
    arrays = published("plane").arrays
    return tuple(torch.from_numpy(arrays[f"train_{name}"][member]).double() for name in ("mean", "log_var"))


def brute_log_q(z, mean, variance):
    """Return log q(z) at points (point, 2), in float64."""
    terms = -((z[:, None] - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi)).sum(2) / 2
    return torch.logsumexp(terms, 1) - math.log(len(mean))


def test_the_share_in_holes_is_that_of_other_samples_and_another_sum(landscapes):
    z = torch.randn(1200, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    log_p = -(z**2).sum(1) / 2 - math.log(2 * math.pi)
    for frame, (_, row) in zip(frames_of(landscapes)[0], rows_of_plane().iterrows(), strict=True):
        label = ElementTree.fromstring(frame).attrib["aria-label"]
        shown = int(re.search(r"(\d+)% of the prior is in holes", label)[1]) / 100
        mean, log_var = posteriors(int(row["member"]))
        holes = (brute_log_q(z, mean, log_var.exp()) + math.log(10) < log_p).double().mean().item()
        assert shown == pytest.approx(holes, abs=0.05)


def test_the_picture_is_bright_where_encodings_are_and_pink_in_holes_near_the_prior_alone(landscapes):
    near, wide = frames_of(landscapes)
    pink = [0xCC, 0x79, 0xA7]
    shares = [(np.asarray(reconstructed(frame).convert("RGB")) == pink).all(axis=2).mean() for frame in near]
    assert shares[0] < 0.05 < shares[-1]
    assert not any((np.asarray(reconstructed(frame).convert("RGB")) == pink).all(axis=2).any() for frame in wide)
    # Rows go down and the second latent goes up. Encodings are blurred by a step of the grid.
    mean, log_var = posteriors(int(rows_of_plane().iloc[0]["member"]))
    half_width = (mean.abs() + 4 * (log_var / 2).exp()).max().item()
    places = np.asarray(reconstructed(wide[0]))
    axis = torch.linspace(-half_width, half_width, len(places), dtype=torch.float64)
    asked = [(line, column) for line in range(5, len(places), 16) for column in range(3, len(places), 16)]
    z = torch.stack([torch.stack([axis[column], -axis[line]]) for line, column in asked])
    expected = brute_log_q(z, mean, log_var.exp() + (axis[1] - axis[0]) ** 2).clamp(-14, -1)
    levels = np.array([int(places[at]) for at in asked])
    # Half a level, of 61 for 13 nats.
    assert -14 + 13 * levels / 61 == pytest.approx(expected.numpy(), abs=0.11)
    assert levels.max() - levels.min() > 40


def test_results_with_other_latents_or_without_that_seed_are_refused(make_results):
    with pytest.raises(ValueError, match=r"latent dimensions \[10\], 2 networks and 2 data sets; give"):
        widgets.aggregate_posterior_slider(make_results())
    with pytest.raises(ValueError, match="seed is 9, and results has 0, 1, 2"):
        widgets.aggregate_posterior_slider(published("plane"), seed=9)


def numbers_of(frame):
    """Return the distance, the width, and rate, mutual information and marginal KL, as a frame's letters say."""
    root = ElementTree.fromstring(frame)
    distance, width = map(
        float, re.search(r"line, (\S+) apart and of width (\S+),", root.attrib["aria-label"]).groups()
    )
    words = [text.text for text in root.iter(f"{SVG}text")]
    parts = [
        float(one.split(" = ")[1])
        for name in ("R", "I", "KL")
        for one in words
        if one and f"{name} = " == one[: len(name) + 3]
    ]
    return distance, width, parts


def integrated(distance, width):
    """Return the same by Gauss-Hermite quadrature over each posterior, an expectation at a time."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    weights = weights / weights.sum()
    means = distance * np.array([-2, -1, 0, 1, 2])
    z = means[:, None] + width * nodes
    own = -(nodes**2) / 2 - math.log(width)
    mixture = np.log(np.exp(-(((z[..., None] - means) / width) ** 2) / 2).mean(-1)) - math.log(width)
    prior = -(z**2) / 2
    return [float((ratio * weights).sum(-1).mean()) for ratio in (own - prior, own - mixture, mixture - prior)]


@pytest.fixture(scope="module")
def sliders():
    return widgets.information_sliders()


def test_both_sliders_have_a_frame_for_each_of_their_values(sliders):
    distance, width, _ = sliders.children
    frames = frames_of(sliders)
    assert [len(stack) for stack in frames] == [len(width.options)] * len(distance.options)
    for spacing, stack in zip(distance.options, frames, strict=True):
        for sigma, frame in zip(width.options, stack, strict=True):
            assert numbers_of(frame)[:2] == (float(spacing[0]), float(sigma[0]))


def test_the_numbers_in_a_frame_are_those_of_another_quadrature(sliders):
    for frame in (frame for stack in frames_of(sliders) for frame in stack):
        distance, width, parts = numbers_of(frame)
        assert parts == pytest.approx(integrated(distance, width), abs=0.006)
        rate, information, marginal_kl = parts
        # Each is rounded to a hundredth.
        assert rate == pytest.approx(information + marginal_kl, abs=0.0151)
        assert 0 <= information <= 1.61
        label = ElementTree.fromstring(frame).attrib["aria-label"]
        assert [float(number) for number in re.findall(r"(?:Rate|information|KL) (\d\.\d\d)", label)] == parts


def test_the_bars_are_as_long_as_their_numbers_say(sliders):
    for frame in frames_of(sliders)[5]:
        _, _, parts = numbers_of(frame)
        bars = ElementTree.fromstring(frame).findall(f"{SVG}rect")[1:]
        starts, lengths = ([float(bar.attrib[name]) for bar in bars] for name in ("x", "width"))
        assert [length / 80 for length in lengths] == pytest.approx(parts, abs=0.007)
        assert starts[2] == pytest.approx(starts[1] + lengths[1], abs=0.11)
        assert starts[0] + lengths[0] == pytest.approx(starts[2] + lengths[2], abs=0.21)


def test_nothing_is_drawn_outside_the_card(sliders):
    for frame in (frame for stack in frames_of(sliders) for frame in stack):
        root = ElementTree.fromstring(frame)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        curves = [path.attrib["d"] for path in root.iter(f"{SVG}path") if "transform" in path.attrib]
        assert len(curves) == 7
        for curve in curves:
            points = np.cumsum(np.array(re.findall(r"(-?\d+),(-?\d+)", curve), dtype=float), axis=0) / 10
            assert (points >= 0).all()
            assert (points <= [width, height]).all()
