"""Tetrominoes: five continuous factors and a shape, turned into images by exact area coverage.

A pixel's value is the area of the shape inside the pixel, times the color. By Green's theorem that area is a sum over
the edges of the shape's outline, so that all images and all seven shapes go through one vectorized program.
"""

import functools
import itertools
import math
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped, UInt8
from torch import Tensor

from ratereg.data.imageset import Images
from ratereg.data.splits import checked_seed

__all__ = [
    "COUNT",
    "FACTOR_NAMES",
    "PERIODS",
    "RANGES",
    "SHAPES",
    "SIZE",
    "draw_factors",
    "factors",
    "images",
    "render",
    "unit_cube",
]

FACTOR_NAMES = ("angle", "hue", "scale", "x", "y", "shape")
"""Degrees; a turn of the color wheel; pixels, the side of one square; pixels; pixels; row of `SHAPES`."""

SHAPES = {
    "J": ".#/.#/##",
    "L": "#./#./##",
    "I": "#/#/#/#",
    "T": ".#./###",
    "Z": "##./.##",
    "S": ".##/##.",
    "O": "##/##",
}
"""Each shape as a picture of unit squares, its rows from top to bottom."""

RANGES = {"angle": (0.0, 337.5), "hue": (0.0, 0.875), "scale": (2.0, 5.0), "x": (8.0, 23.0), "y": (8.0, 23.0)}
"""What the continuous factors are drawn from; the upper ends are excluded."""

PERIODS = {"angle": 360.0, "hue": 1.0}
"""Periods of the factors that are circles, in their own units; the data cover a part of each."""

SIZE = 32
"""Rows and columns of an image."""

_CELLS = (16, 8, 5, 16, 16)
COUNT = math.prod(_CELLS)
"""How many images the data set has, one in each cell of a grid over the five continuous factors."""

# The original's generator rasters twice; half a pixel of each of its intermediate images remains as an offset.
_IMAGE_OFFSET = 0.5 + 1 / 32
_SHAPE_OFFSET = 0.005

# Elements of a block's working arrays. On the CPU they stay in the cache, and a thread draws a block alone: that is
# faster than threads that wait for each other after every operation, much faster where other processes use the cores
# too. Smaller blocks would have the threads wait for the interpreter.
_BLOCK_CPU = 1 << 17
_BLOCK_ACCELERATOR = 1 << 24

Edge = tuple[tuple[float, float], tuple[float, float]]


def factors(seed: int = 1) -> Float64[np.ndarray, "image factor"]:
    """Draw the factors of the data set: one uniform draw in each cell of a 16 x 8 x 5 x 16 x 16 grid.

    Returns an array (163840, 6) with columns `FACTOR_NAMES`, rows in the grid's order (y runs fastest), the same on
    every machine. The shape is J throughout.

    Raises:
        ValueError: `seed` is negative or not an integer.
    """
    cell = np.stack(np.unravel_index(np.arange(COUNT), _CELLS), axis=1)
    return _in_ranges(cell + _uniform(np.random.PCG64(checked_seed(seed)), COUNT), _CELLS)


def draw_factors(count: int, seed: int) -> Float64[np.ndarray, "image factor"]:
    """Draw the factors of fresh images, independent and uniform over `RANGES`, the same on every machine.

    Returns an array (count, 6) with columns `FACTOR_NAMES`. They are none of the data set's own, whatever the seed.

    Raises:
        ValueError: `count` is below 1, or `seed` is negative or not an integer.
    """
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise ValueError(f"tetrominoes.draw_factors: count is {count!r}; give a positive integer.")
    stream = np.random.PCG64(np.random.SeedSequence([checked_seed(seed), zlib.crc32(b"draw_factors")]))
    return _in_ranges(_uniform(stream, count), (1,) * len(RANGES))


def _uniform(stream: np.random.PCG64, count: int) -> Float64[np.ndarray, "image 5"]:
    # Raw bits, because numpy promises these for all versions to come, and its uniform draws not.
    return (stream.random_raw(count * len(RANGES)).reshape(count, len(RANGES)) >> 11) * 2.0**-53


def _in_ranges(places: Float64[np.ndarray, "image 5"], cells: tuple[int, ...]) -> Float64[np.ndarray, "image 6"]:
    """Scale places in a grid of so many cells to the ranges, and add a column for the shape J."""
    low, high = np.array(list(RANGES.values())).T
    return np.pad(low + (high - low) * places / cells, ((0, 0), (0, 1)))


def unit_cube(factors: Float64[np.ndarray, "image 6"]) -> Float64[np.ndarray, "image 5"]:
    """Scale the factors that vary from `RANGES` to the unit cube, where they are uniform and independent."""
    low, high = np.array(list(RANGES.values())).T
    scaled: Float64[np.ndarray, "image 5"] = (factors[:, : len(RANGES)] - low) / (high - low)
    return scaled


def render(
    factors: np.ndarray | Tensor,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "image 3 32 32"] | UInt8[Tensor, "image 3 32 32"]:
    """Turn rows of factors into images by exact area coverage.

    Arguments:
        factors: (image, 6), rows of angle, hue, scale, x, y, shape in the units of `FACTOR_NAMES`; also outside of
            `RANGES`. What leaves the image is cut off.
        device: where to compute; by default where `factors` are.
        dtype: a floating type for values in [0, 1], or torch.uint8 for 0..255, rounded.

    Raises:
        ValueError: `factors` is misshapen, not finite or huge, of a scale that is not positive or of an unknown shape;
            or `dtype` is neither floating nor uint8.

    Source: the geometry of the Tetrominoes data set's published generator; area by Green's theorem.
    """
    rows = factors.detach() if isinstance(factors, Tensor) else torch.tensor(np.asarray(factors, dtype=np.float64))
    device = rows.device if device is None else torch.device(device)
    if dtype != torch.uint8 and not dtype.is_floating_point:
        raise ValueError(f"tetrominoes.render: dtype is {dtype}; give torch.uint8 or a floating type.")
    _require_drawable(rows)
    # In float64 machines differ by about 1e-14 at most, so that rounding to uint8 gives the same data everywhere.
    rows = rows.to(device, torch.float32 if device.type == "mps" else torch.float64)
    images = torch.zeros(len(rows), 3, SIZE * SIZE, dtype=dtype, device=device)
    if len(rows) == 0:
        return images.view(-1, 3, SIZE, SIZE)
    outlines = _outlines().to(rows.device, rows.dtype)
    present = outlines[torch.bincount(rows[:, 5].long(), minlength=len(SHAPES)) > 0]
    edges = int((present[:, :, 0] != present[:, :, 1]).any(-1).sum(1).max())
    reach = (present - _SHAPE_OFFSET).norm(dim=-1).max() * rows[:, 2].max()
    window = min(SIZE, math.ceil(2 * float(reach)) + 1)
    size = (_BLOCK_CPU if device.type == "cpu" else _BLOCK_ACCELERATOR) // (window * (window + 1))

    def draw(start: int) -> None:
        block = slice(start, start + size)
        _draw(rows[block], outlines[rows[block, 5].long(), :edges], float(reach), window, images[block])

    starts = range(0, len(rows), size)
    if device.type != "cpu":
        for start in starts:
            draw(start)
    else:
        available = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(available, initializer=torch.set_num_threads, initargs=(1,)) as threads:
                list(threads.map(draw, starts))
        finally:
            torch.set_num_threads(available)  # what a thread sets is the default of those that start after it
    return images.view(-1, 3, SIZE, SIZE)


def _require_drawable(rows: Shaped[Tensor, "..."]) -> None:
    if rows.ndim != 2 or rows.shape[1] != len(FACTOR_NAMES) or rows.is_complex():
        raise ValueError(
            f"tetrominoes.render: factors has shape {tuple(rows.shape)} and type {rows.dtype}; give rows "
            f"({', '.join(FACTOR_NAMES)})."
        )
    if not bool((rows.abs() <= 1e6).all()):
        raise ValueError("tetrominoes.render: factors holds NaN or numbers beyond 1e6; give smaller ones.")
    if not bool((rows[:, 2] > 0).all()):
        raise ValueError("tetrominoes.render: factors holds a scale that is not positive; give pixels above 0.")
    shape = rows[:, 5].long()
    if not bool(((shape == rows[:, 5]) & (shape >= 0) & (shape < len(SHAPES))).all()):
        raise ValueError(f"tetrominoes.render: factors holds an unknown shape; give 0 to {len(SHAPES) - 1}.")


def _draw(
    rows: Float[Tensor, "image 6"],
    outlines: Float[Tensor, "image edge 2 2"],
    reach: float,
    window: int,
    images: Shaped[Tensor, "image 3 pixel"],
) -> None:
    """Draw into black images, each in the square window that its shape can reach."""
    center = rows[:, 3:5] + _IMAGE_OFFSET
    corner = (center - reach).floor().clamp(0, SIZE - window)
    edges = _placed(rows, outlines) + (center - corner)[:, None, None]
    side = torch.arange(window, device=rows.device)
    pixels = (corner[:, 1] * SIZE + corner[:, 0]).long()[:, None] + (side[:, None] * SIZE + side).flatten()
    covered = _coverage(edges, window).flatten(1)
    for channel, brightness in enumerate(_color(rows[:, 1])):
        values = brightness[:, None] * covered
        values = (255 * values).round() if images.dtype == torch.uint8 else values
        images[:, channel].scatter_(1, pixels, values.to(images.dtype))


def _color(hue: Float[Tensor, " image"]) -> Float[Tensor, "3 image"]:
    """HSV to RGB at full saturation and value."""
    phase = (torch.tensor([[5.0], [3.0], [1.0]], dtype=hue.dtype, device=hue.device) + 6 * hue) % 6
    return 1 - torch.minimum(phase, 4 - phase).clamp(0, 1)


def _placed(
    rows: Float[Tensor, "image 6"], outlines: Float[Tensor, "image edge 2 2"]
) -> Float[Tensor, "image edge 2 2"]:
    """Turn and scale each outline; last axes: start and end, X and Y from the center."""
    u, v = (outlines - _SHAPE_OFFSET).unbind(-1)
    angle, scale = torch.deg2rad(rows[:, 0, None, None]), rows[:, 2, None, None]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    return torch.stack([cos * u + sin * v, cos * v - sin * u], dim=-1)


def _coverage(edges: Float[Tensor, "image edge 2 2"], window: int) -> Float[Tensor, "image row column"]:
    """The area of the outlined shape inside each pixel of a square window at the origin.

    The area inside column i and below the height j is the sum over the edges of the integral of max(Y - j, 0) dX,
    X in [i, i + 1]; the area inside a pixel is the difference of two.
    """
    grid = torch.arange(window + 1, dtype=edges.dtype, device=edges.device)
    (x0, y0), (x1, y1) = (end.unbind(2) for end in edges[..., None].unbind(2))
    upright = (x1 - x0).abs() < 1e-12
    slope = torch.where(upright, 0.0, (y1 - y0) / torch.where(upright, 1.0, x1 - x0))
    # The ends of the edge's piece inside each column: (image, edge, column).
    xa, xb = (x.clamp(grid[:-1], grid[1:]) for x in (x0, x1))
    ya, yb = (y0 + slope * (x - x0) for x in (xa, xb))
    # The mean of max(Y - j, 0) over a piece that falls by `drop` from `high` is f (h - f / 2) / drop with
    # h = max(high - j, 0) and f = min(h, drop): nothing cancels, however level the piece is.
    high, drop = torch.maximum(ya, yb), (ya - yb).abs().clamp(min=1e-9)
    weight = (xb - xa) / drop
    below = edges.new_zeros(len(edges), window + 1, window)
    for k in range(edges.shape[1]):
        h = (high[:, k, None] - grid[:, None]).clamp_(min=0)
        f = torch.minimum(h, drop[:, k, None])
        h.sub_(f, alpha=0.5)
        below.addcmul_(h, f.mul_(weight[:, k, None]))
    return (below[:, :-1] - below[:, 1:]).clamp_(0, 1)


@functools.cache
def _outlines() -> Float64[Tensor, "shape edge 2 2"]:
    """The directed edges of each shape's outline in unit squares, from the center of its bounding box.

    The shape lies to the left of an edge where Y points down. Padded with edges of length zero.
    """
    outlines = [_outline(picture) for picture in SHAPES.values()]
    longest = max(map(len, outlines))
    padded = [edges + [((0.0, 0.0), (0.0, 0.0))] * (longest - len(edges)) for edges in outlines]
    return torch.tensor(padded, dtype=torch.float64)


def _outline(picture: str) -> list[Edge]:
    """The edges of one shape: where a filled square meets an empty one, joined along straight lines."""
    filled = np.array([[square == "#" for square in row] for row in picture.split("/")], dtype=int)
    height, width = filled.shape
    edges: list[Edge] = []
    # Rightward below the shape and leftward above it, ...
    for v, line in enumerate(-np.diff(np.pad(filled, ((1, 1), (0, 0))), axis=0)):
        edges += [((a, v), (b, v)) if sign > 0 else ((b, v), (a, v)) for a, b, sign in _runs(line)]
    # ... upward on its right and downward on its left.
    for u, line in enumerate(-np.diff(np.pad(filled, ((0, 0), (1, 1))), axis=1).T):
        edges += [((u, b), (u, a)) if sign > 0 else ((u, a), (u, b)) for a, b, sign in _runs(line)]
    return [((a - width / 2, b - height / 2), (c - width / 2, d - height / 2)) for (a, b), (c, d) in edges]


def _runs(line: Shaped[np.ndarray, " square"]) -> list[tuple[int, int, int]]:
    """The runs (start, end, value) of equal values other than zero."""
    breaks = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
    return [(a, b, int(line[a])) for a, b in itertools.pairwise(breaks) if line[a] != 0]


def images() -> Images:
    """Return the whole data set, not yet split; its images are rendered as they are asked for."""
    drawn = factors()
    return Images(
        name="tetrominoes",
        count=len(drawn),
        pixels=lambda rows: render(drawn[rows], dtype=torch.uint8),
        factors=drawn,
        factor_names=FACTOR_NAMES,
        ranges=RANGES,
        periods=PERIODS,
        draw=_fresh,
    )


def _fresh(count: int, seed: int) -> tuple[UInt8[Tensor, "image pixels"], Float64[Tensor, "image factor"]]:
    """Draw fresh images, flattened, and their factors in the unit cube; the first are the same for every number."""
    rows = draw_factors(count, seed)
    return render(rows, dtype=torch.uint8).flatten(1), torch.from_numpy(unit_cube(rows))
