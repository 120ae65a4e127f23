"""Ways to apply each member's convolutions: milliseconds a model-step, forward and backward, and the share of the peak.

The network and all else are the package's own; only what its two convolutional layers do is replaced.
A model-step is one step of one model on a batch of 128, without Adam. All take turns in rounds, and the fastest counts.
The peak is a large matrix product's, on as many threads. With one thread the processor's own time is taken, which other
programs disturb less than time on the clock.

Usage: python benchmarks/convolution.py [threads, 2 if not given; the number of rounds, 8 if not given]
"""

import math
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ratereg.models import VAE, Convolutional
from ratereg.models.convolution import EnsembleConv2d, EnsembleConvTranspose2d
from ratereg.training.graph import replayed

THREADS, ROUNDS = (int(given or default) for given, default in zip((sys.argv[1:] + [""] * 2)[:2], (2, 8), strict=True))
BATCH, MEMBERS = 128, (1, 6, 12)
SHAPES = ((1, 28, 28), (3, 32, 32))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NETWORK = Convolutional()

Function = Callable[[Tensor, Tensor, Tensor], Tensor]
GEOMETRY = {"stride": 2, "padding": 1}


def first_channels(function: Callable[..., Tensor]) -> Function:
    """Return the members one after another, with the channels first."""

    def apply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        images = x.movedim(4, 2).contiguous()
        return torch.stack([function(*one, **GEOMETRY) for one in zip(images, weight, bias, strict=True)]).movedim(2, 4)

    return apply


def grouped(function: Callable[..., Tensor]) -> Function:
    """Return the members as groups of channels of one convolution."""

    def apply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        images = x.permute(1, 0, 4, 2, 3).flatten(1, 2)
        outputs = function(images, weight.flatten(0, 1), bias.flatten(), groups=len(weight), **GEOMETRY)
        return outputs.unflatten(1, (len(weight), -1)).permute(1, 0, 3, 4, 2)

    return apply


def mapped(function: Callable[..., Tensor]) -> Function:
    over_members = torch.func.vmap(partial(function, **GEOMETRY))
    return lambda x, weight, bias: over_members(x.movedim(4, 2), weight, bias).movedim(2, 4)


def unfolded(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with torch's own im2col, whose patches stand side by side, and a batched product."""
    members, batch, height, width, _ = x.shape
    patches = F.unfold(x.movedim(4, 2).flatten(0, 1), 4, **GEOMETRY).unflatten(0, (members, batch))
    products = weight.flatten(2).unsqueeze(1) @ patches + bias[:, None, :, None]
    return products.unflatten(3, (height // 2, width // 2)).movedim(2, 4)


def folded(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    members, batch, height, width, _ = x.shape
    patches = weight.flatten(2).mT.unsqueeze(1) @ x.movedim(4, 2).flatten(3)
    images = F.fold(patches.flatten(0, 1), (2 * height, 2 * width), 4, **GEOMETRY).unflatten(0, (members, batch))
    return images.movedim(2, 4) + bias[:, None, None, None]


def forward_by(function: Function) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda layer, x: function(x, layer.weight, layer.bias)


def instead(convolve: Function, convolve_transposed: Function) -> Callable[[], ExitStack]:
    def patched() -> ExitStack:
        stack = ExitStack()
        for layer, function in ((EnsembleConv2d, convolve), (EnsembleConvTranspose2d, convolve_transposed)):
            stack.enter_context(mock.patch.object(layer, "forward", forward_by(function)))
        return stack

    return patched


CANDIDATES = {
    "the package's choice": ExitStack,
    "one by one, channels first": instead(first_channels(F.conv2d), first_channels(F.conv_transpose2d)),
    "groups": instead(grouped(F.conv2d), grouped(F.conv_transpose2d)),
    "vmap": instead(mapped(F.conv2d), mapped(F.conv_transpose2d)),
    "torch's unfold, products, fold": instead(unfolded, folded),
}


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.process_time() if THREADS == 1 and DEVICE.type == "cpu" else time.perf_counter()


def seconds(work: Callable[[], object]) -> float:
    start = now()
    work()
    return now() - start


def step(vae: VAE, x: Tensor, noise: Tensor) -> Callable[[], None]:
    """Return forward and backward of an ensemble; on a GPU, replayed as a captured graph."""

    def run() -> None:
        vae.zero_grad()
        distortion, rate = vae(x, noise)
        (distortion + rate).sum().backward()

    return replayed(run, DEVICE)


def counted(shape: tuple[int, int, int]) -> int:
    """Return the multiply-adds of a model-step."""
    vae = VAE(NETWORK, shape, [0])
    with FlopCounterMode(display=False) as counter:
        distortion, rate = vae(torch.rand(1, BATCH, math.prod(shape)), torch.randn(1, BATCH, NETWORK.latent_dim))
        (distortion + rate).sum().backward()
    return counter.get_total_flops() // 2


def peak(dtype: torch.dtype) -> float:
    """Return multiply-adds a second of a large matrix product."""
    size = 8192 if DEVICE.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
    return size**3 / min(seconds(lambda: left @ right) for _ in range(6))


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    print(f"{DEVICE}, {THREADS} threads, torch {torch.__version__}, batches of {BATCH}, {ROUNDS} rounds, {NETWORK}")
    for shape in SHAPES:
        for precision in ("float32", "bfloat16"):
            dtype = getattr(torch, precision)
            fastest_product = peak(dtype)
            multiply_adds = counted(shape)
            print(f"{shape}, {precision}: {multiply_adds / 1e9:.2f} 10^9 multiply-adds a model-step;", end=" ")
            print(f"the peak is {fastest_product / 1e9:.0f} 10^9 a second")
            best = {name: dict.fromkeys(MEMBERS, math.inf) for name in CANDIDATES}
            for members in MEMBERS:
                vae = VAE(NETWORK, shape, [0] * members).to(DEVICE, dtype)
                x = torch.rand(members, BATCH, math.prod(shape), device=DEVICE)
                noise = torch.randn(members, BATCH, NETWORK.latent_dim, device=DEVICE)
                steps = {name: step(vae, x, noise) for name in CANDIDATES}
                # The first five calls warm up and, on a GPU, capture.
                for number in range(5 + ROUNDS if DEVICE.type == "cuda" else 1 + ROUNDS):
                    for name, candidate in CANDIDATES.items():
                        with candidate():
                            taken = seconds(steps[name]) / members
                        if number > 0:
                            best[name][members] = min(best[name][members], taken)
            heads = "".join(f"{f'{members} members':>12}" for members in MEMBERS)
            print(f"{'ms a model-step':<32}{heads}{'share of the peak':>20}")
            for name, times in best.items():
                share = multiply_adds / min(times.values()) / fastest_product
                print(
                    f"{name:<32}{''.join(f'{1e3 * taken:>12.2f}' for taken in times.values())}{share:>20.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
