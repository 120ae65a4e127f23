"""Binary images: each pixel white with its value as probability, so that a Bernoulli likelihood is their density."""

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ratereg.data.splits import checked_seed

__all__ = ["BINARIZATIONS", "binarized"]

BINARIZATIONS = ("static", "dynamic")
"""Drawn once; or again at each step of training, and once for all that is measured."""

_PURPOSE = 0x62696E  # separates the stream from those of the splits


def binarized(
    pixels: UInt8[Tensor, "image channel height width"], rows: Int64[np.ndarray, " image"], *, seed: int = 0
) -> UInt8[Tensor, "image channel height width"]:
    """Return the images with each pixel 255 with probability value / 255, else 0, independently.

    An image's draw depends only on `seed` and on its own row in the source, so it is the same in every subset and on
    every machine.

    Arguments:
        pixels: the images, 0 to 255.
        rows: the row of each image in its source, ascending.
        seed: seed of the draw.

    Raises:
        ValueError: `pixels` or `rows` is misshapen or of another type, or `seed` is negative or not an integer.

    Source: Salakhutdinov and Murray (2008), for the static draw of MNIST.
    """
    if pixels.dtype != torch.uint8 or pixels.ndim != 4:
        shape = tuple(pixels.shape)
        raise ValueError(f"binarized: pixels has type {pixels.dtype} and shape {shape}; give uint8 with four axes.")
    if rows.shape != (len(pixels),) or (np.diff(rows, prepend=-1) <= 0).any():
        raise ValueError(
            f"binarized: rows has shape {rows.shape}; give {len(pixels)} rows, ascending and not negative."
        )
    values = pixels.flatten(1).numpy()
    binary = np.empty_like(values)
    words = -(-values.shape[1] // 2)
    stream = np.random.PCG64(np.random.SeedSequence([checked_seed(seed), _PURPOSE]))
    place = 0
    for out, value, row in zip(binary, values, rows.tolist(), strict=True):
        # Raw bits, because numpy promises these for all versions to come: two 32-bit draws a word, little end first.
        draws = stream.advance((row - place) * words).random_raw(words).astype("<u8").view("<u4")[: len(value)]
        place = row + 1
        # draw / 2^32 < value / 255, without rounding.
        out[:] = np.where(draws * np.uint64(255) < value.astype(np.uint64) << np.uint64(32), 255, 0)
    return torch.from_numpy(binary).view_as(pixels)
