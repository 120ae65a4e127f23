"""Models in files: a VAE's weights with the settings that rebuild it, in one safetensors file."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ratereg.models.settings import from_settings, to_settings
from ratereg.models.vae import VAE
from ratereg.storage import StorageError, tensors_digest, written_file

__all__ = ["load_model", "save_model"]

_KEY = "ratereg.VAE"


def save_model(vae: VAE, path: Path) -> None:
    """Write weights and settings to `path`; see `VAE.save`."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in vae.state_dict().items()}
    parts = {name: to_settings(getattr(vae, name)) for name in ("network", "likelihood", "prior")}
    for name, settings in parts.items():
        if isinstance(settings, dict) and settings["type"].startswith("__main__:"):
            raise ValueError(
                f"save: {name} has the class {settings['type']}, which other programs cannot import; define it in a "
                "module."
            )
    text = json.dumps(parts | {"image_shape": list(vae.image_shape), "members": vae.members})
    with written_file(path) as new:
        save_file(weights, new, metadata={_KEY: text, "digest": tensors_digest(weights, text)})


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
    if metadata.get("digest") != tensors_digest(weights, metadata[_KEY]):
        raise StorageError(f"{path} is damaged: settings and weights are not those that were saved. Use a copy.")
    settings = json.loads(metadata[_KEY])
    network, likelihood, prior = (from_settings(settings[name]) for name in ("network", "likelihood", "prior"))
    vae = VAE(network, tuple(settings["image_shape"]), [0] * settings["members"], likelihood, prior)
    try:
        vae.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    except RuntimeError as error:
        raise StorageError(f"{path} does not fit {network} with the prior {prior.label!r}: {error}") from error
    return vae
