"""Test images next to their reconstructions."""

import textwrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ratereg.plots.grid import labeled
from ratereg.plots.style import STYLE, finished
from ratereg.studies import Results
from ratereg.summary import groups

__all__ = ["reconstructions", "tiled"]

_COLUMNS = 7
"""Number of betas that are shown, at most."""


def reconstructions(results: Results, *, images: int = 2) -> Figure:
    """Draw test images next to their reconstructions along beta: a block of rows per data set and model.

    At most so many images, by the members of the first seed, at seven betas or fewer from the largest to the smallest,
    with 1 and 0.1 among them.

    Raises:
        ValueError: `images` is below 1.
    """
    if images < 1:
        raise ValueError(f"reconstructions: images is {images}; give 1 or more.")
    final = results.final[results.final["partition"] == "test"]
    rows = labeled(final[final["seed"] == final["seed"].min()])
    betas = _picked(np.sort(rows["beta"].unique())[::-1])
    with plt.style.context(STYLE):
        blocks = groups(rows, ["panel", "series"])
        height = 6.0 / (len(betas) + 1) * images + 0.1
        fig, axes = plt.subplots(len(blocks), figsize=(6.4, height * len(blocks) + 0.3), squeeze=False)
        for panel, block in zip(axes.flat, blocks, strict=True):
            members = block.set_index("beta").loc[betas, "member"].astype(int)
            originals = results.arrays["test_originals"][results.arrays["member_dataset"][members.iloc[0]]]
            cells = np.concatenate([originals[None], results.arrays["test_reconstructions"][members]])[:, :images]
            panel.imshow(tiled(cells), interpolation="nearest")
            ticks = (np.arange(len(cells)) + 0.5) * (cells.shape[-1] + 2) - 1
            panel.set_xticks(ticks, ["image", *(rf"$\beta$ = {beta:g}" for beta in betas)])
            panel.tick_params(length=0, labeltop=panel is axes[0, 0], labelbottom=False)
            # Labels are as long as the block is high, in letters of 9 points.
            lines = [textwrap.fill(block[name].iloc[0], round(15 * height)) for name in ("series", "panel")]
            panel.set_ylabel("\n".join(lines), fontsize=9)
            panel.set_yticks([])
            panel.grid(visible=False)
            panel.spines[:].set_visible(False)
    return finished(fig)


def _picked(betas: np.ndarray) -> np.ndarray:
    """Pick from descending betas: the ends, the two that the book compares, and others so that gaps are even."""
    chosen = sorted({0, len(betas) - 1, *np.flatnonzero(np.isin(betas, (1, 0.1)))})
    while len(chosen) < min(_COLUMNS, len(betas)):
        left = [index for index in range(len(betas)) if index not in chosen]
        chosen.append(max(left, key=lambda index: min(abs(index - one) for one in chosen)))
    return betas[sorted(chosen)]


def tiled(cells: np.ndarray) -> np.ndarray:
    """Lay images (column, row, channel, height, width) out on white, two pixels apart, as (height, width, 3)."""
    padded = np.pad(cells, ((0, 0), (0, 0), (0, 0), (0, 2), (0, 2)), constant_values=255)
    columns, rows, channels, height, width = padded.shape
    canvas = padded.transpose(1, 3, 0, 4, 2).reshape(rows * height, columns * width, channels)
    return np.broadcast_to(canvas, (*canvas.shape[:2], 3))[:-2, :-2]
