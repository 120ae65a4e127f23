"""Whether stated intervals hold what they promise."""

from collections.abc import Iterable

import torch
from torch import Tensor


def assert_covered(repeated: Iterable[tuple[Tensor, Tensor]], truth: Tensor | float) -> None:
    """Check that 95% intervals, of repeated values and errors, cover the truth in 90% to 99% of the repetitions."""
    values, errors = (torch.stack(each) for each in zip(*repeated, strict=True))
    covered = ((values - truth).abs() < 1.96 * errors).double().mean(0)
    assert ((covered >= 0.9) & (covered <= 0.99)).all(), covered
