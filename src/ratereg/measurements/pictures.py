"""Test images and their reconstructions, to look at."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from ratereg.data import ImageSet
from ratereg.evaluation import encode
from ratereg.measurements.measured import Measured, Measurement, at_least, pixels_of, stream
from ratereg.models import LatentVariableModel

__all__ = ["Pictures", "shown_images"]


@dataclass(frozen=True)
class Pictures(Measurement):
    """Random test images, and the mean images that the posterior means decode to.

    The arrays are `test_originals` (1, image, channel, height, width) and `test_reconstructions` (member, image,
    channel, height, width), uint8.

    Arguments:
        count: how many images.
    """

    count: int = 8

    arrays: ClassVar = ("test_originals", "test_reconstructions")
    partitions: ClassVar = ()

    def __post_init__(self) -> None:
        at_least(self, 1, "count")

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Reconstruct test images by every member."""
        shown = shown_images(images)["pictures"][: self.count]
        mean = encode(model, pixels_of(images, model.device), shown.to(model.device)).mean
        pixels = model.likelihood.mean(model.decode(mean).float()).nan_to_num(0).clamp(0, 1).mul(255).round().byte()
        return Measured(
            arrays={
                "test_originals": images.pixels[shown].unsqueeze(0).numpy(),
                "test_reconstructions": pixels.unflatten(2, images.image_shape).cpu().numpy(),
            }
        )


def shown_images(images: ImageSet) -> dict[str, Int64[Tensor, " row"]]:
    """Return the rows of random orders: of test images as "pictures", and of "train" and "test" images as latents.

    The first images of a data set may be alike.
    """
    generator = stream("keepsakes")
    parts = {"pictures": images.test, "train": images.train, "test": images.test}
    return {name: rows[torch.randperm(len(rows), generator=generator)] for name, rows in parts.items()}
