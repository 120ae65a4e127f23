"""Any one model, given by its encoder and its decoder as plain functions, as an ensemble of one."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ratereg.models.likelihoods import Bernoulli, Likelihood
from ratereg.models.priors import StandardGaussian

__all__ = ["SingleModel"]


class SingleModel:
    """A model trained elsewhere, as the `LatentVariableModel` of one member that the estimators take.

    Put modules into evaluation mode first: dropout would change the model from call to call.

    Arguments:
        encode: from images (batch, pixels) to the mean and log-variance of q(z|x), (batch, latent) each; a function or
            a module.
        decode: from latents (batch, latent) to the likelihood's parameters (batch, pixels), each row by itself; a
            function or a module.
        likelihood: p(x|z); Bernoulli, with logits as parameters, if None.
        prior: p(z).
        device: to compute on; None for that of a module's parameters, else the CPU.

    Raises:
        ValueError: `encode` or `decode` cannot be called, or, when it is, returns something of another shape.

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
        encode: Callable[[Tensor], tuple[Tensor, Tensor]],
        decode: Callable[[Tensor], Tensor],
        likelihood: Likelihood | None = None,
        prior: StandardGaussian | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        for name, function in (("encode", encode), ("decode", decode)):
            if not callable(function):
                raise ValueError(f"SingleModel: {name} is {function!r}; give a function or a module.")
        self._encode, self._decode = encode, decode
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.prior = StandardGaussian() if prior is None else prior
        found = [parameter.device for function in (encode, decode) for parameter in _parameters(function)]
        self.device = torch.device(device) if device is not None else next(iter(found), torch.device("cpu"))

    def encode(
        self, x: Float[Tensor, "1 batch pixels"]
    ) -> tuple[Float[Tensor, "1 batch latent"], Float[Tensor, "1 batch latent"]]:
        """Return the mean and log-variance of q(z|x)."""
        posterior = self._encode(_as_parameters_are(x, self._encode)[0])
        if not isinstance(posterior, tuple) or len(posterior) != 2:
            raise ValueError(
                f"SingleModel: encode returned {_described(posterior)}; return the mean and the log-variance, a pair."
            )
        for name, value in zip(("mean", "log-variance"), posterior, strict=True):
            _check(f"encode's {name}", value, len(x[0]), "latent")
        mean, log_var = posterior
        if mean.shape != log_var.shape:
            raise ValueError(
                f"SingleModel: encode returned a mean {tuple(mean.shape)} and a log-variance {tuple(log_var.shape)}; "
                "return one variance per latent."
            )
        return mean.unsqueeze(0), log_var.unsqueeze(0)

    def decode(self, z: Float[Tensor, "1 batch latent"]) -> Float[Tensor, "1 batch pixels"]:
        """Return the likelihood's parameters, one per pixel."""
        parameters = self._decode(_as_parameters_are(z, self._decode)[0])
        _check("decode's result", parameters, len(z[0]), "pixels")
        return parameters.unsqueeze(0)


def _check(name: str, value: object, batch: int, axis: str) -> None:
    fits = isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 2 and len(value) == batch
    if not fits:
        raise ValueError(
            f"SingleModel: {name} is {_described(value)} for a batch of {batch}; return floats ({batch}, {axis})."
        )


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    length = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{length}"


def _parameters(function: object) -> list[nn.Parameter]:
    return list(function.parameters()) if isinstance(function, nn.Module) else []


def _as_parameters_are(tensor: Tensor, function: object) -> Tensor:
    """Return the tensor in the type of a module's parameters; a function gets it as it is."""
    parameters = _parameters(function)
    return tensor.to(parameters[0].dtype) if parameters else tensor
