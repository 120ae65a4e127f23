"""Rate-distortion analyses of variational autoencoders: train and test curves of whole ensembles, with errors.

The reproducible companion of "Rate-Regularization and Generalization in VAEs" (Bozkurt et al., AISTATS 2021). All
information quantities are in nats.
"""

import importlib
from typing import Any

from ratereg import data, evaluation, measurements, models, studies, training
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


def __getattr__(name: str) -> Any:
    # These need matplotlib, ipywidgets and IPython, which a bare machine that trains may lack.
    if name in {"claims", "live", "plots", "report", "widgets"}:
        return importlib.import_module(f"ratereg.{name}")
    raise AttributeError(f"module 'ratereg' has no attribute {name!r}")
