"""Anybody's encoder and decoder as an ensemble of one."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ratereg.models import (
    MLP,
    VAE,
    Bernoulli,
    DiagonalGaussian,
    Gaussian,
    LatentVariableModel,
    Likelihood,
    MixtureOfGaussians,
    SingleModel,
    StandardGaussian,
)

SHAPE = (1, 2, 3)


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :2], torch.zeros_like(x[:, :2])


def decode(z: Tensor) -> Tensor:
    return z.repeat(1, 3)


class Foreign(nn.Module):
    """A convolutional VAE as others write them: images in, images of probabilities out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(1, 4, (2, 3))
        self.decoder = nn.ConvTranspose2d(2, 1, (2, 3))

    def encode(self, x: Tensor) -> Independent:
        loc, log_scale = self.encoder(x).flatten(1).chunk(2, dim=1)
        return Independent(Normal(loc, log_scale.exp()), 1)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(z[:, :, None, None]))


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)], ids=str)
def test_a_wrapped_vae_encodes_and_decodes_as_itself(likelihood: Likelihood) -> None:
    vae = VAE(MLP(1, 8, 2), SHAPE, seeds=[4], likelihood=likelihood)

    def encode_one(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = vae.encode(x)
        return mean[0], log_var[0]

    single = SingleModel(encode_one, lambda z: vae.decode(z[None])[0], likelihood)
    images = torch.randint(256, (9, *SHAPE), dtype=torch.uint8)
    for x in (images, images.flatten(1), images.flatten(1)[None], images / 255):
        torch.testing.assert_close(single.encode(x), vae.encode(x))
    z = torch.randn(1, 9, 2)
    assert torch.equal(single.decode(z), vae.decode(z))
    assert torch.equal(
        single.prior.sample(5, torch.Generator().manual_seed(0)), vae.prior.sample(5, torch.Generator().manual_seed(0))
    )


def test_a_foreign_model_of_images_distributions_and_probabilities_is_one_of_logits() -> None:
    foreign = Foreign().double()
    single = SingleModel(foreign.encode, foreign.decode, image_shape=SHAPE, probabilities=True)
    images = torch.rand(9, *SHAPE).double()
    mean, log_var = single.encode(images.float())
    assert mean.shape == log_var.shape == (1, 9, 2)
    posterior = foreign.encode(images)
    torch.testing.assert_close(mean[0], posterior.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(log_var[0].exp(), posterior.variance, rtol=1e-5, atol=1e-6)
    z = torch.randn(1, 9, 2, requires_grad=True, dtype=torch.float64)
    logits = single.decode(z)
    assert logits.shape == (1, 9, 6)
    torch.testing.assert_close(single.likelihood.mean(logits)[0].view(9, *SHAPE), foreign.decode(z[0]))
    torch.testing.assert_close(logits[0].view(9, *SHAPE), foreign.decoder(z[0][:, :, None, None]))
    (gradient,) = torch.autograd.grad(logits.sum(), z)
    (expected,) = torch.autograd.grad(foreign.decoder(z[0][:, :, None, None]).sum(), z)
    torch.testing.assert_close(gradient, expected)


def test_a_plain_normal_is_a_posterior_and_certain_pixels_have_finite_logits() -> None:
    single = SingleModel(lambda x: Normal(x[:, :2], 0.5), lambda z: (z > 0).float().repeat(1, 3), probabilities=True)
    _, log_var = single.encode(torch.rand(4, 6))
    torch.testing.assert_close(log_var.exp(), torch.full((1, 4, 2), 0.25))
    logits = single.decode(torch.tensor([[[-1.0, 1.0]]]))
    assert logits.isfinite().all()
    torch.testing.assert_close(torch.sigmoid(logits[0, 0, :2]), torch.tensor([0.0, 1.0]), rtol=0, atol=1e-6)


def test_it_is_a_latent_variable_model_of_one_member() -> None:
    model = SingleModel(encode, decode)
    assert isinstance(model, LatentVariableModel)
    assert (model.members, model.device, model.likelihood) == (1, torch.device("cpu"), Bernoulli())
    assert isinstance(model.prior, StandardGaussian)
    assert SingleModel(encode, decode, device="meta").device == torch.device("meta")


def test_the_prior_is_built_when_the_latent_dimensions_are_known() -> None:
    model = SingleModel(encode, decode)
    with pytest.raises(ValueError, match="is not built"):
        model.prior.sample(3)
    model.encode(torch.rand(4, 6))
    assert model.prior.sample(3).shape == (1, 3, 2)
    assert SingleModel(encode, decode, latent_dim=2).prior.sample(3).shape == (1, 3, 2)
    with pytest.raises(ValueError, match="2 latents, but the prior has 3"):
        SingleModel(encode, decode, latent_dim=3).encode(torch.rand(4, 6))


def test_a_trained_prior_is_taken_and_one_without_trained_parameters_is_not() -> None:
    trained = VAE(MLP(1, 8, 2), SHAPE, [0], prior=DiagonalGaussian()).prior
    with torch.no_grad():
        trained.mean += 3
    model = SingleModel(encode, decode, prior=trained)
    mean, log_var = model.encode(torch.zeros(4, 6))
    torch.testing.assert_close(model.prior.rate(mean, log_var), torch.full((1, 4), 9.0))
    with pytest.raises(ValueError, match="the prior 'mixture of 3' is not trained; give one that is built"):
        SingleModel(encode, decode, prior=MixtureOfGaussians(3)).encode(torch.rand(4, 6))


def test_modules_are_given_the_type_of_their_parameters_and_keep_their_gradients() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> list[Tensor]:
            return list(self.linear(x).chunk(2, dim=-1))

    decoder = nn.Linear(2, 6)
    model = SingleModel(Encoder().double(), decoder)
    mean, _ = model.encode(torch.rand(1, 3, 6))
    assert mean.dtype == torch.float64
    z = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    parameters = model.decode(z)
    assert parameters.dtype == torch.float32
    parameters.sum().backward()
    torch.testing.assert_close(z.grad, decoder.weight.sum(0).double().expand(1, 3, 2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x[:, :2], r"encode returned torch.float32 \(4, 2\).*; return the mean and the log-variance"),
        (lambda x: (x, x, x), "encode returned a tuple of 3"),
        (lambda x: torch.distributions.Laplace(x, 1.0), "encode returned a Laplace"),
        (lambda x: (x[:, :2], None), r"log-variance is a NoneType for a batch of 4; return floats \(4, 2"),
        (lambda x: (x[0], x[0]), r"encode's mean is torch.float32 \(6,\)"),
        (lambda x: (x[:3], x[:3]), r"encode's mean is torch.float32 \(3, 6\) .* for a batch of 4"),
        (lambda x: (x.long(), x), "torch.int64 .* for a batch of 4; return floats"),
        (lambda x: (x[:, :2], x[:, :1]), r"log-variance is .* \(4, 1\) .* return floats \(4, 2\)"),
    ],
)
def test_a_wrong_encoder_is_refused_with_the_remedy(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SingleModel(wrong, decode).encode(torch.zeros(1, 4, 6))


@pytest.mark.parametrize(
    ("wrong", "settings", "message"),
    [
        (lambda z: (z, z), {}, r"decode's result is a tuple of 2 for a batch of 4; return floats \(4, pixels\)"),
        (lambda z: z.view(4, 1, 2), {}, r"decode's result is torch.float32 \(4, 1, 2\)"),
        (lambda z: z[:1], {}, r"\(1, 2\) .* for a batch of 4"),
        (decode, {"image_shape": (1, 2, 4)}, r"\(4, 6\) .* return floats \(4, 8\)"),
        (lambda z: z.view(4, 1, 1, 2), {"image_shape": SHAPE}, r"is torch.float32 \(4, 1, 1, 2\)"),
        (lambda z: z + 1.5, {"probabilities": True}, r"returned 1.5 as a probability; return values in \[0, 1\]"),
    ],
)
def test_a_wrong_decoder_is_refused_with_the_remedy(wrong: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SingleModel(encode, wrong, **settings).decode(torch.zeros(1, 4, 2))


def test_impossible_models_are_refused() -> None:
    make = inspect.unwrap(SingleModel.__init__)
    with pytest.raises(ValueError, match="decode is None; give a function or a module"):
        make(object.__new__(SingleModel), encode, None)
    with pytest.raises(ValueError, match=r"probabilities is True beside Gaussian\(scale=0.1\)"):
        SingleModel(encode, decode, Gaussian(), probabilities=True)
    with pytest.raises(ValueError, match=r"x has shape \(4, 1, 3, 2\); give images .* of \(1, 2, 3\)"):
        SingleModel(encode, decode, image_shape=SHAPE).encode(torch.rand(4, 1, 3, 2))
