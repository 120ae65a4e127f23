import base64
import functools
import io
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from ipywidgets.embed import dependency_state
from matplotlib.figure import Figure
from PIL import Image

from drawn import SIDE, results
from ratereg import plots, widgets
from ratereg.data import splits, tetrominoes
from ratereg.widgets.drawing import card, in_style, over, png, svg

SVG = "{http://www.w3.org/2000/svg}"
SIZES = (256, 1024, 4096, 16_384, 65_536, 163_840)


def bytes_of(box):
    """Return what a notebook keeps of a widget, defaults and all, as a page holds it."""
    return len(json.dumps(dependency_state([box], drop_defaults=False)).encode())


def leaves(stack):
    """Return the frames of nested stacks as HTML, nested alike."""
    return [leaves(one) for one in stack.children] if hasattr(stack, "selected_index") else stack.value


def flat(frames):
    return [frames] if isinstance(frames, str) else [one for part in frames for one in flat(part)]


def layers_of(box):
    """Return the frames, and below them the backdrops, if there are any."""
    *below, frames = map(leaves, box.children[-1].children)
    return frames, below[0] if below else []


def plane(**given):
    return results(models=("plane",), data={"cv": 64}, latent_dim=(2,), **({"seeds": 2, "betas": (5, 1, 0.1)} | given))


def sides():
    factors = tetrominoes.factors()
    cube = tetrominoes.unit_cube(factors)
    cuts = {
        "random halves": splits.default(len(factors)),
        "checkerboard": splits.checkerboard(factors[:, :5], tetrominoes.RANGES),
        "random 1%": splits.cv(len(factors), 0.01),
    }
    return {name: (cube[train], cube[test]) for name, (train, test) in cuts.items()}


def factor_space(**given):
    return widgets.factor_space(sides(), dict.fromkeys(sides(), 0.123), ranges=tetrominoes.RANGES, **given)


MADE = {
    "reconstructions": lambda: widgets.reconstruction_slider(results(seeds=1)),
    "information": widgets.information_sliders,
    "aggregate posterior": lambda: widgets.aggregate_posterior_slider(plane()),
    "ceiling": lambda: widgets.ceiling_slider(results(seeds=1, fresh=SIZES[:3], betas=(1, 0.1))),
    "factor space": factor_space,
}


@functools.cache
def one(name):
    return MADE[name]()


@pytest.fixture(params=MADE)
def made(request):
    return one(request.param)


def test_a_widget_weighs_less_than_a_megabyte(made):
    assert bytes_of(made) < 1_000_000


@pytest.mark.parametrize(
    ("make", "choices"),
    [
        # As many as the largest published studies have. The noise that stands for pictures cannot be compressed.
        (
            lambda: widgets.reconstruction_slider(
                results(data=dict.fromkeys("abcdefghijkl", 5), models="abc", seeds=1, images=8)
            ),
            [12, 3],
        ),
        (
            lambda: widgets.ceiling_slider(results(data=dict.fromkeys("abcde", 5), models="ab", seeds=1, fresh=SIZES)),
            [10, 5, 6],
        ),
    ],
)
def test_at_full_scale_too(make, choices):
    box = make()
    assert bytes_of(box) < 1_000_000
    *controls, _ = box.children
    assert [len(control.options) for control in controls][: len(choices)] == choices
    assert len(controls[-1].options) >= 5


def test_every_frame_has_a_text_alternative_of_its_own_with_the_sliders_value(made):
    *controls, _ = made.children
    frames = flat(layers_of(made)[0])
    assert len(frames) == math.prod(len(control.options) for control in controls)
    pictures = [ElementTree.fromstring(frame) for frame in frames]
    assert all(picture.attrib["role"] == "img" for picture in pictures)
    # Frames of other data may have the same words: the backdrop's name the data.
    readouts = [label for label, _ in controls[-1].options]
    for place, picture in enumerate(pictures):
        assert readouts[place % len(readouts)] in picture.attrib["aria-label"]


def test_frames_are_plain_elements_without_names_that_a_page_would_have_twice(made):
    for picture in flat(layers_of(made)[0]) + flat(layers_of(made)[1]):
        tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(picture).iter()}
        assert tags <= {"svg", "rect", "path", "text", "image"}
        assert not re.search(
            r" id=|url\(#|font-family|='[^']*\b(nan|inf)\b[^']*'", re.sub(r"aria-label='[^']*'", "", picture)
        )
        assert '"' not in picture


def test_every_control_has_a_label_and_a_slider_says_its_value(made):
    *controls, _ = made.children
    assert all(control.description for control in controls)
    sliders = [control for control in controls if type(control).__name__ == "SelectionSlider"]
    assert sliders
    for one in sliders:
        assert one.readout
        assert one.index > 0
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
            assert len(stack.children) == len(rest[0].options)
            for one in stack.children:
                follow(one, rest[1:])

    for layer in shown.children:
        follow(layer, controls)
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


def pixels_of(picture):
    """Return the pixels of a frame's image as they are seen, whichever way the file has them."""
    (image,) = ElementTree.fromstring(picture).iter(f"{SVG}image")
    found = Image.open(io.BytesIO(base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))))
    a, b, c, d, *_ = map(float, re.findall(r"-?[\d.]+", image.attrib["transform"]))
    assert (b, c) == (0, 0)
    return np.asarray(found.convert("RGB"))[:: int(math.copysign(1, d)), :: int(math.copysign(1, a))], found.mode


def words_of(picture):
    return [one.text for one in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def elements(picture, tag, **style):
    """Return the elements with a tag and a style, such as stroke="#0072b2"."""
    parts = [f"{name.replace('_', '-')}:{value.lower()}" for name, value in style.items()]
    found = ElementTree.fromstring(picture).iter(SVG + tag)
    return [one for one in found if all(part in one.attrib.get("style", "").split(";") for part in parts)]


def points_of(path):
    return np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"]), dtype=float)


def place_of(path):
    return [float(one) for one in re.findall(r"-?[\d.]+", path.attrib["transform"])]


@pytest.mark.parametrize("channels", [3, 1])
def test_pictures_are_kept_pixel_by_pixel_in_as_few_colors_as_they_have(channels):
    # Three images of random pixels have fewer than 256 colors.
    made = results(seeds=2, channels=channels, images=3)
    frames, backdrops = layers_of(widgets.reconstruction_slider(made))
    row = made.final.query("split == 'cv' and layers == 1 and beta == 0.01 and seed == 0 and partition == 'test'")
    expected = {
        backdrops[1]: made.arrays["test_originals"][1],
        frames[1][0][4]: made.arrays["test_reconstructions"][row["member"].iloc[0]],
    }
    for picture, images in expected.items():
        pixels, mode = pixels_of(picture)
        assert pixels.shape == (SIDE, 3 * (SIDE + 2) - 2, 3)
        assert mode == ("P" if channels == 3 else "L")
        for column in range(3):
            cell = pixels[:, (SIDE + 2) * column : (SIDE + 2) * column + SIDE]
            assert np.array_equal(cell, np.broadcast_to(images[column].transpose(1, 2, 0), cell.shape))
    few = np.random.default_rng(0).integers(0, 256, (200, 3), dtype=np.uint8)[np.arange(400).reshape(20, 20) % 200]
    kept = Image.open(io.BytesIO(base64.b64decode(png(few).partition(",")[2])))
    assert kept.mode == "P"
    assert np.array_equal(np.asarray(kept.convert("RGB")), few)


def test_a_frame_says_the_numbers_of_its_data_model_beta_and_partition():
    made = results(seeds=2)
    frames, _ = layers_of(box := widgets.reconstruction_slider(made))
    data, network, weight, _ = box.children
    assert data.options == ("checkerboard, 81,920 training images", "random subset, 16,384 training images")
    assert network.options == ("1 hidden layer", "3 hidden layers")
    assert [label for label, _ in weight.options] == ["5", "1", "0.3", "0.1", "0.01", "0.001"]
    rows = made.final.query("split == 'cv' and layers == 3 and beta == 0.3 and seed == 0").set_index("partition")
    said = [
        f"{word}: rate {rows.loc[name, 'rate']:.1f}, distortion {rows.loc[name, 'distortion']:.1f} nats"
        for name, word in (("test", "test"), ("train", "training"))
    ]
    assert set(words_of(frames[1][1][2])) == {"their reconstructions at β = 0.3", *said}
    label = ElementTree.fromstring(frames[1][1][2]).attrib["aria-label"]
    assert label.startswith(f"3 hidden layers at β = 0.3: {said[0]}; {said[1]}.")


def test_the_marks_of_a_frame_lie_on_the_curves_of_its_network():
    frames, backdrops = layers_of(widgets.reconstruction_slider(results(seeds=1)))
    for data, backdrop in zip(frames, backdrops, strict=True):
        for depth, network in zip((1, 3), data, strict=True):
            color = plots.NETWORKS[depth]
            curves = [points_of(one) for one in elements(backdrop, "path", stroke=color, fill="none")]
            train, test = (curve for curve in curves if len(curve) == 6)
            for place, frame in enumerate(network):
                marks = [place_of(one) for one in elements(frame, "path", fill=color)]
                # Curves go from the largest beta to the smallest.
                assert np.array(marks) == pytest.approx(np.array([train[place], test[place]]), abs=0.11)


def test_a_member_that_diverged_or_collapsed_can_be_shown():
    def numbers(measure, panel, model, beta, seed, partition, step):
        return math.nan if beta == 1 else 0.0 if beta == 5 and measure == "rate" else 20 + 1 / beta

    collapsed, diverged, *_ = layers_of(widgets.reconstruction_slider(results(numbers, seeds=1)))[0][0][0]
    assert len(elements(collapsed, "path", fill=plots.NETWORKS[1])) == 2
    assert not elements(diverged, "path", fill=plots.NETWORKS[1])
    assert "test: rate nan, distortion nan nats" in diverged


def test_few_reconstructions_are_shown_whole_and_many_are_thinned_out_to_the_budget(monkeypatch):
    made = results(seeds=1, images=6)
    frames = flat(layers_of(widgets.reconstruction_slider(made))[0])
    assert {pixels_of(frame)[0].shape[1] for frame in frames} == {6 * 10 - 2}
    total = sum(2200 + len(re.search(r"href='([^']*)'", frame)[1]) for frame in frames)
    for share, images, betas in ((0.95, {4, 5}, {6}), (0.85, {4}, {5}), (0.6, {1, 2, 3}, {5})):
        monkeypatch.setattr("ratereg.widgets.reconstructions._MOST_BYTES", share * total)
        fewer = widgets.reconstruction_slider(made)
        labels = [float(label) for label, _ in fewer.children[2].options]
        assert len(labels) in betas
        assert (labels[0], labels[-1]) == (5, 0.001)
        (width,) = {pixels_of(frame)[0].shape[1] for frame in flat(layers_of(fewer)[0])}
        assert (width + 2) / 10 in images


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: widgets.ceiling_slider(results()), "no fresh images"),
        (lambda: widgets.aggregate_posterior_slider(results()), r"4 settings with latent dimensions \[10\]"),
        (lambda: widgets.aggregate_posterior_slider(plane(prior=("mixture of 100",))), "priors mixture of 100; give"),
        (lambda: widgets.factor_space({}, {}, ranges={}), "splits is empty"),
        (
            lambda: widgets.factor_space(sides(), {}, ranges=tetrominoes.RANGES),
            "distances lacks random halves, checker",
        ),
        (lambda: factor_space(pairs=[("x", "x")]), r"pairs holds \('x', 'x'\); give two of angle, hue"),
        (lambda: widgets.factor_space(sides(), dict.fromkeys(sides(), 1), ranges={"x": (0, 1)}), "give 1 each"),
    ],
)
def test_results_and_arguments_that_a_widget_cannot_show_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_each_encoder_has_its_ceiling_its_curve_up_to_the_slider_and_its_own_bounds():
    made = results(seeds=2, fresh=SIZES, betas=(1, 0.1))
    frames, backdrops = layers_of(box := widgets.ceiling_slider(made))
    assert box.children[0].options[3] == "random subset, 16,384 training images, 3 hidden layers"
    rows = made.final.query("partition == 'fresh' and split == 'cv' and layers == 1 and beta == 0.1 and seed == 0")
    row = rows[rows["components"] == 4096].iloc[0]
    label = ElementTree.fromstring(frames[2][1][2]).attrib["aria-label"]
    assert label == (
        f"beta = 0.1, 4,096 fresh images: mutual information {row['mutual_information']:.2f} nats below its ceiling of "
        f"8.32, and marginal KL {row['marginal_kl']:.2f}, of a rate of {row['rate']:.2f}. Bounds on the population's "
        "information: 7.60 and 9.60."
    )
    (curve, *_) = elements(frames[2][1][2], "path", stroke=plots.MEASURES["mutual_information"], fill="none")
    (ceiling,) = (one for one in elements(backdrops[2][1], "path", fill="none") if len(points_of(one)) == 6)
    # The information is at its ceiling: one lies on the other.
    assert points_of(curve) == pytest.approx(points_of(ceiling)[:3], abs=0.11)


def test_one_number_of_images_and_information_below_zero_can_be_drawn():
    made = results(lambda *place: -0.01, seeds=1, fresh=(256,), betas=(1,))
    for frame in flat(layers_of(widgets.ceiling_slider(made))[0]):
        assert "I = −0.01" in words_of(frame)
        bars = [points_of(elements(frame, "path", fill=color)[-1]) for color in plots.MEASURES.values()]
        assert [np.ptp(bar[:, 0]) for bar in bars] == [0, 0, 0]


def numbers_of(frame):
    """Return rate, mutual information and marginal KL, as a frame's letters say."""
    words = {one.partition(" = ")[0]: one.partition(" = ")[2] for one in words_of(frame)}
    return [float(words[name].replace("−", "-")) for name in ("R", "I", "KL")]


def test_a_landscape_has_the_numbers_of_its_member():
    made = plane()
    for view in layers_of(widgets.aggregate_posterior_slider(made))[0]:
        for frame, beta in zip(view, (5, 1, 0.1), strict=True):
            row = made.final.query(f"partition == 'train' and seed == 0 and beta == {beta}").iloc[0]
            expected = row[["rate", "mutual_information", "marginal_kl"]].tolist()
            assert numbers_of(frame) == pytest.approx(expected, abs=0.0051)
            assert "dashed: ceiling of I, log 64 = 4.16 nats" in words_of(frame)
            assert f"at β = {beta:g}, from " in ElementTree.fromstring(frame).attrib["aria-label"]


def brute_log_q(z, mean, variance):
    """Return log q(z) at points (point, 2), in float64."""
    terms = -((z[:, None] - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi)).sum(2) / 2
    return torch.logsumexp(terms, 1) - math.log(len(mean))


def test_the_share_in_holes_and_the_pictures_are_those_of_another_sum():
    made = plane()
    near, wide = layers_of(widgets.aggregate_posterior_slider(made))[0]
    z = torch.randn(4000, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    log_p = -(z**2).sum(1) / 2 - math.log(2 * math.pi)
    pink = [0xCC, 0x79, 0xA7]
    viridis = widgets.aggregate._PALETTE[:-1].astype(int)
    for index, beta in enumerate((5, 1, 0.1)):
        member = made.final.query(f"seed == 0 and beta == {beta}")["member"].iloc[0]
        mean, log_var = (torch.from_numpy(made.arrays[f"train_{name}"][member]) for name in ("mean", "log_var"))
        holes = (brute_log_q(z, mean, log_var.exp()) + math.log(10) < log_p).double().mean().item()
        label = ElementTree.fromstring(near[index]).attrib["aria-label"]
        assert int(re.search(r"(\d+)% of the prior is in holes", label)[1]) / 100 == pytest.approx(holes, abs=0.03)
        assert (pixels_of(near[index])[0] == pink).all(axis=2).mean() > 0.05
        # Rows go down and the second latent goes up. Encodings are blurred by a step of the grid.
        pixels = pixels_of(wide[index])[0].astype(int)
        assert not (pixels == pink).all(axis=2).any()
        half_width = (mean.abs() + 4 * (log_var / 2).exp()).max().item()
        axis = torch.linspace(-half_width, half_width, len(pixels), dtype=torch.float64)
        asked = [(line, column) for line in range(5, len(pixels), 16) for column in range(3, len(pixels), 16)]
        places = torch.stack([torch.stack([axis[column], -axis[line]]) for line, column in asked])
        expected = brute_log_q(places, mean, log_var.exp() + (axis[1] - axis[0]) ** 2).clamp(-14, -1)
        levels = np.array([abs(viridis - pixels[at]).sum(axis=1).argmin() for at in asked])
        # Half a level, of 61 for 13 nats.
        assert -14 + 13 * levels / 61 == pytest.approx(expected.numpy(), abs=0.11)


def integrated(distance, width):
    """Return the parts of the rate by Gauss-Hermite quadrature over each posterior, an expectation at a time."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    weights = weights / weights.sum()
    means = distance * np.array([-2, -1, 0, 1, 2])
    z = means[:, None] + width * nodes
    own = -(nodes**2) / 2 - math.log(width)
    mixture = np.log(np.exp(-(((z[..., None] - means) / width) ** 2) / 2).mean(-1)) - math.log(width)
    prior = -(z**2) / 2
    return [float((ratio * weights).sum(-1).mean()) for ratio in (own - prior, own - mixture, mixture - prior)]


def test_the_numbers_bars_and_words_of_a_frame_are_those_of_another_quadrature():
    box = one("information")
    (distances, widths), frames = ([one.options for one in box.children[:2]], layers_of(box)[0])
    for (distance, _), stack in zip(distances, frames, strict=True):
        for (width, _), frame in zip(widths, stack, strict=True):
            parts = numbers_of(frame)
            assert parts == pytest.approx(integrated(float(distance), float(width)), abs=0.006)
            label = ElementTree.fromstring(frame).attrib["aria-label"]
            assert f" {distance} apart and of width {width}, " in label
            assert [float(number) for number in re.findall(r"(?:Rate|information|KL) (\d\.\d\d)", label)] == parts
            bars = [points_of(elements(frame, "path", fill=color)[0])[:, 0] for color in plots.MEASURES.values()]
            # 3.6 inches for 4.4 nats; the last bar begins where the one before ends.
            assert [4.4 * np.ptp(bar) / (3.6 * 72) for bar in bars] == pytest.approx(parts, abs=0.01)
            assert bars[2].min() == pytest.approx(bars[1].max(), abs=0.11)
            for path in elements(frame, "path"):
                points = points_of(path)
                assert (points > -0.05).all()
                assert (points <= [4.8 * 72, 4.4 * 72]).all()


def test_points_of_a_slice_are_those_of_the_images_in_it():
    box = factor_space(pairs=[("x", "y"), ("hue", "scale")], units={"hue": "turns"})
    frame = layers_of(box)[0][1][1]
    names = list(tetrominoes.RANGES)
    across, upwards = names.index("hue"), names.index("scale")
    hidden = [index for index in range(5) if index not in (across, upwards)]
    train, _ = sides()["checkerboard"]
    inside = train[((train[:, hidden] >= 0.36) & (train[:, hidden] < 0.5)).all(axis=1)][:, [across, upwards]]
    shown = {}
    for side, color in plots.PARTITIONS.items():
        dots = next(one for one in elements(frame, "path", stroke=color) if len(points_of(one)) > 10)
        # A square of 3.65 inches, 0.75 from the left and 0.6 from above.
        shown[side] = ((points_of(dots)[::2] / 72 - [0.75, 0.6]) / 3.65) * [1, -1] + [0, 1]
    assert shown["train"] == pytest.approx(inside, abs=1e-3)
    assert len(shown["test"]) == 80
    # Within the slice the checkerboard has training images in two quarters, and test images in the others.
    for side, points in shown.items():
        clear = points[(np.abs(points - 0.5) > 1e-3).all(axis=1)]
        assert (((clear > 0.5).sum(axis=1) % 2 == 1) == (side == "test")).all()
    assert {"hue (turns)", "scale", f"training ({len(inside)})"} <= set(words_of(frame))


def test_a_panel_laid_over_another_has_its_places_on_any_scale():
    fig = card(3, (0.5, 0.5, 4, 2))
    panel = fig.axes[0]
    panel.set(xscale="symlog", yscale="log", xlim=(5, -1), ylim=(0.1, 10))
    twin = over(fig).axes[0]
    points = np.array([[3, 0.2], [0, 1], [0.01, 9]])
    assert twin.transData.transform(points) == pytest.approx(panel.transData.transform(points))


@in_style
def test_words_with_markup_are_escaped_and_a_card_is_white():
    fig = card(1)
    fig.text(0, 0, "a < b & c's")
    picture = svg(fig, "x < 'y' & \"z\"")
    root = ElementTree.fromstring(picture)
    assert root.attrib["aria-label"] == "x < 'y' & \"z\""
    assert words_of(picture) == ["a < b & c's"]
    assert root.find(f"{SVG}rect").attrib["fill"] == "#fff"
    assert ElementTree.fromstring(svg(Figure(facecolor="none"), "")).find(f"{SVG}rect") is None
