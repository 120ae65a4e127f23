"""What is learned: ensembles of variational autoencoders, batched over a leading member axis."""

from ratereg.models.files import load_model
from ratereg.models.likelihoods import Bernoulli, Gaussian, Likelihood
from ratereg.models.networks import MLP, Convolutional, Network
from ratereg.models.priors import (
    DiagonalGaussian,
    MixtureOfGaussians,
    Prior,
    StandardGaussian,
    gaussian_log_prob,
)
from ratereg.models.single import SingleModel
from ratereg.models.vae import LARGEST_LOG_VAR, VAE, LatentVariableModel

__all__ = [
    "LARGEST_LOG_VAR",
    "MLP",
    "VAE",
    "Bernoulli",
    "Convolutional",
    "DiagonalGaussian",
    "Gaussian",
    "LatentVariableModel",
    "Likelihood",
    "MixtureOfGaussians",
    "Network",
    "Prior",
    "SingleModel",
    "StandardGaussian",
    "gaussian_log_prob",
    "load_model",
]
