import base64
import io
import json
import re

import numpy as np
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
