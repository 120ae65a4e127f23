"""What can be asked of a trained ensemble, one measurement a file: a frozen value, called with a model and images.

A measurement knows no study and trains nothing. Called with any `LatentVariableModel` and an `ImageSet` it returns a
`Measured`: tidy rows, one for each member and partition, and arrays. Everything is in nats.

Example:
    >>> images = ratereg.Data("tetrominoes", n_train=256, n_test=256).load()
    >>> vae = ratereg.VAE(ratereg.MLP(width=16), images.image_shape, seeds=[0, 1])
    >>> measured = RateDistortion()(vae, images)
    >>> [(row["member"], row["partition"], row["images"]) for row in measured.rows]
    [(0, 'train', 256), (0, 'test', 256), (1, 'train', 256), (1, 'test', 256)]
"""

from ratereg.measurements.annealed import Annealed
from ratereg.measurements.by_distance import ByDistance
from ratereg.measurements.fresh_information import FreshInformation
from ratereg.measurements.importance_weighted import ImportanceWeighted
from ratereg.measurements.information import Information
from ratereg.measurements.latents import Latents
from ratereg.measurements.measured import Measured, Measurement
from ratereg.measurements.pictures import Pictures
from ratereg.measurements.rate_distortion import RateDistortion

__all__ = [
    "KINDS",
    "Annealed",
    "ByDistance",
    "FreshInformation",
    "ImportanceWeighted",
    "Information",
    "Latents",
    "Measured",
    "Measurement",
    "Pictures",
    "RateDistortion",
]

KINDS: dict[str, type[Measurement]] = {
    kind.__name__: kind
    for kind in (
        RateDistortion,
        Information,
        ImportanceWeighted,
        Annealed,
        FreshInformation,
        ByDistance,
        Pictures,
        Latents,
    )
}
"""The measurements of this package by name, in the order in which their columns stand in tables."""
