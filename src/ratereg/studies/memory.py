"""Number of members that fit into a device's memory."""

import math
import os
from pathlib import Path

import torch

from ratereg.models import VAE
from ratereg.training.key import Training

__all__ = ["members_that_fit"]

_USABLE = 0.7
"""Share of the memory that is planned with."""


def members_that_fit(training: Training, image_shape: tuple[int, int, int], images: int, device: torch.device) -> int:
    """Return how many members like a training fit, from an estimate of weights, gradients, moments and activations.

    Arguments:
        training: a member.
        image_shape: of its images.
        images: how many there are; they lie on the device, a byte a pixel.
        device: to train on.

    Raises:
        MemoryError: not even one member fits.
    """
    pixels = math.prod(image_shape)
    single = VAE(training.network, image_shape, [0], training.likelihood, training.prior)
    weights = sum(parameter.numel() for parameter in single.parameters())
    # float32 weights, gradients and two moments; a copy in bfloat16 and its gradients beside them.
    of_weights = weights * (16 if training.precision == "float32" else 18)
    # Inputs, logits and their gradients in float32, and the layers in between, some times over.
    of_activations = training.batch_size * 4 * (6 * pixels + 4 * _units(single))
    free = _USABLE * _memory(device) - images * pixels
    fit = int(free // (of_weights + of_activations))
    if fit < 1:
        raise MemoryError(
            f"not even one member of {training.network.label} with a batch_size of {training.batch_size} fits into the "
            f"memory of {device}; give a smaller network, fewer images a step, or another device."
        )
    return fit


def _units(vae: VAE) -> int:
    """Return how many numbers the layers give for one image."""
    sizes: list[int] = []
    layers = [module for module in vae.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(lambda _layer, _x, out: sizes.append(out.numel())) for layer in layers]
    with torch.no_grad():
        vae.decode(vae.encode(torch.zeros(1, 1, math.prod(vae.image_shape)))[0])
    for hook in hooks:
        hook.remove()
    return sum(sizes)


def _memory(device: torch.device) -> int:
    """Return all of a device's memory, not what is free now: a run that is resumed has to cut its shards alike."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return total
