"""Rate-distortion analyses of variational autoencoders: train and test curves of whole ensembles, with errors.

The reproducible companion of "Rate-Regularization and Generalization in VAEs" (Bozkurt et al., AISTATS 2021). All
information quantities are in nats.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratereg import claims, data, evaluation, live, measurements, models, plots, report, studies, training, widgets
    from ratereg.models import MLP, VAE, Bernoulli, Convolutional, Gaussian, SingleModel, load_model
    from ratereg.studies import CATALOG, Data, Results, Study, Training, load_or_run, published

__all__ = [
    "CATALOG",
    "MLP",
    "VAE",
    "Bernoulli",
    "Convolutional",
    "Data",
    "Gaussian",
    "Results",
    "SingleModel",
    "Study",
    "Training",
    "claims",
    "data",
    "evaluation",
    "live",
    "load_model",
    "load_or_run",
    "measurements",
    "models",
    "plots",
    "published",
    "report",
    "studies",
    "training",
    "widgets",
]

_MODELS = {"MLP", "VAE", "Bernoulli", "Convolutional", "Gaussian", "SingleModel", "load_model"}
_STUDIES = {"CATALOG", "Data", "Results", "Study", "Training", "load_or_run", "published"}


def __getattr__(name: str) -> Any:
    # Imported when first used: `ratereg --help` needs no torch, and a bare machine that trains may lack matplotlib.
    for room, names in (("models", _MODELS), ("studies", _STUDIES)):
        if name in names:
            return getattr(importlib.import_module(f"ratereg.{room}"), name)
    if name in __all__:
        return importlib.import_module(f"ratereg.{name}")
    raise AttributeError(f"module 'ratereg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
