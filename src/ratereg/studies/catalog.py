"""The published studies, defined once, each at the scales "full" (a GPU) and "cpu" (hours on two cores).

The protocol is this project's own, guided by the paper's figure: its latent dimension, steps and schedule are unknown.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ratereg.data import Data
from ratereg.measurements import (
    Annealed,
    ByDistance,
    FreshInformation,
    ImportanceWeighted,
    Information,
    Latents,
)
from ratereg.models import MLP, Convolutional
from ratereg.studies.results import find_published
from ratereg.studies.study import Study

__all__ = ["CATALOG", "SCALES", "identify", "published"]

SCALES = ("full", "cpu")
"""From the largest to the smallest."""

_BETAS = (5, 3, 2, 1, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01, 0.005, 0.001)
"""Those of the paper's figure."""

_FEWER_BETAS = (5, 1, 0.3, 0.1, 0.01, 0.001)

_SHALLOW_AND_DEEP = (MLP(layers=1), MLP(layers=3))


def _cpu(study: Study, **settings: Any) -> Study:
    """Return a study as small as two cores need: few members, 5,000 steps, and estimates of fewer images."""
    small = study.measuring(Information(queries=4096), ImportanceWeighted(images=128), Annealed(images=32))
    if fresh := study.measurement(FreshInformation):
        small = small.measuring(replace(fresh, queries=4096))
    return small.replace(**{"seeds": 3, "steps": 5_000} | settings)


def _full(study: Study, **settings: Any) -> Study:
    large = study.measuring(ImportanceWeighted(images=512), Annealed(images=64))
    return large.replace(**{"seeds": 5, "steps": 50_000} | settings)


def _tetrominoes(**settings: Any) -> Data:
    return Data("tetrominoes", n_test=_TEST_IMAGES, **settings)


_TEST_IMAGES = 16_384
"""Enough for errors of 0.1 nats, and a fraction of the time that all would take."""

# The paper's figure does not say which split or how many training images it used.
_CHECKERBOARD, _TENTH = Data("tetrominoes", split="checkerboard"), Data("tetrominoes", split="cv", share=0.1)

_CAPACITY = Study(data=(_CHECKERBOARD, _TENTH), network=_SHALLOW_AND_DEEP, betas=_FEWER_BETAS, steps=10_000)

_CAPACITY_LONG = _CAPACITY.replace(data=_TENTH, steps=50_000).measuring(Annealed(images=256))

_DIFFICULTY = Study(
    # Images scattered over the whole volume, a test image being far from all of them; and close together in a part.
    data=(_tetrominoes(split="cv", share=0.01), Data("tetrominoes", split="cd", share=0.1)),
    network=_SHALLOW_AND_DEEP,
    betas=(1, 0.1),
).measuring(ByDistance(classes=8))

_IMAGES = Study(
    data=(
        Data("fashion-mnist", n_train=1_000),
        Data("fashion-mnist"),
        # Binary images have a true log-likelihood. These are the digits that can be had without a download of MNIST.
        Data("mnist-10k", binarize="static"),
    ),
    network=(MLP(layers=1), Convolutional(width=16)),
    betas=(1, 0.1, 0.01),
)

_SATURATION = Study(
    data=(_tetrominoes(n_train=256), _tetrominoes()),
    network=MLP(layers=1, width=256),
    betas=(5, 1, 0.1, 0.01),
).measuring(FreshInformation(images=163_840))

_WIDTH = _DIFFICULTY.replace(
    data=_tetrominoes(split="cv", share=0.01),
    network=tuple(MLP(layers=layers, width=width) for layers in (1, 3) for width in (64, 512)),
)

_DYNAMICS = _DIFFICULTY.replace(data=_tetrominoes(split="cv", share=0.01))

_SEARCH = Study(
    data=_tetrominoes(split="cv", share=0.1),
    network=tuple(MLP(layers=1, latent_dim=latents) for latents in (5, 10, 20)),
    betas=(1, 0.1),
)

_PLANE = Study(
    data=Data("tetrominoes", n_train=4096, n_test=4096),
    network=MLP(layers=2, width=256, latent_dim=2),
    betas=_FEWER_BETAS,
    steps=5_000,
).measuring(Latents(count=4096))

CATALOG: Mapping[str, Mapping[str, Study]] = MappingProxyType(
    {
        "capacity": {
            "full": _full(
                _CAPACITY,
                data=(Data("tetrominoes"), _CHECKERBOARD, _TENTH),
                network=(MLP(layers=1), MLP(layers=2), MLP(layers=3)),
                betas=_BETAS,
            ),
            "cpu": _CAPACITY.replace(seeds=3),
        },
        "capacity-long": {
            "full": _full(_CAPACITY_LONG, data=(_CHECKERBOARD, _TENTH)),
            "cpu": _CAPACITY_LONG.replace(seeds=1),
        },
        "difficulty": {
            "full": _full(
                _DIFFICULTY,
                data=(
                    *(_tetrominoes(split="cv", share=share) for share in (0.01, 0.03, 0.1, 0.3, 0.9)),
                    *(Data("tetrominoes", split="cd", share=share) for share in (0.1, 0.2, 0.5)),
                    # All of the volume.
                    _tetrominoes(),
                ),
                betas=_FEWER_BETAS,
            ).measuring(ByDistance(classes=16)),
            "cpu": _cpu(_DIFFICULTY),
        },
        "images": {
            "full": _full(
                _IMAGES,
                data=tuple(
                    Data(source, n_train=n_train, binarize=binarize)
                    for source in ("fashion-mnist", "mnist")
                    for n_train in (1_000, 6_000, None)
                    for binarize in (None, "static")
                ),
                network=(MLP(layers=1), MLP(layers=3), Convolutional()),
                betas=_FEWER_BETAS,
            ),
            "cpu": _cpu(_IMAGES),
        },
        "saturation": {
            "full": _full(
                _SATURATION,
                data=tuple(_tetrominoes(n_train=n_train) for n_train in (256, 1024, 4096, 16_384, None)),
                network=_SHALLOW_AND_DEEP,
                betas=(10, 5, 3, 2, 1, 0.5, 0.3, 0.1, 0.01, 0.001),
            ),
            "cpu": _cpu(_SATURATION),
        },
        "width": {
            "full": _full(
                _WIDTH,
                data=(_CHECKERBOARD, _tetrominoes(split="cv", share=0.01)),
                network=tuple(
                    MLP(layers=layers, width=width) for layers in (1, 3) for width in (64, 128, 256, 512, 1024)
                ),
                betas=(1, 0.1, 0.01),
            ),
            "cpu": _cpu(_WIDTH),
        },
        "dynamics": {
            "full": _full(
                _DYNAMICS,
                data=(_CHECKERBOARD, _tetrominoes(split="cv", share=0.01)),
                betas=_FEWER_BETAS,
            ),
            "cpu": _cpu(_DYNAMICS),
        },
        "search": {
            "full": _full(_SEARCH, data=(_CHECKERBOARD, _TENTH), betas=_FEWER_BETAS, seeds=3),
            "cpu": _cpu(_SEARCH, seeds=1),
        },
        "search-cosine": {
            "full": _full(_SEARCH, data=(_CHECKERBOARD, _TENTH), betas=_FEWER_BETAS, seeds=3, schedule="cosine"),
            "cpu": _cpu(_SEARCH, seeds=1, schedule="cosine"),
        },
        "plane": {"full": _PLANE.replace(seeds=5, steps=50_000), "cpu": _PLANE.replace(seeds=3)},
    }
)
"""The studies by name and scale, in the order of importance."""


def published(name: str, scale: str | None = None) -> Study:
    """Return a published study, by default at the largest scale that has a committed result.

    Raises:
        ValueError: there is no study of that name, or no such scale.
    """
    if name not in CATALOG:
        raise ValueError(f"published: name is {name!r}; give one of {', '.join(map(repr, CATALOG))}.")
    scales = CATALOG[name]
    if scale is None:
        with_result = [one for one in SCALES if one in scales and find_published(scales[one].digest)]
        return scales[with_result[0] if with_result else SCALES[-1]]
    if scale not in scales:
        raise ValueError(f"published: scale is {scale!r}; {name!r} has the scales {', '.join(map(repr, scales))}.")
    return scales[scale]


def identify(study: Study) -> tuple[str, str] | None:
    """Return the name and the scale under which a study is published, or None."""
    for name, scales in CATALOG.items():
        for scale, one in scales.items():
            if one == study:
                return name, scale
    return None
