"""Training and test images as points in the space of their factors, and the space that a split leaves between them."""

import itertools
from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np

from ratereg.plots.style import PARTITIONS
from ratereg.widgets.drawing import card, in_style, svg
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["factor_space"]

_SLICE = (0.36, 0.5)
"""Slice of the factors that a picture does not show: within the lower half of each, and within the central block."""

_TESTS = 80
"""Number of test images that are shown; of the training images all in the slice are."""


@in_style
def factor_space(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    distances: Mapping[str, float],
    *,
    ranges: Mapping[str, tuple[float, float]],
    pairs: Sequence[tuple[str, str]] | None = None,
    units: Mapping[str, str] | None = None,
) -> ipywidgets.VBox:
    """Return a slider over splits of a data set that shows its images as points in two of its factors.

    A menu chooses the two. Shown is a slice, within 14% of the range of each of the other factors: all its training
    images, and some of its test images. Both work by keyboard, and without a kernel.

    Arguments:
        splits: factors of training and of test images by the split's name, (image, factor) in the unit cube, as from
            `ImageSet.unit_cube`.
        distances: mean distance of test images to the nearest training image in all factors, by the same names; it is
            written above the picture.
        ranges: lowest and highest value of each of these factors by its name, as in `ImageSet.ranges`.
        pairs: pairs of factors to choose from; None for all.
        units: unit of each factor that has one, for the axes.

    Raises:
        ValueError: there is no split, a split has no distance or other factors, or a pair is not of two factors.
    """
    if not splits:
        raise ValueError("factor_space: splits is empty; give factors of training and test images by name.")
    if missing := [name for name in splits if name not in distances]:
        raise ValueError(f"factor_space: distances lacks {', '.join(missing)}; give a mean distance for each split.")
    for name, side in ((name, side) for name, sides in splits.items() for side in sides):
        if side.ndim != 2 or side.shape[1] != len(ranges):
            raise ValueError(
                f"factor_space: splits has factors of shape {side.shape} for {name!r}; give {len(ranges)} each."
            )
    chosen = list(itertools.combinations(ranges, 2)) if pairs is None else list(pairs)
    for pair in chosen:
        if len(set(pair)) != 2 or not set(pair) <= set(ranges):
            raise ValueError(f"factor_space: pairs holds {pair!r}; give two of {', '.join(ranges)}.")
    named = {name: f"{name} ({units[name]})" if units and name in units else name for name in ranges}
    frames = [[_frame(name, *splits[name], pair, distances[name], ranges, named) for name in splits] for pair in chosen]
    factors = menu("factors", [f"{across} and {along}" for across, along in chosen])
    # The first split is what the others are compared with.
    return Framed([factors, slider("split", list(splits), min(1, len(splits) - 1))], frames)


def _frame(
    name: str,
    train: np.ndarray,
    test: np.ndarray,
    pair: tuple[str, str],
    distance: float,
    ranges: Mapping[str, tuple[float, float]],
    named: Mapping[str, str],
) -> str:
    """Return one picture."""
    here, there = (_in_slice(cube, [list(ranges).index(one) for one in pair]) for cube in (train, test))
    shown = there[np.sort(np.random.default_rng(1).permutation(len(there))[:_TESTS])]
    fig = card(4.9, (0.75, 0.65, 3.65, 3.65))
    (panel,) = fig.axes
    labels = f"training ({len(here)})", f"test ({len(shown)} of {len(there):,})"
    for places, color, label in zip((here, shown), PARTITIONS.values(), labels, strict=True):
        # A point is a line without length whose ends are round: the shortest way to write it.
        x, y = np.repeat(places, 3, axis=0).T
        x[2::3] = np.nan
        panel.plot(x, y, color=color, lw=5, solid_capstyle="round", label=label)
    panel.plot([0.5, 0.5, np.nan, 0, 1], [0, 1, np.nan, 0.5, 0.5], "--", color="0.7", lw=0.8)
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel=named[pair[0]], ylabel=named[pair[1]])
    for axis, one in ((panel.xaxis, pair[0]), (panel.yaxis, pair[1])):
        axis.set_ticks([0, 1], [f"{end:g}" for end in ranges[one]])
    panel.grid(visible=False)
    panel.spines[:].set_visible(True)
    panel.legend(loc="lower left", bbox_to_anchor=(-0.2, 1.0), ncols=2, handlelength=0.5)
    fig.text(0.02, 0.955, f"{name}: mean distance to training {distance:.2f}")
    return svg(
        fig,
        f"{name}: {len(here)} training images and {len(shown)} of {len(there)} test images as points, {pair[0]} across "
        f"and {pair[1]} upwards. Mean distance of test images to the nearest training image: {distance:.2f}.",
    )


def _in_slice(cube: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """Return the places in the factors `shown`, (image, 2), of the images in the slice of the others."""
    hidden = np.delete(cube, shown, axis=1)
    low, high = _SLICE
    return np.asarray(cube[((hidden >= low) & (hidden < high)).all(axis=1)][:, shown])
