import pytest
import torch
from torch import Tensor

from ratereg.evaluation import Encodings, distortion, encode
from ratereg.evaluation.sampling import two_stage_covariance
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


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 100])
def test_every_image_counts_alike_whatever_the_short_last_batch(vae: VAE, pixels: Tensor, batch_size: int) -> None:
    rows = torch.arange(23)
    exact = encode(vae, pixels, rows)
    # Without noise the distortion of an image does not depend on where the batches are cut.
    certain = Encodings(exact.mean, torch.full_like(exact.log_var, -200), exact.rate)
    x = pixels.float().div(255).unsqueeze(0)
    oracle = vae.likelihood.distortion(vae.decode(exact.mean), x).double().mean(1)
    generator = torch.Generator().manual_seed(0)
    mean, error = distortion(vae, pixels, rows, certain, generator, population=23, batch_size=batch_size)
    torch.testing.assert_close(mean, oracle, rtol=1e-6, atol=1e-6)
    assert (error < 1e-5).all()


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


def test_one_draw_has_no_error_and_is_refused() -> None:
    with pytest.raises(ValueError, match="draws is 1"):
        two_stage_covariance(torch.zeros(1, 4).double(), torch.zeros(1, 4).double(), 4)
