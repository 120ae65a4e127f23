"""Priors p(z) over the latent space, one family a file."""

from ratereg.models.priors.base import Prior, gaussian_log_prob
from ratereg.models.priors.diagonal_gaussian import DiagonalGaussian
from ratereg.models.priors.mixture_of_gaussians import MixtureOfGaussians
from ratereg.models.priors.standard_gaussian import StandardGaussian

__all__ = ["DiagonalGaussian", "MixtureOfGaussians", "Prior", "StandardGaussian", "gaussian_log_prob"]
