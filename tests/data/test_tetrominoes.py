import colorsys
import inspect
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ratereg.data.tetrominoes import (
    COUNT,
    FACTOR_NAMES,
    RANGES,
    SHAPES,
    SIZE,
    draw_factors,
    factors,
    render,
    unit_cube,
)

CENTER = SIZE / 2 - 0.5 - 1 / 32
"""x and y of a shape that turns about the middle of the image."""

in_range = st.tuples(*(st.floats(*RANGES[name], exclude_max=True) for name in FACTOR_NAMES[:5]))
shapes = st.integers(0, len(SHAPES) - 1)


def examples(count: int, seed: int = 0) -> np.ndarray:
    """Random factors, all shapes in turn, among them some that are level, off the image, tiny or huge."""
    rows = factors(seed)[np.random.default_rng(seed).choice(COUNT, count)]
    rows[:, 5] = np.arange(count) % len(SHAPES)
    rows[:4, 0] = [0, 90, 180, 360]
    rows[4:7, 3:5] = [[1, 16], [31.5, 30], [16, -3]]
    rows[7:10, 2] = [0.3, 12, 40]
    return rows


def pulled_back(row: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points of the image lie in the shape: turned back into its picture of unit squares, in float64."""
    picture = np.array([[square == "#" for square in line] for line in list(SHAPES.values())[int(row[5])].split("/")])
    angle = np.deg2rad(row[0])
    p, q = (x - row[3] - 0.5 - 1 / 32) / row[2], (y - row[4] - 0.5 - 1 / 32) / row[2]
    column = np.floor(np.cos(angle) * p - np.sin(angle) * q + 0.005 + picture.shape[1] / 2).astype(int)
    line = np.floor(np.sin(angle) * p + np.cos(angle) * q + 0.005 + picture.shape[0] / 2).astype(int)
    inside = (column >= 0) & (column < picture.shape[1]) & (line >= 0) & (line < picture.shape[0])
    return inside & picture[line.clip(0, picture.shape[0] - 1), column.clip(0, picture.shape[1] - 1)]


def clipped_area(polygon: list[tuple[float, float]], i: int, j: int) -> float:
    """Area of a convex polygon inside the pixel (column i, row j), by clipping it at one side after the other."""
    for axis, bound, sign in ((0, i, 1), (0, i + 1, -1), (1, j, 1), (1, j + 1, -1)):
        kept = []
        for a, b in itertools.pairwise([*polygon, *polygon[:1]]):
            da, db = sign * (a[axis] - bound), sign * (b[axis] - bound)
            if da >= 0:
                kept.append(a)
            if da * db < 0:
                t = da / (da - db)
                kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
        polygon = kept
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise([*polygon, *polygon[:1]]))) / 2


def clipped_coverage(row: np.ndarray) -> np.ndarray:
    lines = list(SHAPES.values())[int(row[5])].split("/")
    angle, scale, coverage = np.deg2rad(row[0]), row[2], np.zeros((SIZE, SIZE))
    for v, u in itertools.product(range(len(lines)), range(len(lines[0]))):
        if lines[v][u] == "#":
            corners = np.array([(u, v), (u + 1, v), (u + 1, v + 1), (u, v + 1)], dtype=float)
            corners -= np.array([len(lines[0]) / 2, len(lines) / 2]) + 0.005
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            corners = row[3:5] + 0.5 + 1 / 32 + scale * corners @ turn
            low, high = np.floor(corners.min(0)).clip(0), np.ceil(corners.max(0)).clip(0, SIZE)
            for i, j in itertools.product(*(range(int(a), int(b)) for a, b in zip(low, high, strict=True))):
                coverage[j, i] += clipped_area([(x, y) for x, y in corners.tolist()], i, j)
    return coverage


def coverage(images: torch.Tensor) -> torch.Tensor:
    """At full saturation and value the strongest channel is the coverage."""
    return images.amax(dim=1)


def test_factors_have_one_draw_in_each_cell_of_the_grid() -> None:
    rows = factors()
    assert rows.shape == (COUNT, 6)
    assert (rows[:, 5] == 0).all()
    low, high = np.array(list(RANGES.values())).T
    cells = np.floor((rows[:, :5] - low) / (high - low) * (16, 8, 5, 16, 16)).astype(int)
    assert len(np.unique(np.ravel_multi_index(cells.T, (16, 8, 5, 16, 16)))) == COUNT


def test_factors_are_the_uniform_draws_of_numpys_generator() -> None:
    draws = np.random.Generator(np.random.PCG64(1)).random((COUNT, 5))
    low, high = np.array(list(RANGES.values())).T
    within = (factors()[:, :5] - low) / (high - low) * (16, 8, 5, 16, 16) % 1
    distance = np.abs(within - draws)
    assert np.minimum(distance, 1 - distance).max() < 1e-12


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=list(SHAPES))
def test_images_are_those_of_brute_force_supersampling(shape: int) -> None:
    rows = factors(7)[np.random.default_rng(shape).choice(COUNT, 2)]
    rows[:, 5] = shape
    per_pixel = 40
    points = (np.arange(SIZE * per_pixel) + 0.5) / per_pixel
    for row, image in zip(rows, render(rows).numpy(), strict=True):
        inside = pulled_back(row, points[None, :], points[:, None])
        shares = inside.reshape(SIZE, per_pixel, SIZE, per_pixel).mean((1, 3))
        error = np.abs(image - np.array(colorsys.hsv_to_rgb(row[1], 1, 1))[:, None, None] * shares)
        assert error.mean() < 1e-3
        assert error.max() < 0.02


def test_images_are_those_of_polygon_clipping_to_rounding() -> None:
    rows = examples(28)
    images = coverage(render(rows, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(images, np.stack([clipped_coverage(row) for row in rows]), atol=1e-10)


@given(factors=in_range, shape=shapes)
@settings(max_examples=50, deadline=None)
def test_a_shape_inside_the_image_keeps_its_area(factors: tuple[float, ...], shape: int) -> None:
    angle, hue, scale, _, _ = factors
    image = coverage(render(np.array([[angle, hue, scale, CENTER, CENTER, shape]]), dtype=torch.float64))
    assert image.sum().item() == pytest.approx(4 * scale**2, abs=1e-9)
    assert image.min() >= 0
    assert image.max() <= 1


@given(factors=in_range, shape=shapes)
@settings(max_examples=50, deadline=None)
def test_a_quarter_turn_of_the_shape_is_one_of_the_image(factors: tuple[float, ...], shape: int) -> None:
    angle, hue, scale, _, _ = factors
    rows = np.array([[angle + turn, hue, scale, CENTER, CENTER, shape] for turn in (0, 90)])
    images = render(rows, dtype=torch.float64)
    torch.testing.assert_close(images[1], images[0].rot90(1, (1, 2)), atol=1e-9, rtol=0)


@given(factors=in_range, shape=shapes, step=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
@settings(max_examples=50, deadline=None)
def test_moving_the_shape_by_whole_pixels_moves_the_image(
    factors: tuple[float, ...], shape: int, step: tuple[int, int]
) -> None:
    angle, hue, scale, x, y = factors
    rows = np.array([[angle, hue, scale, x, y, shape], [angle, hue, scale, x + step[0], y + step[1], shape]])
    images = torch.nn.functional.pad(render(rows, dtype=torch.float64), (9, 9, 9, 9))
    images[0] = images[0].roll((step[1], step[0]), (1, 2))
    seen = slice(18, SIZE)  # what no step has moved across the edge of the image
    torch.testing.assert_close(images[1, :, seen, seen], images[0, :, seen, seen], atol=1e-9, rtol=0)


@given(hue=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_colors_are_those_of_hsv(hue: float) -> None:
    image = render(np.array([[0, hue, 12, CENTER, CENTER, 6]]), dtype=torch.float64)
    np.testing.assert_allclose(image[0, :, 16, 16], colorsys.hsv_to_rgb(hue, 1, 1), atol=1e-12)


def test_an_image_does_not_depend_on_the_others() -> None:
    rows = examples(200)
    together = render(rows, dtype=torch.float64)
    alone = torch.cat([render(row[None], dtype=torch.float64) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-11, rtol=0)


def test_uint8_rounds_the_value_times_255() -> None:
    rows = examples(300)
    expected = (255 * render(rows, dtype=torch.float64)).round().to(torch.uint8)
    assert torch.equal(render(rows, dtype=torch.uint8), expected)


def test_any_number_of_threads_gives_the_same_images() -> None:
    rows, before = examples(500), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = render(rows, dtype=torch.float64)
        torch.set_num_threads(4)
        four = render(rows, dtype=torch.float64)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, four)


def test_arrays_and_tensors_of_any_precision_are_taken() -> None:
    rows = examples(14).astype(np.float32)
    rows.setflags(write=False)
    images = render(rows)
    assert images.dtype == torch.float32
    assert images.shape == (14, 3, SIZE, SIZE)
    assert torch.equal(images, render(torch.tensor(rows)))
    assert torch.equal(images, render(rows.astype(np.float64)))
    assert render(rows[:0]).shape == (0, 3, SIZE, SIZE)


def test_devices_give_the_same_images() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rows = examples(500)
    torch.testing.assert_close(
        render(rows, device="cuda", dtype=torch.float64).cpu(), render(rows, dtype=torch.float64), atol=1e-11, rtol=0
    )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, np.nan, "NaN"),
        (3, np.inf, "beyond 1e6"),
        (2, 0.0, "scale that is not positive"),
        (2, -1.0, "scale that is not positive"),
        (5, 7.0, "unknown shape; give 0 to 6"),
        (5, 0.5, "unknown shape"),
        (5, -1.0, "unknown shape"),
    ],
)
def test_render_refuses_factors_that_are_no_image(column: int, value: float, message: str) -> None:
    rows = factors()[:3].copy()
    rows[1, column] = value
    with pytest.raises(ValueError, match=message):
        render(rows)


def test_render_refuses_misshapen_factors_and_other_types() -> None:
    with pytest.raises(ValueError, match=r"has shape \(2, 5\) .*give rows \(angle"):
        render(np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"has shape \(6,\)"):
        render(np.ones(6))
    with pytest.raises(ValueError, match=r"dtype is torch.int32; give torch.uint8"):
        render(factors()[:1], dtype=torch.int32)


def test_fresh_factors_are_uniform_and_independent_over_the_ranges() -> None:
    rows = draw_factors(20_000, seed=3)
    cube = unit_cube(rows)
    assert cube.shape == (20_000, 5)
    assert ((cube >= 0) & (cube < 1)).all()
    assert (rows[:, 5] == 0).all()
    np.testing.assert_allclose(np.corrcoef(cube.T), np.eye(5), atol=0.04)
    for column in cube.T:
        np.testing.assert_allclose(np.quantile(column, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)


def test_fresh_factors_depend_on_the_seed_alone_and_are_not_the_data_sets_own() -> None:
    np.testing.assert_array_equal(draw_factors(50, seed=1), draw_factors(90, seed=1)[:50])
    assert not np.isin(draw_factors(1000, seed=1)[:, 0], factors(1)[:, 0]).any()
    assert not np.isin(draw_factors(1000, seed=1)[:, 0], draw_factors(1000, seed=2)[:, 0]).any()


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_an_impossible_number_of_fresh_images_is_refused(count: object) -> None:
    with pytest.raises(ValueError, match="count is"):
        inspect.unwrap(draw_factors)(count, 0)
