"""Images in every form that users have them, their reconstructions and samples, and members of an ensemble."""

import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ratereg.models import (
    LARGEST_LOG_VAR,
    MLP,
    VAE,
    Convolutional,
    DiagonalGaussian,
    Gaussian,
    MixtureOfGaussians,
)
from ratereg.models.pixels import flat_pixels

SHAPE = (2, 4, 8)
PIXELS = 64


@pytest.fixture
def vae() -> VAE:
    return VAE(MLP(1, 16, 3), SHAPE, [0, 1, 2], prior=MixtureOfGaussians(4))


def bytes_of(*shape: int) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_every_form_of_the_same_images_is_encoded_alike(vae: VAE) -> None:
    images = bytes_of(5, *SHAPE)
    floats = images.float() / 255
    expected = vae.encode(floats.flatten(1).unsqueeze(0))
    assert [value.shape for value in expected] == [(3, 5, 3)] * 2
    for x in (images, images.flatten(1), images.unsqueeze(0), images.expand(3, *images.shape), images.flatten(1)[None]):
        for form in (x, x.float() / 255, (x.float() / 255).double()):
            for ours, theirs in zip(vae.encode(form), expected, strict=True):
                torch.testing.assert_close(ours, theirs)
    binary = images > 127
    torch.testing.assert_close(vae.encode(binary), vae.encode(binary.float()))


def test_members_may_have_images_of_their_own(vae: VAE) -> None:
    images = bytes_of(3, 5, *SHAPE)
    mean, log_var = vae.encode(images)
    for member in range(3):
        alone = vae.only([member]).encode(images[member])
        torch.testing.assert_close((mean[member : member + 1], log_var[member : member + 1]), alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_bytes_are_divided_by_255_and_floats_never_not_even_small_ones(dtype: torch.dtype) -> None:
    images = bytes_of(5, *SHAPE)
    before = images.clone()
    assert torch.equal(flat_pixels(images, SHAPE)[0], images.flatten(1).float() / 255)
    assert torch.equal(images, before)
    for value in (0.0, 1e-3, 0.5, 1.0):
        x = torch.full((2, PIXELS), value, dtype=dtype)
        assert torch.equal(flat_pixels(x, SHAPE), x.unsqueeze(0))


def test_a_gaussian_likelihood_takes_any_finite_floats() -> None:
    vae = VAE(MLP(1, 16, 3), SHAPE, [0], Gaussian())
    assert vae.encode(3 * torch.randn(2, PIXELS))[0].isfinite().all()
    with pytest.raises(ValueError, match="x holds NaN or infinity"):
        vae.encode(torch.full((2, PIXELS), math.nan))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(5, 2, 8, 4), r"x has shape \(5, 2, 8, 4\); give images .*, of \(2, 4, 8\), or flattened"),
        (torch.rand(5, 1, 4, 8), r"x has shape \(5, 1, 4, 8\)"),
        (torch.rand(2, 4, 8), r"x has shape \(2, 4, 8\)"),
        (torch.rand(5, 63), r"x has shape \(5, 63\)"),
        (torch.rand(64), r"x has shape \(64,\)"),
        (torch.rand(2, 5, 64), "of each of 3 members or of all alike"),
        (torch.rand(2, 5, *SHAPE), "of each of 3 members or of all alike"),
        (torch.rand(1, 1, 5, *SHAPE), "x has shape"),
        (torch.ones(5, 64).long(), "x is torch.int64 .*; give a tensor of uint8, or of floats"),
        (255 * torch.ones(5, 64), r"x is from 255 to 255; give floats in \[0, 1\], or uint8 from 0 to 255"),
        (torch.linspace(-0.1, 1, 64)[None], "x is from -0.1 to 1;"),
        (torch.full((1, 64), math.nan), "x holds NaN or infinity"),
        (torch.full((1, 64), math.inf), "x holds NaN or infinity"),
    ],
    ids=lambda value: str(getattr(value, "shape", "")),
)
@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_images_that_do_not_fit_are_refused(vae: VAE, x: Tensor, message: str, method: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(vae, method)(x)


@pytest.mark.parametrize("network", [MLP(1, 16, 3), Convolutional(4, 3)], ids=str)
@pytest.mark.parametrize("likelihood", [None, Gaussian(0.3)], ids=str)
def test_a_reconstruction_is_the_mean_image_of_the_posterior_mean(network: Any, likelihood: Any) -> None:
    vae = VAE(network, SHAPE, [0, 1], likelihood)
    images = bytes_of(5, *SHAPE)
    mean, _ = vae.encode(images)
    expected = vae.likelihood.mean(vae.decode(mean)).clamp(0, 1).view(2, 5, *SHAPE)
    ours = vae.reconstruct(images)
    torch.testing.assert_close(ours, expected)
    assert not ours.requires_grad
    assert ((ours >= 0) & (ours <= 1)).all()
    assert vae.reconstruct(images[:0]).shape == (2, 0, *SHAPE)


def test_pictures_are_of_bfloat16_models_too(vae: VAE) -> None:
    vae.encoder.bfloat16()
    vae.decoder.bfloat16()
    assert vae.dtype == torch.bfloat16
    assert vae.reconstruct(bytes_of(2, *SHAPE)).dtype == vae.sample(2).dtype == torch.float32


def test_samples_are_decoded_from_the_prior(vae: VAE) -> None:
    drawn = vae.sample(7, torch.Generator().manual_seed(3))
    z = vae.prior.sample(7, torch.Generator().manual_seed(3))
    torch.testing.assert_close(drawn, torch.sigmoid(vae.decode(z)).view(3, 7, *SHAPE))
    assert not drawn.requires_grad
    with pytest.raises(ValueError, match="sample: count is 0"):
        vae.sample(0)


def test_the_losses_are_those_of_a_reparameterized_sample(vae: VAE) -> None:
    x, noise = torch.rand(3, 5, PIXELS), torch.randn(3, 5, 3)
    distortion, rate = vae(x, noise)
    mean, log_var = vae.encode(x)
    z = mean + (log_var / 2).exp() * noise
    torch.testing.assert_close(distortion, vae.likelihood.distortion(vae.decode(z), x))
    torch.testing.assert_close(rate, vae.prior.rate(mean, log_var, z))


@pytest.mark.parametrize("log_var", [-1e5, -90.0, 90.0, 1e5, math.nan])
def test_an_absurd_posterior_has_no_rate_and_its_neighbors_keep_theirs(log_var: float) -> None:
    vae = VAE(MLP(1, 16, 3), SHAPE, [0, 1], prior=DiagonalGaussian())
    x, noise = torch.rand(2, 5, PIXELS), torch.zeros(2, 5, 3)
    _, before = vae(x, noise)
    with torch.no_grad():
        vae.encoder.layers[1].bias[1, 0, 3] = log_var
    _, rate = vae(x, noise)
    assert torch.equal(rate[0], before[0])
    assert rate[1].isnan().all()
    assert math.log(torch.finfo(torch.float32).max) > LARGEST_LOG_VAR
    assert math.exp(-LARGEST_LOG_VAR) > torch.finfo(torch.float32).tiny


def test_some_members_are_an_ensemble_with_the_same_weights(vae: VAE) -> None:
    x = bytes_of(4, *SHAPE)
    reconstructed, sampled = vae.reconstruct(x), vae.sample(4, torch.Generator().manual_seed(0))
    for members in (slice(1, 3), [2, 0], [1]):
        one = vae.only(members)
        assert one.members == one.prior.members == len(reconstructed[members])
        torch.testing.assert_close(one.reconstruct(x), reconstructed[members])
        torch.testing.assert_close(one.sample(4, torch.Generator().manual_seed(0)), sampled[members])
    for name, parameter in vae.only(slice(1, 3)).named_parameters():
        assert parameter.data_ptr() == vae.get_parameter(name)[1].data_ptr()
        assert parameter.requires_grad
    vae.decoder.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in vae.only([0]).decoder.parameters())


@pytest.mark.parametrize(
    ("shape", "seeds", "message"),
    [
        (SHAPE, [], r"VAE: seeds is \[\]; give one integer per member"),
        (SHAPE, [0, 0.5], r"VAE: seeds is \[0, 0.5\]"),
        (SHAPE, [True], r"VAE: seeds is \[True\]"),
        ((0, 4, 8), [0], r"VAE: image_shape is \(0, 4, 8\)"),
        ((4, 8), [0], r"VAE: image_shape is \(4, 8\); give channels, height and width"),
    ],
)
def test_impossible_ensembles_are_refused(shape: Any, seeds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(VAE.__init__)(object.__new__(VAE), MLP(1, 8, 2), shape, seeds)
