"""Every prior is a density that it samples from, its members stand alone, and a new family needs nothing elsewhere."""

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from ratereg.models import MLP, VAE, DiagonalGaussian, MixtureOfGaussians, Prior, StandardGaussian, load_model
from ratereg.models.priors import gaussian_log_prob
from ratereg.models.settings import to_settings
from ratereg.training import Precision, Trainer


class VampPrior(Prior):
    """The mixture of the posteriors of learned images (Tomczak and Welling, 2018), as a user would write it."""

    def __init__(self, components: int = 10) -> None:
        super().__init__()
        self.components = components

    def build(self, latent_dim: int, generators: Sequence[torch.Generator], **context: Any) -> "VampPrior":
        super().build(latent_dim, generators, **context)
        pixels = math.prod(context["image_shape"])
        self.images = nn.Parameter(torch.stack([torch.rand(self.components, pixels, generator=g) for g in generators]))
        self._encode = context["encode"]
        return self

    def log_prob(self, z: Tensor) -> Tensor:
        mean, log_var = (values.unsqueeze(1) for values in self._encode(self.images.clamp(0, 1)))
        return gaussian_log_prob(z.unsqueeze(2), mean, log_var).logsumexp(2) - math.log(self.components)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        mean, log_var = self._encode(self.images.clamp(0, 1))
        component = torch.randint(self.components, (count,), generator=generator)
        return mean[:, component] + (log_var[:, component] / 2).exp() * self.noise(count, generator)


FAMILIES = [StandardGaussian, DiagonalGaussian, lambda: MixtureOfGaussians(7), VampPrior]
EVERY = pytest.mark.parametrize("family", FAMILIES, ids=["standard", "diagonal", "mixture", "vamp"])
SEEDS = [3, 5, 3]


def vae_with(prior: Prior, latent_dim: int = 2, seeds: Sequence[int] = SEEDS, spread: float = 0.7) -> VAE:
    """Return an ensemble whose prior's parameters have moved from where they start, each member's by its own seed."""
    vae = VAE(MLP(1, 8, latent_dim), (1, 4, 4), seeds, prior=prior)
    for member, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(100 + seed)
        for parameter in vae.prior.parameters():
            with torch.no_grad():
                parameter[member] += spread * torch.randn(parameter.shape[1:], generator=generator)
    return vae


def grid(latent_dim: int, reach: float = 16.0, points: int = 321) -> tuple[Tensor, float]:
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return torch.cartesian_prod(*[line] * latent_dim).view(1, -1, latent_dim), (2 * reach / (points - 1)) ** latent_dim


@EVERY
@pytest.mark.parametrize("latent_dim", [1, 2])
@torch.no_grad()
def test_a_prior_integrates_to_one(family: Callable[[], Prior], latent_dim: int) -> None:
    prior = vae_with(family(), latent_dim).prior
    z, volume = grid(latent_dim)
    log_prob = prior.log_prob(z.expand(3, -1, -1))
    assert log_prob.dtype == torch.float64
    torch.testing.assert_close(log_prob.exp().sum(1) * volume, torch.ones(3).double(), rtol=0, atol=1e-6)


@EVERY
@torch.no_grad()
def test_samples_are_distributed_as_the_density_says(family: Callable[[], Prior]) -> None:
    prior = vae_with(family()).prior
    z = prior.sample(40_000, torch.Generator().manual_seed(0)).double()
    assert z.shape == (3, 40_000, 2)
    nodes, volume = grid(2)
    density = prior.log_prob(nodes.expand(3, -1, -1)).exp() * volume
    # Moments, and the probability of half-planes, by quadrature.
    for value in (lambda z: z[..., 0], lambda z: z[..., 1].square(), lambda z: z.prod(-1), lambda z: z[..., 0] > 0.55):
        truth = (density * value(nodes).double()).sum(1)
        drawn = value(z).double()
        assert ((drawn.mean(1) - truth).abs() < 5 * drawn.std(1) / 200 + 1e-6).all()


@EVERY
def test_a_member_alone_is_the_member_in_an_ensemble(family: Callable[[], Prior]) -> None:
    vae = vae_with(family())
    z = torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(1))
    sample, log_prob = vae.prior.sample(20, torch.Generator().manual_seed(2)), vae.prior.log_prob(z)
    built_alone = vae_with(family(), seeds=[5])
    for one in (built_alone, vae.only([1]), vae.only(slice(1, 2))):
        torch.testing.assert_close(one.prior.log_prob(z[1:2]), log_prob[1:2])
        torch.testing.assert_close(one.prior.sample(20, torch.Generator().manual_seed(2)), sample[1:2])
    assert torch.equal(sample[0], sample[2])
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter[0] += 1
    torch.testing.assert_close(vae.prior.log_prob(z)[1:], log_prob[1:])


@EVERY
@torch.no_grad()
def test_the_rate_is_the_divergence_from_the_posterior(family: Callable[[], Prior]) -> None:
    prior = vae_with(family()).prior.double()
    generator = torch.Generator().manual_seed(0)
    mean, log_var = (torch.randn(3, 2, 2, generator=generator, dtype=torch.float64) * size for size in (1, 0.5))
    nodes, volume = grid(2)
    for image in range(2):
        one = mean[:, image : image + 1], log_var[:, image : image + 1]
        log_q = gaussian_log_prob(nodes, *one)
        truth = (log_q.exp() * (log_q - prior.log_prob(nodes.expand(3, -1, -1)))).sum(1) * volume
        z = one[0] + (one[1] / 2).exp() * torch.randn(1, 10_000, 2, generator=generator, dtype=torch.float64)
        rate = prior.rate(*(values.expand_as(z) for values in one), z)
        sampled = Prior.rate(prior, *(values.expand_as(z) for values in one), z)
        if prior.closed_form:
            torch.testing.assert_close(rate[:, 0], truth, rtol=1e-6, atol=1e-6)
            assert (rate == rate[:, :1]).all()
        else:
            assert torch.equal(rate, sampled)
        assert ((sampled.mean(1) - truth).abs() < 5 * sampled.std(1) / 100).all()


def test_gaussian_priors_are_torchs_distributions() -> None:
    z, mean, log_var = (torch.randn(3, 9, 2).double() for _ in range(3))
    posterior = Normal(mean, (log_var / 2).exp())
    torch.testing.assert_close(StandardGaussian().log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1))
    torch.testing.assert_close(
        StandardGaussian().rate(mean, log_var), kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1)
    )
    prior = vae_with(DiagonalGaussian()).prior.double()
    oracle = Normal(prior.mean, (prior.log_var / 2).exp())
    torch.testing.assert_close(prior.log_prob(z), oracle.log_prob(z).sum(-1))
    torch.testing.assert_close(prior.rate(mean, log_var), kl_divergence(posterior, oracle).sum(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mixture_is_torchs_mixture_also_far_out_and_for_narrow_components(dtype: torch.dtype) -> None:
    prior = vae_with(MixtureOfGaussians(9), latent_dim=4, spread=2.0).prior
    z = torch.cat([prior.sample(200), 20 * torch.randn(3, 20, 4)], 1).to(dtype)
    for member in range(3):
        mean, log_var, logits = (value[member].double() for value in (prior.mean, prior.log_var, prior.logits))
        components = Independent(Normal(mean, (log_var / 2).exp()), 1)
        oracle = MixtureSameFamily(Categorical(logits=logits), components).log_prob(z[member].double())
        value = prior.log_prob(z)[member]
        assert value.dtype == dtype
        rounding = 1e-9 if dtype == torch.float64 else 1e-4
        torch.testing.assert_close(value.double(), oracle, rtol=rounding, atol=10 * rounding)


@EVERY
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_any_family_trains_resumes_and_is_saved(
    family: Callable[[], Prior], precision: Precision, tmp_path: Path
) -> None:
    pixels = torch.randint(256, (60, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def trainer(betas: list[float], seeds: list[int]) -> Trainer:
        vae = VAE(MLP(1, 16, 2), (1, 4, 4), seeds, prior=family())
        return Trainer(vae, pixels, torch.arange(60), betas=betas, seeds=seeds, batch_size=16, precision=precision)

    together = trainer([1.0, 0.2, 1.0], SEEDS)
    before = copy.deepcopy(together.vae.prior)
    together.advance(40)
    for name, parameter in together.vae.prior.named_parameters():
        assert parameter.dtype == torch.float32
        assert (parameter != before.get_parameter(name)).flatten(1).any(1).all(), name
    alone = trainer([0.2], [5])
    alone.advance(20)
    resumed = trainer([0.2], [5])
    resumed.load_state(alone.state())
    resumed.advance(40)
    for name, parameter in resumed.vae.named_parameters():
        expected = together.vae.get_parameter(name)[1:2]
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=1e-5 if precision == "float32" else 1e-2)
    vae = together.vae
    vae.save(tmp_path / "vae.safetensors")
    z = torch.randn(3, 5, 2)
    log_prob = vae.prior.log_prob(z)
    for other in (load_model(tmp_path / "vae.safetensors"), copy.deepcopy(vae), vae.only([0, 1, 2])):
        assert type(other.prior) is type(vae.prior)
        assert to_settings(other.prior) == to_settings(vae.prior)
        assert torch.equal(other.prior.log_prob(z), log_prob)
        # A prior made of the encoder is made of its own model's.
        for parameter in other.encoder.parameters():
            parameter.data.zero_()
        assert torch.equal(vae.prior.log_prob(z), log_prob)
        assert torch.equal(other.prior.log_prob(z), log_prob) == (not isinstance(other.prior, VampPrior))


def test_the_working_copy_of_a_prior_is_float32() -> None:
    class Watched(StandardGaussian):
        def rate(self, mean: Tensor, log_var: Tensor, z: Tensor | None = None) -> Tensor:
            assert mean.dtype == log_var.dtype == z.dtype == torch.float32
            seen.append(self.origin.dtype)
            return super().rate(mean, log_var, z)

    seen: list[torch.dtype] = []
    vae = VAE(MLP(1, 16, 2), (1, 4, 4), [0], prior=Watched())
    pixels = torch.zeros(8, 16, dtype=torch.uint8)
    Trainer(vae, pixels, torch.arange(8), betas=[1.0], seeds=[0], batch_size=4, precision="bfloat16").advance(2)
    assert seen == [torch.float32] * 2


def test_a_vae_builds_a_copy_of_the_prior_that_it_is_given() -> None:
    given = MixtureOfGaussians(4)
    first, second = (VAE(MLP(1, 8, 2), (1, 4, 4), [0, 1], prior=given) for _ in range(2))
    assert not given.is_built
    assert first.prior is not second.prior
    assert (first.prior.members, first.prior.latent_dim) == (2, 2)
    assert torch.equal(first.prior.mean, second.prior.mean)
    assert not torch.equal(first.prior.mean[0], first.prior.mean[1])


def test_a_prior_has_a_label() -> None:
    priors = [StandardGaussian(), DiagonalGaussian(), MixtureOfGaussians(20), VampPrior(5)]
    assert [one.label for one in priors] == ["gaussian", "diagonal gaussian", "mixture of 20", "vamp prior"]


@pytest.mark.parametrize("components", [0, -1, True])
def test_an_impossible_number_of_components_is_refused(components: int) -> None:
    with pytest.raises(ValueError, match="MixtureOfGaussians: components is"):
        MixtureOfGaussians(components)


def test_a_prior_that_is_not_built_has_no_samples_and_no_sizes() -> None:
    for prior in (StandardGaussian(), MixtureOfGaussians(3)):
        with pytest.raises(ValueError, match=r"is not built; call build"):
            prior.sample(2)
    with pytest.raises(ValueError, match="latent_dim is 0"):
        DiagonalGaussian().build(0, [torch.Generator()])
