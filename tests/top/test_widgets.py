import base64
import io
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from ipywidgets.embed import dependency_state
from PIL import Image

from ratereg import widgets


def frames_of(box):
    _, _, models = box.children
    return [[frame.value for frame in stack.children] for stack in models.children]


def test_every_network_and_data_set_has_a_frame_for_each_beta(make_results):
    frames = frames_of(widgets.reconstruction_slider(make_results()))
    assert [len(stack) for stack in frames] == [6] * 4
    assert all(re.search(r'<img alt="[^"]+" ', frame) for stack in frames for frame in stack)


def test_a_frame_says_its_beta_rate_and_distortion(make_results):
    results = make_results(lambda partition, **_: 90.04 if partition == "test" else 70.06)
    frame = frames_of(widgets.reconstruction_slider(results))[3][1]
    assert "β = 1: rate 20.0, distortion 90.0 nats on test images (20.0 and 70.1 on training images)" in frame


def test_a_frame_shows_the_originals_above_the_reconstructions_of_its_member(make_results):
    results = make_results(seeds=2)
    frame = frames_of(widgets.reconstruction_slider(results, images=3, seed=1))[2][4]
    data = base64.b64decode(re.search(r"base64,([^\"]+)", frame)[1])
    picture = np.asarray(Image.open(io.BytesIO(data)))
    row = results.final.query("split == 'cv' and layers == 1 and beta == 0.01 and seed == 1 and partition == 'test'")
    assert picture.shape == (20, 30, 3)
    for column in range(3):
        inner = picture[1:9, 10 * column + 1 : 10 * column + 9], picture[11:19, 10 * column + 1 : 10 * column + 9]
        assert np.array_equal(inner[0], results.arrays["test_originals"][1, column].transpose(1, 2, 0))
        expected = results.arrays["test_reconstructions"][row["member"].iloc[0], column]
        assert np.array_equal(inner[1], expected.transpose(1, 2, 0))


def test_grey_images_make_grey_frames(make_results):
    frame = frames_of(widgets.reconstruction_slider(make_results(channels=1)))[0][0]
    data = base64.b64decode(re.search(r"base64,([^\"]+)", frame)[1])
    assert Image.open(io.BytesIO(data)).mode == "L"


def test_menu_and_slider_are_tied_to_the_frames_in_the_browser(make_results):
    box = widgets.reconstruction_slider(make_results())
    menu, slider, models = box.children
    state = dependency_state([box])
    links = [one["state"] for one in state.values() if one["model_name"] == "LinkModel"]
    ties = {tuple(zip(link["source"], link["target"], strict=True)) for link in links}
    ends = {(f"IPY_MODEL_{slider.model_id}", f"IPY_MODEL_{stack.model_id}") for stack in models.children}
    ends |= {(f"IPY_MODEL_{menu.model_id}", f"IPY_MODEL_{models.model_id}")}
    assert ties == {(end, ("index", "selected_index")) for end in ends}


def test_a_page_full_of_frames_is_small(make_results):
    betas = (5, 3, 2, 1, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01, 0.005, 0.001)
    box = widgets.reconstruction_slider(make_results(betas=betas, seeds=1))
    assert len(json.dumps(dependency_state([box]))) < 1_000_000


def numbers_of(frame):
    """Return the distance, the width, and rate, mutual information and marginal KL, as a frame's letters say."""
    root = ElementTree.fromstring(frame)
    distance, width = map(
        float, re.search(r"line, (\S+) apart and of width (\S+),", root.attrib["aria-label"]).groups()
    )
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
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
        bars = ElementTree.fromstring(frame).findall("{http://www.w3.org/2000/svg}rect")[1:]
        starts, lengths = ([float(bar.attrib[name]) for bar in bars] for name in ("x", "width"))
        assert [length / 80 for length in lengths] == pytest.approx(parts, abs=0.007)
        assert starts[2] == pytest.approx(starts[1] + lengths[1], abs=0.11)
        assert starts[0] + lengths[0] == pytest.approx(starts[2] + lengths[2], abs=0.21)


def test_nothing_is_drawn_outside_the_card(sliders):
    for frame in (frame for stack in frames_of(sliders) for frame in stack):
        root = ElementTree.fromstring(frame)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        curves = [
            path.attrib["d"] for path in root.iter("{http://www.w3.org/2000/svg}path") if "transform" in path.attrib
        ]
        assert len(curves) == 7
        for curve in curves:
            points = np.cumsum(np.array(re.findall(r"(-?\d+),(-?\d+)", curve), dtype=float), axis=0) / 10
            assert (points >= 0).all()
            assert (points <= [width, height]).all()


def test_both_sliders_are_tied_to_the_frames_in_the_browser(sliders):
    distance, width, chosen = sliders.children
    state = dependency_state([sliders])
    links = [one["state"] for one in state.values() if one["model_name"] == "LinkModel"]
    ties = {tuple(zip(link["source"], link["target"], strict=True)) for link in links}
    ends = {(f"IPY_MODEL_{width.model_id}", f"IPY_MODEL_{stack.model_id}") for stack in chosen.children}
    ends |= {(f"IPY_MODEL_{distance.model_id}", f"IPY_MODEL_{chosen.model_id}")}
    assert ties == {(end, ("index", "selected_index")) for end in ends}
    assert chosen.selected_index == distance.index
    assert all(stack.selected_index == width.index for stack in chosen.children)


def test_both_sliders_say_what_they_move(sliders):
    assert [slider.description for slider in sliders.children[:2]] == ["distance of the means", "width σ"]
    assert all(slider.readout for slider in sliders.children[:2])


def test_all_frames_of_both_sliders_are_small_together(sliders):
    assert len(json.dumps(dependency_state([sliders]))) < 700_000
