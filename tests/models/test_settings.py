"""Networks, likelihoods and priors as JSON, and models in files."""

import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ratereg.models import (
    MLP,
    VAE,
    Bernoulli,
    Convolutional,
    DiagonalGaussian,
    Gaussian,
    MixtureOfGaussians,
    StandardGaussian,
    load_model,
)
from ratereg.models.networks import Network
from ratereg.models.settings import from_settings, to_settings
from ratereg.storage import StorageError


@dataclass(frozen=True)
class Wide:
    """A network of a user's own, made of the package's."""

    factor: int = 2
    latent_dim: int = 3
    name = "wide"
    layers = 1
    label = "wide"

    @property
    def width(self) -> int:
        return 8 * self.factor

    def build_encoder(self, *arguments: Any) -> torch.nn.Module:
        return MLP(1, self.width, self.latent_dim).build_encoder(*arguments)

    def build_decoder(self, *arguments: Any) -> torch.nn.Module:
        return MLP(1, self.width, self.latent_dim).build_decoder(*arguments)


class Forgetful(StandardGaussian):
    """A prior that does not keep its argument."""

    def __init__(self, components: int = 3) -> None:
        super().__init__()


VALUES = [
    (MLP(), {"type": "MLP"}),
    (MLP(hidden=(512,)), {"type": "MLP"}),
    (MLP(2, latent_dim=3), {"type": "MLP", "layers": 2, "latent_dim": 3}),
    (MLP(hidden=(40, 20)), {"type": "MLP", "layers": 2, "width": 40, "hidden": [40, 20]}),
    (MLP(encoder=(512,), decoder=(8, 9)), {"type": "MLP", "encoder": [512], "decoder": [8, 9]}),
    (Convolutional(), {"type": "Convolutional"}),
    (Bernoulli(), {"type": "Bernoulli"}),
    (Gaussian(1), {"type": "Gaussian", "scale": 1.0}),
    (StandardGaussian(), {"type": "StandardGaussian"}),
    (DiagonalGaussian(), {"type": "DiagonalGaussian"}),
    (MixtureOfGaussians(), {"type": "MixtureOfGaussians"}),
    (MixtureOfGaussians(7), {"type": "MixtureOfGaussians", "components": 7}),
    (MixtureOfGaussians(7).build(2, [torch.Generator()]), {"type": "MixtureOfGaussians", "components": 7}),
    (Wide(3), {"type": f"{__name__}:Wide", "code": to_settings(Wide())["code"], "factor": 3}),
]


@pytest.mark.parametrize(("value", "settings"), VALUES, ids=lambda value: str(value)[:30])
def test_settings_are_what_differs_from_the_defaults_and_lead_back(value: Any, settings: dict[str, Any]) -> None:
    assert to_settings(value) == settings
    again = from_settings(json.loads(json.dumps(settings)))
    assert type(again) is type(value)
    assert to_settings(again) == settings


def test_numbers_texts_and_lists_are_settings_as_they_are() -> None:
    for value in (None, True, 3, 0.5, "cosine", [1, [2.0, "a"]]):
        assert to_settings(value) == value
        assert from_settings(to_settings(value)) == value


def test_objects_that_no_settings_lead_back_to_are_refused() -> None:
    class Local(StandardGaussian):
        pass

    with pytest.raises(ValueError, match=r"Local is defined inside of a function; define it at the top"):
        to_settings(Local())
    with pytest.raises(ValueError, match="Forgetful does not keep its argument 'components'; keep it as an attribute"):
        to_settings(Forgetful())
    for value in (object, torch.int64, torch.ones(2), {"a"}):
        with pytest.raises(ValueError, match="is no setting; give numbers, texts, a network, a likelihood or a prior"):
            to_settings(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "Transformer"}, "type is 'Transformer'; give one of MLP, "),
        ({"type": "nowhere:Net"}, "type is 'nowhere:Net'"),
        ({"type": "json:Net"}, "type is 'json:Net'"),
        ({"width": 3}, "type is None"),
        ({"type": "os:system", "command": "true"}, "neither a network, nor a likelihood, nor a prior"),
        ({"type": "subprocess:Popen", "args": "true"}, "neither a network, nor a likelihood, nor a prior"),
        ({"type": "MLP", "depth": 3}, "MLP does not take the settings"),
        ({"type": "MLP", "width": -3}, "MLP: width is -3"),
    ],
    ids=str,
)
def test_settings_of_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_settings(settings)


MODELS = {
    "mlp": VAE(MLP(hidden=(12, 7), latent_dim=3), (3, 4, 4), [0, 1], Gaussian(0.3), MixtureOfGaussians(4)),
    "convolutional": VAE(Convolutional(4, 3), (1, 8, 12), [5]),
    "own": VAE(Wide(3), (1, 4, 4), [0, 1, 2], prior=DiagonalGaussian()).double(),
}


@pytest.mark.parametrize("vae", MODELS.values(), ids=MODELS.keys())
def test_a_saved_model_is_loaded_to_the_bit(vae: VAE, tmp_path: Path) -> None:
    vae.save(tmp_path / "new" / "vae.safetensors")
    torch.manual_seed(0)
    again = load_model(str(tmp_path / "new" / "vae.safetensors"))
    assert os.listdir(tmp_path / "new") == ["vae.safetensors"]
    assert isinstance(again.network, Network)
    assert to_settings([again.network, again.likelihood, again.prior]) == to_settings(
        [vae.network, vae.likelihood, vae.prior]
    )
    assert (again.image_shape, again.members, again.dtype) == (vae.image_shape, vae.members, vae.dtype)
    assert again.state_dict().keys() == vae.state_dict().keys()
    for name, value in vae.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    x = torch.rand(5, *vae.image_shape)
    assert torch.equal(again.reconstruct(x), vae.reconstruct(x))
    one, other = (model.sample(4, torch.Generator().manual_seed(1)) for model in (vae, again))
    assert torch.equal(one, other)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    MODELS["mlp"].save(tmp_path / "vae.safetensors")
    return tmp_path / "vae.safetensors"


@pytest.mark.parametrize("position", [0.0, 0.02, 0.5, 0.999])
def test_a_file_with_one_other_byte_is_refused(saved: Path, position: float) -> None:
    content = bytearray(saved.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1
    saved.write_bytes(content)
    with pytest.raises(StorageError, match=r"vae.safetensors is damaged"):
        load_model(saved)


@pytest.mark.parametrize("length", [0, 7, 200, -1])
def test_a_file_cut_short_is_refused(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(StorageError, match=r"vae.safetensors is damaged, or not a safetensors file"):
        load_model(saved)


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "foreign", metadata={"format": "pt"})
    with pytest.raises(StorageError, match=r"foreign holds tensors, but not a model that VAE\.save wrote"):
        load_model(tmp_path / "foreign")
    torch.save({"weight": torch.ones(3)}, tmp_path / "pickle")
    with pytest.raises(StorageError, match="pickle is damaged, or not a safetensors file"):
        load_model(tmp_path / "pickle")
    for missing in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StorageError, match="is not a file"):
            load_model(missing)


def test_a_model_of_a_class_that_is_not_here_names_the_class(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MODELS["own"].save(saved)
    monkeypatch.delattr(sys.modules[__name__], "Wide")
    with pytest.raises(ValueError, match=f"type is '{__name__}:Wide'"):
        load_model(saved)


def test_a_model_that_cannot_be_saved_leaves_the_file_that_was_there(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    vae = VAE(MLP(1, 8, 2), (1, 4, 4), [0], prior=Forgetful())
    with pytest.raises(ValueError, match="does not keep"):
        vae.save(saved)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ratereg.models.files.save_file", full)
    with pytest.raises(StorageError, match="the disk is full"):
        MODELS["mlp"].save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_file_holds_numbers_and_settings_and_no_code(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        settings = json.loads(file.metadata()["ratereg.VAE"])
    assert settings["network"] == {"type": "MLP", "layers": 2, "width": 12, "latent_dim": 3, "hidden": [12, 7]}
    assert settings["prior"] == {"type": "MixtureOfGaussians", "components": 4}
    assert settings["image_shape"] == [3, 4, 4]


OWN = """
from ratereg.models import StandardGaussian
class Own(StandardGaussian):
    shift = 1.0
    def log_prob(self, z):
        return super().log_prob(z - self.shift){change}
"""


def test_the_code_of_a_class_of_ones_own_counts_and_its_comments_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    codes = []
    for change in ("", "  # as it was", " + 3", " * 3 + z.abs().sum(-1)"):
        (tmp_path / "own_prior.py").write_text(OWN.format(change=change))
        sys.modules.pop("own_prior", None)
        settings = to_settings(importlib.import_module("own_prior").Own())
        codes.append(settings["code"])
    assert codes[0] == codes[1]
    assert len(set(codes)) == 3
    with pytest.warns(UserWarning, match="The code of own_prior:Own has changed since"):
        from_settings(settings | {"code": codes[0]})


def test_a_class_of_a_program_that_no_other_can_import_is_not_saved(saved: Path) -> None:
    class Shifted(StandardGaussian):
        pass

    Shifted.__module__, Shifted.__qualname__ = "__main__", "Shifted"
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="prior has the class __main__:Shifted, which other programs cannot import"):
        VAE(MLP(1, 8, 2), (1, 4, 4), [0], prior=Shifted()).save(saved)
    assert saved.read_bytes() == before
    with pytest.raises(ValueError, match="it was defined in another program; define it in a module"):
        from_settings({"type": "__main__:Shifted"})


def test_a_pipe_is_not_replaced_and_a_link_leads_to_the_new_model(saved: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="pipe is not a regular file"):
        MODELS["own"].save(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(saved)
    MODELS["own"].save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_model(saved).members == 3
    (tmp_path / "usual").touch()
    assert saved.stat().st_mode == (tmp_path / "usual").stat().st_mode
