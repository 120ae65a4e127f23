"""The posteriors of some training and test images."""

from dataclasses import dataclass
from typing import ClassVar

from ratereg.data import ImageSet
from ratereg.evaluation import encode
from ratereg.measurements.measured import Measured, Measurement, at_least, partitions, pixels_of
from ratereg.measurements.pictures import shown_images
from ratereg.models import LatentVariableModel

__all__ = ["Latents"]


@dataclass(frozen=True)
class Latents(Measurement):
    """Mean and log-variance of q(z|x) for random images of each partition.

    The arrays are `train_mean`, `train_log_var`, `test_mean` and `test_log_var`, (member, image, latent).

    Arguments:
        count: images of each partition.
    """

    count: int = 64

    arrays: ClassVar = ("train_mean", "train_log_var", "test_mean", "test_log_var")
    partitions: ClassVar = ()

    def __post_init__(self) -> None:
        at_least(self, 1, "count")

    def __call__(self, model: LatentVariableModel, images: ImageSet) -> Measured:
        """Encode random training and test images by every member."""
        arrays = {}
        for partition, _ in partitions(images):
            rows = shown_images(images)[partition][: self.count].to(model.device)
            encodings = encode(model, pixels_of(images, model.device), rows)
            arrays[f"{partition}_mean"] = encodings.mean.float().cpu().numpy()
            arrays[f"{partition}_log_var"] = encodings.log_var.float().cpu().numpy()
        return Measured(arrays=arrays)
