"""Diagonal-Gaussian posteriors, and priors, as the estimators take them: checked, sampled, evaluated."""

import math
from numbers import Integral

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ratereg.models import LatentVariableModel, Prior, StandardGaussian
from ratereg.models.pixels import described

__all__ = [
    "check_at_least",
    "check_left_out",
    "check_mixture",
    "check_rows",
    "checked_posteriors",
    "checked_queries",
    "draw_prior",
    "log_prior",
    "nan_if_absurd",
    "negative_entropy",
    "normal_noise",
    "sample_posteriors",
]

_LARGEST_MEAN, _LEAST_LOG_VAR, _LARGEST_LOG_VAR = 1e18, -700.0, 88.0
"""Beyond these a posterior is absurd: its mean's square or its variance overflows float32, or its precision float64."""


def check_at_least(least: int, **numbers: object) -> None:
    """Raise ValueError unless all numbers are integers of at least `least`."""
    for name, value in numbers.items():
        if type(value) is bool or not isinstance(value, Integral) or int(value) < least:
            raise ValueError(f"{name} is {value!r}; give an integer of at least {least}.")


def check_rows(name: str, rows: object, count: int) -> None:
    """Raise ValueError unless `rows` are int64 rows of a table of `count` rows."""
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1:
        raise ValueError(f"{name} is {described(rows)}; give a tensor of int64 rows with one axis.")
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count:
        raise ValueError(f"{name} holds {int(rows.min())} to {int(rows.max())}; give rows from 0 to {count - 1}.")


def checked_queries(queries: Int64[Tensor, " query"] | None, images: int) -> Int64[Tensor, " query"]:
    """Return the rows to query, by default all of them; raise ValueError unless each is the row of an image, once."""
    if queries is None:
        return torch.arange(images, device="cpu")
    check_rows("queries", queries, images)
    if len(queries) == 0:
        raise ValueError("queries is empty; give the row of at least one image.")
    if len(queries.unique()) < len(queries):
        raise ValueError("queries holds a row twice; give each once, and take more draws instead.")
    return queries


def check_mixture(z: Tensor, mean: Tensor, log_var: Tensor) -> None:
    """Raise ValueError unless `z` are points to evaluate the mixture of these posteriors at."""
    _check_posteriors(mean, log_var, 1)
    fits = isinstance(z, Tensor) and z.is_floating_point() and z.ndim == mean.ndim and z.device == mean.device
    if not fits or z.shape[:-2] != mean.shape[:-2] or z.shape[-1] != mean.shape[-1]:
        raise ValueError(
            f"z is {described(z)}, which does not fit mean, {described(mean)}; give floats (..., query, latent) and "
            "(..., component, latent) with equal leading axes, on one device."
        )


def check_left_out(left_out: Tensor, queries: int, components: int) -> None:
    """Raise ValueError unless each query can omit the component that it is to omit."""
    check_rows("left_out", left_out, components)
    if len(left_out) != queries or components == 1:
        raise ValueError(
            f"left_out has {len(left_out)} rows for {queries} queries and {components} components; give a row for each "
            "query, and at least 2 components."
        )


def checked_posteriors(
    mean: Float[Tensor, "*lead image latent"], log_var: Float[Tensor, "*lead image latent"], least: int = 1
) -> tuple[Float[Tensor, "*lead image latent"], Float[Tensor, "*lead image latent"]]:
    """Return `nan_if_absurd`; raise ValueError unless both are floats of one shape, for at least `least` images."""
    _check_posteriors(mean, log_var, least)
    return nan_if_absurd(mean, log_var)


def _check_posteriors(mean: Tensor, log_var: Tensor, least: int) -> None:
    for name, value in (("mean", mean), ("log_var", log_var)):
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim < 2:
            raise ValueError(f"{name} is {described(value)}; give a tensor of floats (..., image, latent).")
    if mean.shape != log_var.shape or mean.device != log_var.device:
        raise ValueError(
            f"mean is {described(mean)} and log_var {described(log_var)}; give both of one shape, on one device."
        )
    if mean.shape[-2] < least or mean.shape[-1] == 0:
        raise ValueError(f"mean is {described(mean)}; give at least {least} images and one latent dimension.")


def nan_if_absurd(
    mean: Float[Tensor, "*lead image latent"], log_var: Float[Tensor, "*lead image latent"]
) -> tuple[Float[Tensor, "*lead image latent"], Float[Tensor, "*lead image latent"]]:
    """Return posteriors that are NaN for each member with a value that is NaN, infinite or absurd.

    NaN then spreads to all that is estimated for the member, and to no other member. A log-variance is absurd below
    -700 or above 88, a mean beyond 1e18.
    """
    fine = (mean.abs() <= _LARGEST_MEAN) & (log_var >= _LEAST_LOG_VAR) & (log_var <= _LARGEST_LOG_VAR)
    if fine.all():
        return mean, log_var
    lost = ~fine.flatten(-2).all(-1)[..., None, None]
    return mean.masked_fill(lost, math.nan), log_var.masked_fill(lost, math.nan)


def normal_noise(
    shape: tuple[int, ...],
    generator: torch.Generator | None,
    device: torch.device,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "..."]:
    """Return standard normal noise, drawn on the CPU."""
    return torch.randn(shape, generator=generator, dtype=dtype, device="cpu").to(device)


def sample_posteriors(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    rows: Int64[Tensor, " query"],
    draws: int,
    generator: torch.Generator | None,
) -> tuple[Float64[Tensor, "*lead draw query latent"], Float64[Tensor, "*lead draw query latent"]]:
    """Return samples z of the posteriors in `rows`, and log q(z_k|x) of each in nats, latent by latent.

    The noise is the same for all leading axes, so that members are paired.
    """
    check_at_least(1, draws=draws)
    rows = rows.to(mean.device)
    query_mean, query_log_var = (values[..., rows, :].double().unsqueeze(-3) for values in (mean, log_var))
    noise = normal_noise((draws, len(rows), mean.shape[-1]), generator, mean.device)
    z = query_mean + (query_log_var / 2).exp() * noise
    # From z as rounded, not from the noise: so an image's own term never exceeds its share of the aggregate's sum.
    standardized = (z - query_mean) * (-query_log_var / 2).exp()
    return z, -(standardized.square() + query_log_var + math.log(2 * math.pi)) / 2


def negative_entropy(log_var: Float[Tensor, "*lead latent"]) -> Float64[Tensor, "*lead"]:
    """Return E log q(z|x) of a diagonal Gaussian, in nats."""
    return -(log_var.double() + math.log(2 * math.pi) + 1).sum(-1) / 2


def log_prior(prior: Prior, z: Float[Tensor, "member *lead latent"]) -> Float64[Tensor, "member *lead"]:
    """Return log p(z) in nats at points with any number of axes between the member and the latent."""
    values: Tensor = prior.log_prob(z.double().flatten(1, -2)).double().unflatten(1, z.shape[1:-1])
    return values


def draw_prior(
    model: LatentVariableModel, count: int, latent_dim: int, generator: torch.Generator
) -> Float64[Tensor, "member count latent"]:
    """Return latents drawn from a model's prior; under the standard Gaussian all members have the same.

    Raises ValueError if the prior draws latents of another shape.
    """
    if type(model.prior) is StandardGaussian:
        return normal_noise((count, latent_dim), generator, model.device).expand(model.members, -1, -1)
    z = model.prior.sample(count, generator)
    if z.shape not in ((1, count, latent_dim), (model.members, count, latent_dim)):
        raise ValueError(
            f"prior.sample returned {described(z)}; return {(model.members, count, latent_dim)} for the model's "
            "members and latent dimensions."
        )
    return z.to(model.device, torch.float64).expand(model.members, -1, -1)
