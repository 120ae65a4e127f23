"""Binary images: drawn once, or anew at each step of training."""

import inspect
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ratereg import data
from ratereg.data.binarization import binarized
from ratereg.models import MLP, VAE, Bernoulli
from ratereg.training import Streams, Trainer

GRAY = np.random.default_rng(0).integers(0, 256, (60, 6, 5), dtype=np.uint8)


def draws_of(value: int, count: int, seed: int = 0) -> Tensor:
    return binarized(torch.full((count, 1, 10, 10), value, dtype=torch.uint8), np.arange(count), seed=seed)


@pytest.mark.parametrize("value", [0, 1, 77, 200, 254, 255])
def test_a_pixel_is_white_as_often_as_its_value_says(value: int) -> None:
    draws = draws_of(value, 400)
    assert ((draws == 0) | (draws == 255)).all()
    probability = value / 255
    error = math.sqrt(probability * (1 - probability) / draws.numel())
    assert abs(float((draws == 255).double().mean()) - probability) <= 4 * error


def test_pixels_and_images_are_drawn_independently() -> None:
    draws = draws_of(128, 2000)[:, 0, 0, :8].double() / 255
    correlation = torch.corrcoef(torch.cat([draws[1:], draws[:-1]], 1).T)
    assert (correlation - torch.eye(16)).abs().max() < 5 / math.sqrt(2000)


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_a_subset_has_the_bits_of_the_whole_set(binarize: str) -> None:
    whole, again = (data.load(GRAY, binarize=binarize, seed=3) for _ in range(2))
    assert torch.equal(whole.pixels, again.pixels)
    subset = data.load(GRAY, binarize=binarize, seed=3, n_train=7, n_test=4)
    plain = data.load(GRAY, seed=3, n_train=7, n_test=4)
    bits = {tuple(gray.flatten().tolist()): bit for gray, bit in zip(data.load(GRAY).pixels, whole.pixels, strict=True)}
    for gray, bit in zip(plain.pixels, subset.pixels, strict=True):
        assert torch.equal(bit, bits[tuple(gray.flatten().tolist())])
    assert not torch.equal(data.load(GRAY, binarize=binarize, seed=4).pixels, whole.pixels)


def test_both_kinds_are_measured_on_the_same_bits_and_named_apart() -> None:
    plain, static, dynamic = (data.load(GRAY, binarize=kind) for kind in (None, "static", "dynamic"))
    assert torch.equal(static.pixels, dynamic.pixels)
    assert (plain.binarize, static.binarize, dynamic.binarize) == (None, "static", "dynamic")
    assert (plain.gray, static.gray) == (None, None)
    assert torch.equal(dynamic.gray, plain.pixels)
    assert [one.name for one in (plain, static, dynamic)] == [
        "array",
        "array, static binarization",
        "array, dynamic binarization",
    ]
    for one in (static, dynamic):
        assert Bernoulli().is_density(one.pixels.flatten(1).float() / 255)
    assert not Bernoulli().is_density(plain.pixels.flatten(1).float() / 255)


def test_black_and_white_images_stay_as_they_are() -> None:
    assert torch.equal(data.load(GRAY > 99, binarize="static").pixels, data.load(GRAY > 99).pixels)


def test_binarized_refuses_other_types_and_rows() -> None:
    gray = torch.from_numpy(GRAY)[:, None]
    checked = inspect.unwrap(binarized)
    for pixels, rows, message in (
        (gray.float(), np.arange(60), r"pixels has type torch\.float32 and shape \(60, 1, 6, 5\); give uint8"),
        (gray[:, 0], np.arange(60), r"shape \(60, 6, 5\)"),
        (gray, np.arange(59), r"rows has shape \(59,\); give 60 rows"),
        (gray, np.arange(60)[::-1], r"rows .* ascending"),
        (gray, np.arange(60) - 1, r"rows .* not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            checked(pixels, rows)


# Training on draws of its own


def test_draws_change_with_the_step_and_the_seed_and_with_nothing_else() -> None:
    many, one = Streams([4, 9, 4], 50, 8, 3), Streams([9], 50, 8, 3)
    gray = torch.rand(1, 8, 30, generator=torch.Generator().manual_seed(0))
    first = many.thresholds(5, 30)
    assert torch.equal(first[1], one.thresholds(5, 30)[0])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, many.thresholds(6, 30))
    mean = torch.stack([one.thresholds(step, 30) < gray for step in range(2000)]).float().mean(0)
    assert ((mean - gray).abs() <= 5 * (gray * (1 - gray) / 2000).sqrt() + 1e-6).all()


def test_training_sees_binary_images_alike_for_members_of_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    forward = VAE.forward
    monkeypatch.setattr(VAE, "forward", lambda vae, x, noise: (seen.append(x), forward(vae, x, noise))[1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that all members are in one part
    vae, gray = VAE(MLP(1, 16, 2), (1, 6, 5), [0, 0, 1]), torch.from_numpy(GRAY).flatten(1)
    settings = {"betas": [1.0, 0.1, 1.0], "seeds": [0, 0, 1], "batch_size": 8}
    Trainer(vae, gray, torch.arange(40), **settings, binarize=True).advance(12)
    torch.set_num_threads(threads)
    assert all(((x == 0) | (x == 1)).all() for x in seen)
    assert all(torch.equal(x[0], x[1]) and not torch.equal(x[0], x[2]) for x in seen)
    # One image, met in the first pass and in the second, is drawn twice: 40 images of 30 pixels, some of them alike.
    streams = Streams([0], 40, 8, 2)
    order = torch.cat([streams.batch(step)[0] for step in range(10)])
    draws = torch.cat([x[0] for x in seen])[:80]
    first, second = (draws[half][order[half].argsort()] for half in (slice(0, 40), slice(40, 80)))
    assert 0.1 < (first != second).float().mean() < 0.5
