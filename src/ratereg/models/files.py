"""Models in files: a VAE's weights with the settings that rebuild it, in one safetensors file."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ratereg.models.settings import from_settings, to_settings
from ratereg.models.vae import VAE
from ratereg.storage import StorageError, writing

__all__ = ["load_model", "save_model"]

_KEY = "ratereg.VAE"


def save_model(vae: VAE, path: Path) -> None:
    """Write weights and settings to `path`; see `VAE.save`."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in vae.state_dict().items()}
    settings = {
        "network": to_settings(vae.network),
        "likelihood": to_settings(vae.likelihood),
        "prior": to_settings(vae.prior),
        "image_shape": list(vae.image_shape),
        "members": vae.members,
    }
    text = json.dumps(settings)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            whole = Path(folder, path.name)
            save_file(weights, whole, metadata={_KEY: text, "digest": _digest(text, weights)})
            os.replace(whole, path)


def load_model(path: str | Path) -> VAE:
    """Return the VAE that `VAE.save` wrote to `path`, on the CPU.

    Only settings and numbers are read. The class of a network, likelihood or prior of one's own is imported.

    Raises:
        StorageError: the file is missing, damaged, or not a saved VAE.
        ValueError: it needs a class that can't be imported.
    """
    if not Path(path).is_file():
        raise StorageError(f"{path} is not a file; give the path of a model that VAE.save wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise StorageError(f"{path} is damaged, or not a safetensors file: {error}.") from error
    if _KEY not in metadata:
        raise StorageError(f"{path} holds tensors, but not a model that VAE.save wrote.")
    if metadata.get("digest") != _digest(metadata[_KEY], weights):
        raise StorageError(f"{path} is damaged: settings and weights are not those that were saved. Use a copy.")
    settings = json.loads(metadata[_KEY])
    network, likelihood, prior = (from_settings(settings[name]) for name in ("network", "likelihood", "prior"))
    vae = VAE(network, tuple(settings["image_shape"]), [0] * settings["members"], likelihood, prior)
    try:
        vae.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    except RuntimeError as error:
        raise StorageError(f"{path} does not fit {network} with the prior {prior.label!r}: {error}") from error
    return vae


def _digest(text: str, weights: Mapping[str, Tensor]) -> str:
    """Return a digest of the settings, and of the tensors' names, types, shapes and values."""
    digest = hashlib.sha256(text.encode())
    for name, weight in sorted(weights.items()):
        digest.update(json.dumps([name, str(weight.dtype), *weight.shape]).encode())
        digest.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
