"""Rate and distortion against the model itself, and their standard errors against repeated sampling."""

import pytest
import torch
from torch import Tensor

from ratereg.evaluation import distortion, encode, importance_weighted_bound, mean_over_images
from ratereg.evaluation.standard_errors import two_stage_covariance
from ratereg.models import MLP, VAE


@pytest.fixture
def vae() -> VAE:
    return VAE(MLP(1, 16, 3), (1, 4, 4), seeds=[0, 1])


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(0, 256, (23, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_encodings_are_the_models_own_and_rates_its_kl(vae: VAE, pixels: Tensor) -> None:
    rows = torch.tensor([5, 2, 20])
    encodings = encode(vae, pixels, rows, batch_size=2)
    mean, log_var = vae.encode(pixels[rows].float().div(255).unsqueeze(0))
    torch.testing.assert_close(encodings.mean, mean)
    torch.testing.assert_close(encodings.rate.float(), vae.prior.rate(mean, log_var), rtol=1e-5, atol=1e-5)


def test_bytes_and_floats_in_the_unit_interval_are_the_same_images(vae: VAE, pixels: Tensor) -> None:
    rows, floats = torch.arange(23), pixels.float() / 255
    encodings = [encode(vae, given, rows) for given in (pixels, floats)]
    torch.testing.assert_close(*(vars(one) for one in encodings), rtol=0, atol=0)
    measured = [
        distortion(vae, given, rows, encodings[0], torch.Generator().manual_seed(0), population=23)
        for given in (pixels, floats)
    ]
    assert torch.equal(torch.stack(measured[0]), torch.stack(measured[1]))
    for given in (pixels.reshape(23, 1, 4, 4), floats, floats.reshape(23, 1, 4, 4)):
        bounds = [importance_weighted_bound(vae, x, 2, torch.Generator().manual_seed(1)) for x in (pixels, given)]
        assert torch.equal(bounds[0].per_image, bounds[1].per_image)
    with pytest.raises(ValueError, match="pixels is from 0 to 255; give floats"):
        encode(vae, pixels.clamp(0, 255).float(), torch.arange(23).repeat(20))


def test_the_error_of_a_whole_set_covers_repeated_draws(vae: VAE, pixels: Tensor) -> None:
    rows, generator = torch.arange(23), torch.Generator().manual_seed(4)
    encodings = encode(vae, pixels, rows)
    draws = [distortion(vae, pixels, rows, encodings, generator, population=23, draws=8) for _ in range(60)]
    means, errors = (torch.stack(values) for values in zip(*draws, strict=True))
    torch.testing.assert_close(means.std(0), errors.mean(0), rtol=0.35, atol=0)


@pytest.mark.parametrize("images", [5, 30, 60])
def test_two_stage_errors_match_repeated_sampling(images: int) -> None:
    generator = torch.Generator().manual_seed(images)
    truth = torch.randn(60, generator=generator).double()
    estimates, variances = [], []
    for _ in range(2000):
        chosen = truth[torch.randperm(60, generator=generator)[:images]]
        values = chosen + 0.7 * torch.randn(3, images, generator=generator).double()
        estimates.append(values.mean())
        variances.append(two_stage_covariance(values, values, 60))
    torch.testing.assert_close(torch.stack(variances).mean(), torch.stack(estimates).var(), rtol=0.15, atol=0)


def test_the_mean_rate_of_a_subset_has_the_spread_between_images_as_its_error(vae: VAE, pixels: Tensor) -> None:
    encodings = encode(vae, pixels, torch.arange(10))
    mean, error = mean_over_images(encodings.rate_per_draw, 23)
    torch.testing.assert_close(mean, encodings.rate.mean(1))
    torch.testing.assert_close(error, (encodings.rate.var(1) * (1 / 10 - 1 / 23)).sqrt())
    assert (mean_over_images(encodings.rate_per_draw, 10)[1] == 0).all()


def test_one_draw_has_no_error_and_is_refused() -> None:
    with pytest.raises(ValueError, match="draws is 1"):
        two_stage_covariance(torch.zeros(1, 4).double(), torch.zeros(1, 4).double(), 4)
