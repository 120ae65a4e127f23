"""A lower bound on the mutual information where the true factors of the images are known. In nats.

With factors f uniform on the unit cube, h(f) = 0, and I(x;z) >= I(f;z) >= E log r(f|z) for any density r of f given z.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ratereg.evaluation.population import InformationBound, bound_by_size, checked_sizes
from ratereg.evaluation.posteriors import check_at_least, checked_posteriors, normal_noise, sample_posteriors
from ratereg.models.layers import EnsembleMLP

__all__ = ["FactorRegression", "factor_bound", "fit_factors"]

_KERNELS = 4
_SMALLEST_WIDTH = 1e-4
_VALIDATE_EVERY = 50


class FactorRegression:
    """A density r(f|z) on the unit cube for each member: per factor, Gaussians cut off at 0 and 1, given by a network.

    Made by `fit_factors`.
    """

    def __init__(
        self,
        network: EnsembleMLP,
        center: Float[Tensor, "member 1 latent"],
        spread: Float[Tensor, "member 1 latent"],
        lead: tuple[int, ...],
    ) -> None:
        self._network, self._center, self._spread, self.lead = network, center, spread, lead

    def log_prob(
        self, factors: Float[Tensor, "#member image factor"], z: Float[Tensor, "member image latent"]
    ) -> Float[Tensor, "member image"]:
        """Return log r(f|z), in nats."""
        outputs = self._network(((z - self._center) / self._spread).float())
        weight, position, width = outputs.unflatten(-1, (factors.shape[-1], _KERNELS, 3)).unbind(-1)
        log_weight, width = weight.log_softmax(-1), F.softplus(width) + _SMALLEST_WIDTH
        mean = 0.5 + position
        scaled = (factors.float().unsqueeze(-1) - mean) / width
        log_density = log_weight - scaled.square() / 2 - width.log() - math.log(2 * math.pi) / 2
        above, below = ((edge - mean) / (width * math.sqrt(2)) for edge in (1, 0))
        inside = (torch.erf(above) - torch.erf(below)) / 2
        cut = (log_weight.exp() * inside).sum(-1).clamp_min(1e-6).log()
        log_prob: Tensor = (log_density.logsumexp(-1) - cut).sum(-1)
        return log_prob


@torch.enable_grad()
def fit_factors(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    factors: Float[Tensor, "image factor"],
    *,
    seed: int = 0,
    steps: int = 1500,
    width: int = 128,
    batch_size: int = 512,
) -> FactorRegression:
    """Fit r(f|z) to some images by maximum likelihood, each member a regression of its own.

    A tenth of the images are kept for validation, and the weights of the best validation count. So all of them must be
    others than those that the bound is evaluated on.

    Arguments:
        mean: means of q(z|x) for at least 20 images.
        log_var: log-variances of q(z|x).
        factors: of these images, scaled to the unit cube, where they must be uniform and independent.
        seed: seed of weights, batches and latents.
        steps: of training the network.
        width: of its two hidden layers.
        batch_size: images a step.

    Raises:
        ValueError: there are fewer than 20 images, a factor is outside of [0, 1], or a number is too small.
    """
    check_at_least(1, steps=steps, width=width, batch_size=batch_size)
    mean, log_var = checked_posteriors(mean, log_var, least=20)
    factors = _checked_factors(factors, mean)
    lead, device, (images, latent) = tuple(mean.shape[:-2]), mean.device, mean.shape[-2:]
    mean, std = mean.reshape(-1, images, latent).float(), (log_var.reshape(-1, images, latent).float() / 2).exp()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(images, generator=generator, device="cpu").to(device)
    validation, training = order[: images // 10], order[images // 10 :]
    # Every member starts from the same weights, as it would alone.
    generators = [torch.Generator().manual_seed(seed) for _ in mean]
    with torch.device("cpu"):
        network = EnsembleMLP([latent, width, width, 3 * _KERNELS * factors.shape[1]], generators)
    network.to(device, torch.float32)
    # The spread within the posteriors counts too: a collapsed latent has a constant mean.
    spread = (mean.var(-2, keepdim=True) + std.square().mean(-2, keepdim=True)).sqrt()
    regression = FactorRegression(network, mean.mean(-2, keepdim=True), spread, lead)

    def log_prob(rows: Tensor) -> Float[Tensor, "member batch"]:
        noise = normal_noise((len(rows), latent), generator, device, torch.float32)
        return regression.log_prob(factors[rows].unsqueeze(0), mean[:, rows] + std[:, rows] * noise)

    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best = torch.full((len(mean),), -math.inf, dtype=torch.float32, device=device)
    kept = [parameter.detach().clone() for parameter in parameters]
    for step in range(1, steps + 1):
        batch = torch.randint(len(training), (batch_size,), generator=generator, device="cpu").to(device)
        optimizer.zero_grad()
        (-log_prob(training[batch]).mean(1).sum()).backward()
        optimizer.step()
        schedule.step()
        if step % _VALIDATE_EVERY == 0 or step == steps:
            with torch.no_grad():
                score = log_prob(validation).mean(1)
                better = score > best
                best = torch.where(better, score, best)
                for old, parameter in zip(kept, parameters, strict=True):
                    old[better] = parameter[better]
    with torch.no_grad():
        for old, parameter in zip(kept, parameters, strict=True):
            parameter.copy_(old)
    network.requires_grad_(requires_grad=False)
    return regression


@torch.no_grad()
def factor_bound(
    mean: Float[Tensor, "*lead image latent"],
    log_var: Float[Tensor, "*lead image latent"],
    factors: Float[Tensor, "image factor"],
    regression: FactorRegression,
    generator: torch.Generator | None = None,
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 2,
) -> InformationBound:
    """Return a lower bound on I(x;z) of the population: E log r(f|z), the factors' own entropy being 0.

    The number of evaluation images changes its error only. It is as loose as the regression is worse than the true
    density of the factors given the latents. The `regression` is from `fit_factors`, with the same leading axes, fitted
    on other images; `factors` are scaled to the unit cube. The other arguments are as in `marginal_bound`.

    Raises:
        ValueError: as `marginal_bound`; or a factor is outside of [0, 1].

    Source: Barber and Agakov (2003).
    """
    mean, log_var = checked_posteriors(mean, log_var, least=2)
    factors = _checked_factors(factors, mean)
    if tuple(mean.shape[:-2]) != regression.lead:
        raise ValueError(
            f"mean has leading axes {tuple(mean.shape[:-2])}, the regression {regression.lead}; fit and evaluate the "
            "same members."
        )
    chosen = checked_sizes(sizes, mean.shape[-2])
    count = max(chosen)
    z, _ = sample_posteriors(mean, log_var, torch.arange(count, device="cpu"), draws, generator)
    flat = z.reshape(-1, draws * count, z.shape[-1])
    terms = regression.log_prob(factors[:count].repeat(draws, 1).unsqueeze(0), flat).double()
    return bound_by_size(terms.reshape(*regression.lead, draws, count), chosen)


def _checked_factors(factors: Tensor, mean: Tensor) -> Float[Tensor, "image factor"]:
    if factors.ndim != 2 or len(factors) != mean.shape[-2]:
        raise ValueError(f"factors has shape {tuple(factors.shape)} for {mean.shape[-2]} images; give (image, factor).")
    if not bool(((factors >= 0) & (factors <= 1)).all()):
        raise ValueError("factors holds NaN or values outside of [0, 1]; scale them to the unit cube.")
    return factors.to(mean.device)
