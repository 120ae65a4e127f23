"""Types that the matrix products of training can run in."""

from typing import Literal, get_args

import torch

__all__ = ["PRECISIONS", "Precision", "best_precision"]

Precision = Literal["float32", "bfloat16"]

PRECISIONS: tuple[str, ...] = get_args(Precision)


def best_precision(device: torch.device) -> Precision:
    """Return "bfloat16" where the processor multiplies bfloat16 matrices natively, else "float32".

    Without native support bfloat16 products are emulated, and slower than float32.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        native = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    else:
        native = False
    return "bfloat16" if native else "float32"
