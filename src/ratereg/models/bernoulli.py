"""The Bernoulli distortion and its gradient: one pass of a compiled kernel on the CPU, elsewhere a program in torch."""

import ctypes
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ratereg.native import load, on_threads

__all__ = ["bernoulli_distortion"]

_SOURCE = Path(__file__).with_name("bernoulli.c")

_SHARE = 2**15
"""Pixels that are worth a thread of their own."""


def bernoulli_distortion(
    logits: Float[Tensor, "*lead pixels"], x: Float[Tensor, "*#lead pixels"]
) -> Float[Tensor, "*lead"]:
    """Return softplus(l) - x l, summed over pixels, in nats: float64 for such logits, else float32.

    On the CPU a kernel compiled at its first use runs, unless the logits are float64. A row's bits depend neither on
    its place nor on the number of threads. The gradient is by the logits alone, in their type.
    """
    here = logits.device.type == "cpu" and logits.dtype in (torch.bfloat16, torch.float32)
    library = load(_SOURCE, _declare) if here else None
    program, more = (_InTorch, ()) if library is None else (_InKernel, (library,))
    distortion: Tensor = program.apply(logits, x, *more)  # type: ignore[no-untyped-call]
    return distortion


class _InTorch(torch.autograd.Function):
    """The gradient sigmoid(l) - x is written out.

    Autograd's own gradient of the same expression makes four more passes over the pixels, which for shallow networks
    cost as much as the matrix products.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        logits32 = logits if logits.dtype == torch.float64 else logits.float()
        ctx.save_for_backward(logits32, x)
        ctx.dtype = logits.dtype
        return F.softplus(logits32).sub_(x * logits32).sum(-1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        grad = torch.sigmoid(logits).sub_(x).mul_(grad_outputs[0].unsqueeze(-1))
        return grad.to(ctx.dtype), None


class _InKernel(torch.autograd.Function):
    """The gradient is made in the same pass and kept in the logits' type; the way back only scales its rows.

    In bfloat16 it is thus rounded twice, by at most 2^-8 of itself each time; but once where the scale is a power of
    two, as for a mean over 128 images. The scale itself is not rounded: that would weight the distortion anew against
    the rate, by up to 4e-3, where rounding the slopes twice does so by less than 3e-4.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor, library: ctypes.CDLL) -> Tensor:
        *lead, pixels = logits.shape
        logits, x = _rows(logits), _rows(x.float()).expand(logits.shape)
        distortion = torch.empty(lead)
        slopes = torch.empty_like(logits, memory_format=torch.contiguous_format) if ctx.needs_input_grad[0] else None
        sizes, logit_strides, x_strides = (
            (ctypes.c_int64 * len(lead))(*numbers[:-1]) for numbers in (logits.shape, logits.stride(), x.stride())
        )
        taken = ctypes.c_int64(0)

        def work() -> None:
            library.bernoulli_distortion(
                logits.data_ptr(),
                logits.dtype == torch.bfloat16,
                x.data_ptr(),
                len(lead),
                sizes,
                logit_strides,
                x_strides,
                distortion.numel(),
                pixels,
                distortion.data_ptr(),
                None if slopes is None else slopes.data_ptr(),
                taken,
            )

        on_threads(work, 1 + logits.numel() // _SHARE)
        ctx.kernel = library
        ctx.save_for_backward(slopes)
        return distortion

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        scale, out, taken = grad_outputs[0].contiguous(), torch.empty_like(slopes), ctypes.c_int64(0)

        def work() -> None:
            ctx.kernel.bernoulli_scale(
                slopes.data_ptr(),
                slopes.dtype == torch.bfloat16,
                scale.data_ptr(),
                scale.numel(),
                slopes.shape[-1],
                out.data_ptr(),
                taken,
            )

        on_threads(work, 1 + slopes.numel() // _SHARE)
        return out, None, None


def _rows(values: Tensor) -> Tensor:
    """Return the same values with the pixels of a row side by side; the rows may lie anywhere, or be one."""
    return values if values.stride(-1) == 1 else values.contiguous()


def _declare(library: ctypes.CDLL) -> None:
    pointer, count, counts = ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)
    library.bernoulli_distortion.argtypes = [
        *(pointer, ctypes.c_int, pointer),
        *(count, counts, counts, counts),
        *(count, count, pointer, pointer, counts),
    ]
    library.bernoulli_scale.argtypes = [pointer, ctypes.c_int, pointer, count, count, pointer, counts]
    library.bernoulli_distortion.restype = library.bernoulli_scale.restype = None
