"""The optimum of an infinitely flexible decoder, against brute force in float64, limits and perturbation."""

import inspect
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ratereg.evaluation import Encodings, distances_to_training, encode, memorization, optimal_decoder
from ratereg.models import MLP, VAE, Bernoulli, Gaussian

TRAIN, TEST = torch.tensor([7, 3, 11, 0, 9, 14, 2, 5]), torch.tensor([1, 4, 6, 8, 10])


@pytest.fixture
def vae() -> VAE:
    return VAE(MLP(1, 16, 2), (1, 3, 3), seeds=[0, 1]).double()


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(0, 256, (15, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def brute_force(z: Tensor, mean: Tensor, log_var: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x*(z) and the perplexity of its weights, one query and one component at a time."""
    averages, perplexities = [], []
    for query in z:
        density = torch.distributions.Normal(mean, (log_var / 2).exp()).log_prob(query).sum(-1)
        weights = (density - density.max()).exp()
        weights = weights / weights.sum()
        averages.append((weights[:, None] * x).sum(0))
        perplexities.append((-(torch.special.xlogy(weights, weights)).sum()).exp())
    return torch.stack(averages), torch.stack(perplexities)


def narrowed(encodings: Encodings, log_var: float) -> Encodings:
    return replace(encodings, log_var=torch.full_like(encodings.log_var, log_var))


@pytest.mark.parametrize("log_var", [-30.0, -8.0, -2.0, 2.0])
@pytest.mark.parametrize("block_size", [1, 3, 8, 100])
def test_the_optimal_decoder_agrees_with_brute_force(pixels: Tensor, log_var: float, block_size: int) -> None:
    generator = torch.Generator().manual_seed(1)
    mean, z = torch.randn(8, 2, generator=generator).double(), torch.randn(20, 2, generator=generator).double()
    widths = log_var + torch.randn(8, 2, generator=generator).double() / 10
    average, perplexity = optimal_decoder(z, mean, widths, pixels, TRAIN, block_size=block_size)
    expected = brute_force(z, mean, widths, pixels[TRAIN].double() / 255)
    torch.testing.assert_close((average, perplexity), expected, rtol=1e-9, atol=1e-9)
    assert ((perplexity >= 1 - 1e-12) & (perplexity <= 8 + 1e-12)).all()


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)])
def test_the_optimum_minimizes_the_expected_distortion_of_a_table_of_outputs(
    pixels: Tensor, likelihood: Bernoulli | Gaussian
) -> None:
    # A decoder without limits is a table: one free output per point of a grid in z, shared by all images.
    mean, log_var = torch.linspace(-1.5, 1.5, 8).double()[:, None], torch.full((8, 1), -1.5).double()
    grid = torch.linspace(-3, 3, 13).double()[:, None]
    x = pixels[TRAIN].double() / 255
    density = torch.distributions.Normal(mean[:, 0], (log_var[:, 0] / 2).exp()).log_prob(grid).exp()

    def expected_distortion(parameters: Tensor) -> Tensor:
        return (density * likelihood.distortion(parameters[:, None].expand(-1, 8, -1), x)).sum() / 8

    average, _ = optimal_decoder(grid, mean, log_var, pixels, TRAIN)
    optimum = (average.logit() if isinstance(likelihood, Bernoulli) else average).requires_grad_()
    least = expected_distortion(optimum)
    (gradient,) = torch.autograd.grad(least, optimum)
    assert gradient.abs().max() < 1e-12
    generator = torch.Generator().manual_seed(2)
    for scale in (1e-2, 1.0):
        step = scale * torch.randn(optimum.shape, generator=generator)
        assert expected_distortion(optimum + step) > least


def test_all_that_is_returned_agrees_with_brute_force(vae: VAE, pixels: Tensor) -> None:
    train, test = (narrowed(encode(vae, pixels, rows), -5.0) for rows in (TRAIN, TEST))
    result = memorization(vae, pixels, TRAIN, TEST, train, test, torch.Generator().manual_seed(3))
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z = test.mean + (test.log_var / 2).exp() * noise
    outputs, x = vae.likelihood.mean(vae.decode(z)).double(), pixels.double() / 255
    for member in range(2):
        optimum, perplexity = brute_force(z[member], train.mean[member], train.log_var[member], x[TRAIN])
        torch.testing.assert_close(result.perplexity[member], perplexity)
        distances = (outputs[member][:, None] - x[TRAIN]).square().sum(-1).sqrt()
        torch.testing.assert_close(result.output_to_nearest[member], distances.min(1).values)
        assert torch.equal(result.nearest[member], TRAIN[distances.argmin(1)])
        to_image, to_optimum = ((outputs[member] - other).square().sum(-1).sqrt() for other in (x[TEST], optimum))
        torch.testing.assert_close(result.output_to_image[member], to_image)
        torch.testing.assert_close(result.output_to_optimum[member], to_optimum)
        torch.testing.assert_close(result.optimum_to_image[member], (optimum - x[TEST]).square().sum(-1).sqrt())


@pytest.mark.parametrize(("batch_size", "block_size"), [(1, 8), (2, 3), (5, 1)])
def test_sizes_of_batches_change_nothing_but_rounding(
    vae: VAE, pixels: Tensor, batch_size: int, block_size: int
) -> None:
    train, test = (encode(vae, pixels, rows) for rows in (TRAIN, TEST))
    whole = memorization(vae, pixels, TRAIN, TEST, train, test, torch.Generator().manual_seed(4))
    sizes = {"batch_size": batch_size, "block_size": block_size}
    parts = memorization(vae, pixels, TRAIN, TEST, train, test, torch.Generator().manual_seed(4), **sizes)
    torch.testing.assert_close(vars(parts), vars(whole), rtol=1e-9, atol=1e-9)


def test_a_model_of_single_precision_gives_the_same_to_its_rounding(vae: VAE, pixels: Tensor) -> None:
    results = []
    for model in (vae, VAE(vae.network, vae.image_shape, seeds=[0, 1])):
        assert model is vae or model.dtype == torch.float32
        train, test = (narrowed(encode(model, pixels, rows), -3.0) for rows in (TRAIN, TEST))
        results.append(memorization(model, pixels, TRAIN, TEST, train, test, torch.Generator().manual_seed(7)))
        assert results[-1].perplexity.dtype == results[-1].output_to_nearest.dtype == torch.float64
    torch.testing.assert_close(vars(results[1]), vars(results[0]), rtol=1e-4, atol=1e-4)


def test_leading_axes_change_nothing(pixels: Tensor) -> None:
    z, mean, log_var = torch.randn(2, 3, 4, 2), torch.randn(2, 3, 8, 2), torch.randn(2, 3, 8, 2)
    average, perplexity = optimal_decoder(z, mean, log_var, pixels, TRAIN)
    assert average.shape == (2, 3, 4, 9)
    alone = optimal_decoder(z[1, 2], mean[1, 2], log_var[1, 2], pixels, TRAIN)
    torch.testing.assert_close((average[1, 2], perplexity[1, 2]), alone)


def test_images_that_are_missing_or_not_those_of_the_encodings_are_refused(vae: VAE, pixels: Tensor) -> None:
    train, test = (encode(vae, pixels, rows) for rows in (TRAIN, TEST))
    with pytest.raises(ValueError, match="rows has 5 entries for 8 posteriors"):
        inspect.unwrap(optimal_decoder)(test.mean, train.mean, train.log_var, pixels, TEST)
    with pytest.raises(ValueError, match="rows holds 0 to 15"):
        inspect.unwrap(optimal_decoder)(test.mean, train.mean, train.log_var, pixels, TRAIN + TRAIN.eq(14))
    for change, message in [
        ({"test": TEST[:0]}, "test is empty"),
        ({"train": TRAIN[:0]}, "train is empty"),
        ({"train": TRAIN.int()}, r"train is torch\.int32"),
        ({"train_encodings": test}, "train_encodings has shape"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"block_size": -5}, "block_size is -5"),
    ]:
        given = {"train": TRAIN, "test": TEST, "train_encodings": train, "test_encodings": test} | change
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(memorization)(vae, pixels, **given)


# Distances in the unit cube of the factors


@pytest.mark.parametrize("train", [1, 700, 3000])
def test_distances_are_those_of_brute_force_and_circles_close(train: int) -> None:
    generator = torch.Generator().manual_seed(1)
    known, asked = (torch.rand(count, 3, generator=generator, dtype=torch.float64) for count in (train, 2000))
    periods = [1.2, math.inf, 1.0]
    apart = (asked[:, None] - known).abs()
    for factor, period in ((0, 1.2), (2, 1.0)):
        apart[..., factor] = torch.minimum(apart[..., factor], period - apart[..., factor])
    torch.testing.assert_close(distances_to_training(known, asked, periods), apart.norm(dim=2).amin(1))
    near = distances_to_training(torch.tensor([[0.0, 0, 0]]).double(), torch.tensor([[1.0, 0, 0.95]]).double(), periods)
    torch.testing.assert_close(near, torch.tensor([math.hypot(0.2, 0.05)]).double())


def test_a_training_image_is_at_no_distance_from_itself() -> None:
    factors = torch.rand(50, 2, dtype=torch.float64)
    assert (distances_to_training(factors, factors[20:], [math.inf, 1.0]) == 0).all()
    assert distances_to_training(factors, factors[:0], [1.0, 1.0]).shape == (0,)


def test_factors_that_do_not_fit_are_refused() -> None:
    some = torch.zeros(4, 2, dtype=torch.float64)
    measure = inspect.unwrap(distances_to_training)
    for arguments, message in [
        ((some, some, [1.0]), r"train has shape \(4, 2\).*1 factors"),
        ((some, some[:, :1], [1.0, 1.0]), r"test has shape \(4, 1\)"),
        ((some[:0], some, [1.0, 1.0]), "train has 0 images"),
        ((some * math.nan, some, [1.0, 1.0]), "train has shape"),
        ((some, some, [1.0, 0.0]), r"periods is \[1.0, 0.0\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            measure(*arguments)
