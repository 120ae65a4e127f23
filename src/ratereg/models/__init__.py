"""What is learned: ensembles of variational autoencoders, batched over a leading member axis."""

from ratereg.models.likelihoods import Bernoulli, Gaussian, Likelihood
from ratereg.models.networks import MLP, Convolutional, Network
from ratereg.models.priors import Prior, StandardGaussian
from ratereg.models.single import SingleModel
from ratereg.models.vae import VAE, LatentVariableModel

__all__ = [
    "MLP",
    "VAE",
    "Bernoulli",
    "Convolutional",
    "Gaussian",
    "LatentVariableModel",
    "Likelihood",
    "Network",
    "Prior",
    "SingleModel",
    "StandardGaussian",
]
