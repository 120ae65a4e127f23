"""The published studies, defined once, each at the scales "full" (a GPU) and "cpu" (hours on two cores).

The protocol is this project's own, guided by the paper's figure: its latent dimension, steps and schedule are unknown.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ratereg.models import MLP
from ratereg.studies.results import find_published
from ratereg.studies.study import Data, Study

__all__ = ["CATALOG", "SCALES", "identify", "published"]

SCALES = ("full", "cpu")
"""From the largest to the smallest."""

_CAPACITY = Study(
    # The paper's figure does not say which split or how many training images it used, so there are two of each.
    data=(Data("tetrominoes", split="checkerboard"), Data("tetrominoes", split="cv", share=0.1)),
    network=(MLP(layers=1), MLP(layers=3)),
    betas=(5, 1, 0.3, 0.1, 0.01, 0.001),
    steps=10_000,
)

_PLANE = Study(
    data=Data("tetrominoes", n_train=4096, n_test=4096),
    network=MLP(layers=2, width=256, latent_dim=2),
    betas=(5, 1, 0.3, 0.1, 0.01, 0.001),
    steps=5_000,
    latents=4096,
)

CATALOG: Mapping[str, Mapping[str, Study]] = MappingProxyType(
    {
        "capacity": {
            "full": _CAPACITY.replace(
                betas=(5, 3, 2, 1, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01, 0.005, 0.001), seeds=5, steps=100_000, records=9
            ),
            "cpu": _CAPACITY.replace(seeds=3),
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
