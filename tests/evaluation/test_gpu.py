"""The estimators give on a GPU what they give on the CPU, where there is a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ratereg import MLP, VAE, evaluation

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no CUDA device.")


def posteriors(device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(2, 700, 4, generator=generator)
    return mean.to(device), (torch.randn(2, 700, 4, generator=generator) / 3 - 3).to(device)


def model(device: str) -> tuple[VAE, Tensor]:
    vae = VAE(MLP(1, 16, 2), (1, 4, 4), seeds=[0, 1]).double().to(device)
    x = torch.rand(9, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return vae, x.to(device)


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def aggregate(device: str) -> Tensor:
    mean, log_var = posteriors(device)
    return evaluation.aggregate_log_prob(mean[:, :300] + 0.01, mean, log_var)


def left_out(device: str) -> Tensor:
    mean, log_var = posteriors(device)
    return evaluation.aggregate_log_prob(mean, mean, log_var, left_out=torch.arange(700))


def decomposed(device: str) -> Tensor:
    parts = evaluation.decompose_rate(*posteriors(device), noise())
    return torch.stack([parts.rate, parts.mutual_information, parts.marginal_kl, parts.marginal_kl_se])


def split(device: str) -> Tensor:
    return evaluation.split_marginal_kl(*posteriors(device), noise()).dimension_wise_kl


def population(device: str) -> Tensor:
    lower, upper = evaluation.population_information(*posteriors(device), noise(), sizes=[50, 700])
    return torch.stack([lower.value, lower.standard_error, upper.value, upper.standard_error])


def fitted(device: str) -> Tensor:
    mean, log_var = posteriors(device)
    marginal = evaluation.fit_marginal(mean[:, :400], log_var[:, :400], noise())
    return evaluation.marginal_bound(mean[:, 400:], log_var[:, 400:], marginal, noise(), sizes=[300]).value


def weighted(device: str) -> Tensor:
    return evaluation.importance_weighted_bound(*model(device), 20, noise()).per_image


def annealed(device: str) -> Tensor:
    return evaluation.annealed_importance_sampling(*model(device), chains=3, temperatures=10).per_image


def curve(device: str) -> Tensor:
    return evaluation.optimal_rate_distortion(*model(device), betas=[1.0], chains=3, temperatures=10).rate


def integrated(device: str) -> Tensor:
    return evaluation.evidence_by_quadrature(*model(device)).per_image


def memorized(device: str) -> Tensor:
    vae, x = model(device)
    pixels = (255 * x).byte()
    train, test = torch.arange(6, device=device), torch.arange(6, 9, device=device)
    encodings = [evaluation.encode(vae, pixels, rows) for rows in (train, test)]
    return evaluation.memorization(vae, pixels, train, test, *encodings, noise()).output_to_optimum


EVERY: list[Callable[[str], Any]] = [
    aggregate,
    left_out,
    decomposed,
    split,
    population,
    fitted,
    weighted,
    annealed,
    curve,
    integrated,
    memorized,
]


@pytest.mark.parametrize("estimate", EVERY, ids=lambda function: function.__name__)
def test_a_gpu_gives_what_the_cpu_gives(estimate: Callable[[str], Tensor]) -> None:
    torch.testing.assert_close(estimate("cuda").cpu(), estimate("cpu"), rtol=1e-4, atol=1e-4)
