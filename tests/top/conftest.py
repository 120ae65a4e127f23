import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ratereg import MLP, Data, Results, Study

CHECKERBOARD = Data("tetrominoes", split="checkerboard")
SUBSET = Data("tetrominoes", split="cv", share=0.1)


def make(
    distortion: Callable[..., float] = lambda **_: 80.0,
    *,
    rate: Callable[..., float] = lambda beta, **_: 20 - 5 * math.log(beta),
    data: tuple[Data, ...] = (CHECKERBOARD, SUBSET),
    layers: tuple[int, ...] = (1, 3),
    betas: tuple[float, ...] = (5, 1, 0.3, 0.1, 0.01, 0.001),
    seeds: int = 3,
    channels: int = 3,
) -> Results:
    """Results of no training: rate and distortion are functions of split, layers, beta, seed, partition and step."""
    network = tuple(MLP(layers=count) for count in layers)
    study = Study(data=data, network=network, betas=betas, seeds=seeds, steps=100)
    rows = []
    for index, member in enumerate(study.members):
        where = {"split": member.data.split, "layers": member.network.layers, "beta": member.beta, "seed": member.seed}
        n_train = 16_384 if member.data.split == "cv" else 81_920
        for step in (10, 100):
            for partition in ("train", "test"):
                at = where | {"partition": partition, "step": step}
                information = min(rate(**at), math.log(n_train))
                rows.append(
                    at
                    | {"member": index, "dataset": member.data.source, "share": member.data.share or math.nan}
                    | {"n_train": n_train, "n_test": 163_840 - n_train, "network": "mlp", "width": 512}
                    | {"latent_dim": 10, "prior": "gaussian", "likelihood": "bernoulli"}
                    | {"rate": rate(**at), "distortion": distortion(**at), "log_n": math.log(n_train)}
                    | {"mutual_information": information, "marginal_kl": rate(**at) - information}
                )
    generator = np.random.default_rng(0)
    arrays = {
        "test_originals": generator.integers(0, 256, (len(data), 4, channels, 8, 8), dtype=np.uint8),
        "test_reconstructions": generator.integers(0, 256, (len(study), 4, channels, 8, 8), dtype=np.uint8),
        "member_dataset": np.array([data.index(member.data) for member in study.members]),
    }
    return Results(study, pd.DataFrame(rows), arrays, {})


@pytest.fixture
def make_results() -> Callable[..., Results]:
    return make
