"""A look at the images themselves, before anything is learned from them."""

import hashlib

from ratereg.data import ImageSet

__all__ = ["notes_on"]


def notes_on(images: ImageSet) -> dict[str, str]:
    """Return facts about images that bear on what a report says, by name."""
    flat = images.pixels.flatten(1).numpy()
    between = float(((flat > 0) & (flat < 255)).mean())
    kind = f"{between:.0%} of the values lie between black and white" if between else "black and white alone"
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in flat]
    train = {digests[row] for row in images.train.tolist()}
    twins = sum(digests[row] in train for row in images.test.tolist())
    copies = f"{twins:,} of {len(images.test):,} test images are copies of training images, and easier than new ones"
    return {
        "Pixels": f"{kind}; their mean is {flat.mean() / 255:.2f} of white",
        "Copies": copies if twins else "no test image is a copy of a training image",
    }
