"""Any one model, given by its encoder and its decoder as plain functions, as an ensemble of one."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ratereg.models.likelihoods import Bernoulli, Likelihood
from ratereg.models.pixels import described, flat_pixels
from ratereg.models.priors import Prior, StandardGaussian

__all__ = ["SingleModel"]


class SingleModel:
    """A model trained elsewhere, as the `LatentVariableModel` of one member that every estimator takes.

    Put modules into evaluation mode first: dropout would change the model from call to call.

    Arguments:
        encode: from images (batch, pixels) to q(z|x): its mean and log-variance, (batch, latent) each, or a `Normal`
            distribution of that shape; a function, a module, or a module's method.
        decode: from latents (batch, latent) to the likelihood's parameters (batch, pixels), each row by itself.
        likelihood: p(x|z); Bernoulli, with logits as parameters, if None.
        prior: p(z); the standard Gaussian if None.
        image_shape: channels, height, width, where `encode` takes images (batch, channel, height, width) and `decode`
            may return them; None for flattened pixels.
        probabilities: whether `decode` returns the probabilities of a Bernoulli likelihood, not logits.
        latent_dim: dimensions of the latent space; None to learn them from the first call. Sampling from the prior
            before that needs them.
        device: to compute on; None for the device of a module's parameters, else the CPU.

    Raises:
        ValueError: `encode` or `decode` cannot be called, or, when it is, returns something of another shape;
            `probabilities` is set beside another likelihood; or the prior has parameters, and was not built.

    Example:
        >>> encoder, decoder = torch.nn.Linear(784, 2 * 10), torch.nn.Linear(10, 784)  # yours, trained
        >>> model = SingleModel(lambda x: encoder(x).chunk(2, dim=-1), decoder)
        >>> bound = importance_weighted_bound(model, torch.rand(100, 784).round(), samples=64)
        >>> bound.quantity, bool(bound.bound < 0)  # in nats per image; bound.bound_se is its standard error
        ('log-likelihood', True)
    """

    members = 1
    """An ensemble of one."""

    def __init__(
        self,
        encode: Callable[[Tensor], Any],
        decode: Callable[[Tensor], Tensor],
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
        *,
        image_shape: tuple[int, int, int] | None = None,
        probabilities: bool = False,
        latent_dim: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        for name, function in (("encode", encode), ("decode", decode)):
            if not callable(function):
                raise ValueError(f"SingleModel: {name} is {function!r}; give a function or a module.")
        for name, value, kind in (("likelihood", likelihood, Likelihood), ("prior", prior, Prior)):
            if value is not None and not isinstance(value, kind):
                raise ValueError(f"SingleModel: {name} is {value!r}; give a {name} of ratereg.models.")
        self._encode, self._decode = encode, decode
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        if probabilities and not isinstance(self.likelihood, Bernoulli):
            raise ValueError(f"SingleModel: probabilities is True beside {self.likelihood}; give Bernoulli() or None.")
        self.image_shape, self._probabilities = image_shape, probabilities
        found = [parameter.device for function in (encode, decode) for parameter in _parameters(function)]
        self.device = torch.device(device) if device is not None else next(iter(found), torch.device("cpu"))
        self.prior = copy.deepcopy(StandardGaussian() if prior is None else prior)
        if latent_dim is not None:
            self._build_prior(latent_dim)

    def encode(
        self, x: Shaped[Tensor, "..."]
    ) -> tuple[Float[Tensor, "1 batch latent"], Float[Tensor, "1 batch latent"]]:
        """Return the mean and log-variance of q(z|x), for images in any form that a VAE takes."""
        flat = flat_pixels(x, self.image_shape, unit_range=isinstance(self.likelihood, Bernoulli))[0]
        images = flat if self.image_shape is None else flat.unflatten(1, self.image_shape)
        posterior = self._encode(_as_parameters_are(images, self._encode))
        normal = posterior.base_dist if isinstance(posterior, Independent) else posterior
        if isinstance(normal, Normal):
            posterior = normal.loc, 2 * normal.scale.log()
        if not isinstance(posterior, tuple | list) or len(posterior) != 2:
            raise ValueError(
                f"SingleModel: encode returned {described(posterior)}; return the mean and the log-variance, a pair, "
                "or a Normal distribution."
            )
        mean, log_var = posterior
        _check("encode's mean", mean, len(flat), "latent")
        _check("encode's log-variance", log_var, len(flat), mean.shape[1])
        self._build_prior(mean.shape[1])
        return mean.unsqueeze(0), log_var.unsqueeze(0)

    def decode(self, z: Float[Tensor, "1 batch latent"]) -> Float[Tensor, "1 batch pixels"]:
        """Return the likelihood's parameters, one per pixel."""
        self._build_prior(z.shape[2])
        parameters = self._decode(_as_parameters_are(z, self._decode)[0])
        if isinstance(parameters, Tensor) and self.image_shape is not None and parameters.shape[1:] == self.image_shape:
            parameters = parameters.flatten(1)
        pixels = "pixels" if self.image_shape is None else math.prod(self.image_shape)
        _check("decode's result", parameters, z.shape[1], pixels)
        return (_logits(parameters) if self._probabilities else parameters).unsqueeze(0)

    def _build_prior(self, latent_dim: int) -> None:
        """Build a prior that has no parameters; one with parameters has to be built, and trained, before."""
        if not self.prior.is_built:
            self.prior.build(latent_dim, [torch.Generator()], image_shape=self.image_shape).to(self.device)
            if next(self.prior.parameters(), None) is not None:
                raise ValueError(f"SingleModel: the prior {self.prior.label!r} is not trained; give one that is built.")
        if self.prior.latent_dim != latent_dim:
            raise ValueError(f"SingleModel: {latent_dim} latents, but the prior has {self.prior.latent_dim}.")


def _logits(probabilities: Tensor) -> Tensor:
    outside = ~((probabilities >= 0) & (probabilities <= 1))
    if outside.any():
        raise ValueError(
            f"SingleModel: decode returned {probabilities[outside][0]:.4g} as a probability; return values in [0, 1], "
            "or leave probabilities False for logits."
        )
    wide = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))
    # A probability of exactly 0 or 1 would make a pixel impossible.
    return torch.logit(wide, eps=torch.finfo(wide.dtype).eps)


def _check(name: str, value: object, batch: int, columns: str | int) -> None:
    fits = isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 2 and len(value) == batch
    if not fits or (isinstance(columns, int) and value.shape[1] != columns):  # type: ignore[attr-defined]
        raise ValueError(
            f"SingleModel: {name} is {described(value)} for a batch of {batch}; return floats ({batch}, {columns})."
        )


def _parameters(function: object) -> list[nn.Parameter]:
    """Return the parameters of a module, or of the module that a method belongs to."""
    module = getattr(function, "__self__", function)
    return list(module.parameters()) if isinstance(module, nn.Module) else []


def _as_parameters_are(tensor: Tensor, function: object) -> Tensor:
    """Return the tensor in the type of a module's parameters; a function gets it as it is."""
    parameters = _parameters(function)
    return tensor.to(parameters[0].dtype) if parameters else tensor
