"""The pictures that only a report has: the gap along beta, and a sheet of images."""

import math

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ratereg.plots import STYLE
from ratereg.studies import Results
from ratereg.summary import DATA, NETWORK, data_label, groups, mean_interval, network_label

__all__ = ["gap_along_beta", "sheet"]


def gap_along_beta(results: Results) -> Figure:
    """Draw the distortion of test images less that of training images against beta, from the largest to the smallest.

    One panel per data set and split, one line per network: means over seeds, in nats, with 95% t intervals that do not
    stretch the axes.
    """
    panels = groups(results.final[results.final["partition"].isin(["train", "test"])], DATA)
    with plt.style.context(STYLE):
        size = (6.4, 0.9 + 2.9 * len(panels))
        fig, axes = plt.subplots(len(panels), figsize=size, sharex=True, squeeze=False)
        for panel, here in zip(axes.flat, panels, strict=True):
            for network in groups(here, NETWORK):
                sides = network.pivot(index=["beta", "seed"], columns="partition", values="distortion")
                gaps = (sides["test"] - sides["train"]).groupby("beta")
                means = [mean_interval(values.dropna()) for _, values in gaps]
                betas = sorted(set(network["beta"]))
                (line,) = panel.plot(betas, [one.mean for one in means], "o-", label=network_label(network))
                for beta, one in zip(betas, means, strict=True):
                    panel.add_artist(Line2D([beta, beta], [one.low, one.high], color=line.get_color(), lw=1))
            panel.axhline(0, color="k", lw=0.8)
            panel.set(title=data_label(here), ylabel="test less training\ndistortion (nats)", xscale="log")
            panel.xaxis.set_inverted(True)
        axes.flat[-1].set_xlabel(r"$\beta$")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=2)
    plt.close(fig)
    return fig


def sheet(images: np.ndarray, columns: int = 12) -> np.ndarray:
    """Return images (image, channel, height, width), uint8, as one (height, width, channel), in rows, on white.

    Each pixel becomes a square, so that a row is some 700 pixels wide.
    """
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    scale = max(1, 720 // (columns * (images.shape[-1] + 2)))
    room = np.full((rows * columns - len(images), *images.shape[1:]), 255, dtype=np.uint8)
    large = np.concatenate([images, room]).repeat(scale, axis=2).repeat(scale, axis=3)
    padded = np.pad(large, ((0, 0), (0, 0), (0, 4), (0, 4)), constant_values=255)
    _, channels, height, width = padded.shape
    tiles = padded.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(rows * height, columns * width, channels)[:-4, :-4]
