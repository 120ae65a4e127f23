"""The variational autoencoder, always as an ensemble: axis 0 of every tensor is the member."""

import copy
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ratereg.models.likelihoods import Bernoulli, Likelihood
from ratereg.models.networks import Network
from ratereg.models.priors import StandardGaussian

__all__ = ["VAE", "LatentVariableModel"]


@runtime_checkable
class LatentVariableModel(Protocol):
    """What the estimators ask of a model: an ensemble with an encoder, a decoder, a likelihood and a prior."""

    @property
    def likelihood(self) -> Likelihood:
        """p(x|z)."""
        ...

    @property
    def prior(self) -> StandardGaussian:
        """p(z)."""
        ...

    @property
    def members(self) -> int:
        """The number of members."""
        ...

    @property
    def device(self) -> torch.device:
        """The device to compute on."""
        ...

    def encode(
        self, x: Float[Tensor, "#member batch pixels"]
    ) -> tuple[Float[Tensor, "member batch latent"], Float[Tensor, "member batch latent"]]:
        """Return the mean and log-variance of q(z|x)."""
        ...

    def decode(self, z: Float[Tensor, "#member batch latent"]) -> Float[Tensor, "member batch pixels"]:
        """Return the likelihood's parameters, one per pixel; differentiable in `z`."""
        ...


class VAE(nn.Module):
    """An ensemble of VAEs of one architecture; a single VAE is an ensemble of one.

    Members with equal seeds start from equal weights, so contrasts between them are paired.

    Arguments:
        network: the architecture, built once for all members.
        image_shape: channels, height, width.
        seeds: one seed per member for the initial weights.
        likelihood: p(x|z).
        prior: p(z).

    Raises:
        ValueError: `seeds` is empty, or the network is not for images of that shape.
    """

    def __init__(
        self,
        network: Network,
        image_shape: tuple[int, int, int],
        seeds: Sequence[int],
        likelihood: Likelihood | None = None,
        prior: StandardGaussian | None = None,
    ) -> None:
        super().__init__()
        if not seeds:
            raise ValueError("VAE: seeds is empty; give one seed per member.")
        self.network = network
        self.image_shape = image_shape
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.prior = StandardGaussian() if prior is None else prior
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.encoder = network.encoder(image_shape, generators)
        self.decoder = network.decoder(image_shape, generators)

    @property
    def members(self) -> int:
        """The number of members."""
        return int(next(self.parameters()).shape[0])

    def only(self, members: slice) -> "VAE":
        """Return some members as an ensemble of their own, with the same weights in the same place."""
        own = {id(weight): nn.Parameter(weight.detach()[members]) for weight in self.parameters()}
        return copy.deepcopy(self, own)

    @property
    def device(self) -> torch.device:
        """The device that holds the parameters."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters, in which the matrix products run."""
        return next(self.parameters()).dtype

    def encode(
        self, x: Float[Tensor, "#member batch pixels"]
    ) -> tuple[Float[Tensor, "member batch latent"], Float[Tensor, "member batch latent"]]:
        """Return the mean and log-variance of q(z|x), for pixels in [0, 1] of each member or of all alike.

        Both are float32 at least, also when the parameters are bfloat16.
        """
        outputs = self.encoder(x.to(self.dtype).expand(self.members, -1, -1))
        mean, log_var = outputs.to(torch.promote_types(self.dtype, torch.float32)).chunk(2, dim=-1)
        return mean, log_var

    def decode(self, z: Float[Tensor, "#member batch latent"]) -> Float[Tensor, "member batch pixels"]:
        """Return the likelihood's parameters, one per pixel, in the type of the parameters."""
        parameters: Tensor = self.decoder(z.to(self.dtype).expand(self.members, -1, -1))
        return parameters

    def forward(
        self, x: Float[Tensor, "#member batch pixels"], noise: Float[Tensor, "#member batch latent"]
    ) -> tuple[Float[Tensor, "member batch"], Float[Tensor, "member batch"]]:
        """Return the distortion of one reparameterized sample, and the rate, of each image, in nats.

        Source: Kingma and Welling (2014), eq. 10.
        """
        mean, log_var = self.encode(x)
        z = mean + (log_var / 2).exp() * noise
        return self.likelihood.distortion(self.decode(z), x), self.prior.rate(mean, log_var)
