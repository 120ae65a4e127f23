"""A process of its own for each measurement: by how many bytes it grows while it trains and measures some members.

Usage: python peak_memory.py FOLDER NETWORK IMAGE_SHAPE MEMBERS IMAGES PRECISION
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch

from ratereg.models import MLP
from ratereg.models.networks import Convolutional, Network
from ratereg.studies import Data, Study
from ratereg.studies.shard import Shard, images_of, run_shard


def bytes_of(what: str) -> int:
    found = re.search(what + r":\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def run(folder: str, network: Network, image_shape: tuple[int, ...], members: int, images: int, precision: str) -> int:
    """Return the bytes by which the process's peak exceeds what it held before, images included."""
    channels, *sides = image_shape
    path = Path(folder, f"{images}.npy")
    np.save(path, np.random.default_rng(0).integers(0, 256, (images, *sides, channels), dtype=np.uint8))
    study = Study(Data(str(path)), network, range(1, members + 1), steps=4, records=2, precision=precision)
    held = images_of(study.axis_data[0]).pixels.nbytes
    before = bytes_of("VmRSS")
    run_shard(
        Shard(study, tuple(study.members)),
        torch.device("cpu"),
        checkpoint_seconds=0,
        report=lambda made: None,
        stop=lambda: False,
    )
    return bytes_of("VmHWM") - before + held


def main(folder: str, network: str, image_shape: str, members: str, images: str, precision: str) -> None:
    torch.set_num_threads(2)  # among which members are parted
    # The first run loads libraries and compiles kernels.
    run(folder, MLP(1, 16, 2), (1, 8, 8), 1, 64, precision)
    kinds = {"MLP": MLP, "Convolutional": Convolutional}
    print(run(folder, eval(network, kinds), eval(image_shape), int(members), int(images), precision))


if __name__ == "__main__":
    main(*sys.argv[1:])
