"""Test images beside what the networks make of them."""

import textwrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ratereg.plots.style import STYLE, finished
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, network_label

__all__ = ["reconstructions"]


def reconstructions(results: Results, *, images: int = 2, columns: int = 7, seed: int | None = None) -> Figure:
    """Draw test images beside their reconstructions along beta: a block of rows per data set, split and network.

    Arguments:
        results: with pictures.
        images: how many test images.
        columns: how many betas at most, evenly picked from the largest to the smallest, with 1 and 0.1 among them.
        seed: of the members; None for the first.
    """
    rows = results.final[results.final["partition"] == "test"]
    rows = rows[rows["seed"] == (rows["seed"].min() if seed is None else seed)]
    betas = _picked(np.sort(rows["beta"].unique())[::-1], columns)
    with plt.style.context(STYLE):
        blocks = [(data, block) for data in groups(rows, DATA) for block in groups(data, NETWORK)]
        height = 6.0 / (len(betas) + 1) * images + 0.1
        fig, axes = plt.subplots(len(blocks), figsize=(6.4, height * len(blocks) + 0.3), squeeze=False)
        for panel, (data, block) in zip(axes.flat, blocks, strict=True):
            members = block.set_index("beta").loc[betas, "member"].astype(int)
            originals = results.arrays["test_originals"][results.arrays["member_dataset"][members.iloc[0]]]
            cells = np.concatenate([originals[None], results.arrays["test_reconstructions"][members]])[:, :images]
            panel.imshow(_tiled(cells), interpolation="nearest")
            ticks = (np.arange(len(cells)) + 0.5) * (cells.shape[-1] + 2) - 1
            panel.set_xticks(ticks, ["image", *(rf"$\beta$ = {beta:g}" for beta in betas)])
            panel.tick_params(length=0, labeltop=panel is axes[0, 0], labelbottom=False)
            # Labels as long as the block is high, of letters of 9 points.
            lines = [
                textwrap.fill(one, round(15 * height)) for one in (network_label(block), data_label(data, short=True))
            ]
            panel.set_ylabel("\n".join(lines), fontsize=9)
            panel.set_yticks([])
            panel.grid(visible=False)
            panel.spines[:].set_visible(False)
    return finished(fig)


def _picked(betas: np.ndarray, count: int) -> np.ndarray:
    """Pick from descending betas: the ends, the two that the book compares, and others so that gaps are even."""
    if len(betas) <= count:
        return betas
    compared = [index for index, beta in enumerate(betas) if beta in (1, 0.1)]
    chosen = sorted({*compared, 0, len(betas) - 1}, key=lambda index: index not in compared)[: max(count, 1)]
    while len(chosen) < count:
        left = [index for index in range(len(betas)) if index not in chosen]
        chosen.append(max(left, key=lambda index: min(abs(index - one) for one in chosen)))
    return betas[sorted(chosen)]


def _tiled(cells: np.ndarray) -> np.ndarray:
    """Lay images (column, row, channel, height, width) out on white, two pixels apart, as (height, width, 3)."""
    padded = np.pad(cells, ((0, 0), (0, 0), (0, 0), (0, 2), (0, 2)), constant_values=255)
    columns, rows, channels, height, width = padded.shape
    canvas = padded.transpose(1, 3, 0, 4, 2).reshape(rows * height, columns * width, channels)
    return np.broadcast_to(canvas, (*canvas.shape[:2], 3))[:-2, :-2]
