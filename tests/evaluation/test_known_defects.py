"""Defects known from other implementations of VAEs, each with a test, named for what holds here, that would find it.

What minibatch estimates of the information can and cannot show is in test_minibatch.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ratereg.evaluation import decompose_rate, distortion, encode, evidence_by_quadrature, importance_weighted_bound
from ratereg.measurements import Latents
from ratereg.models import MLP, VAE, Bernoulli, Gaussian
from ratereg.studies import Data, Results, Study, load_or_run
from ratereg.training import Streams, Trainer

IMAGES = 23


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(0, 256, (IMAGES, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def uneven() -> Tensor:
    """Images of which the last ones, a short batch, are far from the others."""
    return torch.cat([torch.zeros(20, 16), torch.ones(3, 16)]).mul(255).byte()


def exact(pixels: Tensor) -> Tensor:
    return pixels.float().div(255)


# Means of batch means, in which a short last batch weighs more; and a `return` inside the loop over batches.


@pytest.mark.parametrize("batch_size", [1, 4, 20, 22, 23, 1000])
def test_every_image_is_measured_and_weighs_alike_whatever_the_batches(uneven: Tensor, batch_size: int) -> None:
    vae, rows = VAE(MLP(1, 16, 2), (1, 4, 4), seeds=[0, 1]), torch.arange(IMAGES)
    encodings = encode(vae, uneven, rows, batch_size=batch_size)
    mean, log_var = vae.encode(exact(uneven).unsqueeze(0))
    oracle = vae.prior.rate(mean.double(), log_var.double())
    assert oracle[:, -1].sub(oracle[:, 0]).abs().min() > 1e-3
    torch.testing.assert_close(encodings.rate, oracle, rtol=1e-5, atol=1e-6)

    certain = replace(encodings, mean=mean.detach(), log_var=torch.full_like(log_var, -200.0))
    found, _ = distortion(vae, uneven, rows, certain, torch.Generator(), population=IMAGES, batch_size=batch_size)
    each = vae.likelihood.distortion(vae.decode(mean), exact(uneven).unsqueeze(0)).double()
    torch.testing.assert_close(found, each.mean(1), rtol=1e-6, atol=1e-6)

    bounds = [
        importance_weighted_bound(vae, exact(uneven), 6, torch.Generator().manual_seed(1), batch_size=size)
        for size in (batch_size, IMAGES)
    ]
    torch.testing.assert_close(bounds[0].per_image, bounds[1].per_image, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(bounds[0].bound, bounds[0].per_image.sum(1) / IMAGES)


# Evaluation on the training set, called test; and the best of several steps on the test set, instead of the last.


def hostile(folder: Path) -> Study:
    """A study whose test images have little in common with the training images: training makes them worse."""
    generator = np.random.default_rng(0)
    left = np.zeros((40, 6, 6))
    left[:, :, :3] = generator.random((40, 1, 1))
    np.savez(folder / "hostile.npz", train=left, test=left[:25, :, ::-1].copy())
    return Study(
        Data(str(folder / "hostile.npz")),
        MLP(1, 16, 2),
        betas=[1.0, 0.1],
        steps=200,
        batch_size=10,
        learning_rate=1e-2,
        precision="float32",
    ).measuring(Latents(count=25))


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Results, VAE]:
    """A study's results, and the same ensemble trained by hand."""
    monkeypatch.setenv("RATEREG_CACHE", str(tmp_path / "cache"))
    study = hostile(tmp_path)
    images = study.axis_data[0].load()
    seeds = [member.seed for member in study.members]
    vae = VAE(study.axis_networks[0], images.image_shape, seeds)
    trainer = Trainer(
        vae,
        images.pixels.flatten(1),
        images.train,
        betas=study.axis_betas,
        seeds=seeds,
        batch_size=study.batch_size,
        learning_rate=study.learning_rate,
    )
    trainer.advance(study.steps)
    return load_or_run(study, progress=False), vae


def by_hand(vae: VAE, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Rates and distortions, the latter a mean over many samples."""
    x = exact(pixels.flatten(1)).unsqueeze(0)
    mean, log_var = (values.detach() for values in vae.encode(x))
    generator, total = torch.Generator().manual_seed(5), 0
    for _ in range(200):
        noise = torch.randn(mean.shape[1:], generator=generator)
        total = total + vae.likelihood.distortion(vae.decode(mean + (log_var / 2).exp() * noise), x).detach().double()
    return vae.prior.rate(mean.double(), log_var.double()).mean(1), total.mean(1) / 200


def test_each_partition_is_measured_on_its_own_images_with_the_last_steps_model(
    measured: tuple[Results, VAE],
) -> None:
    results, vae = measured
    images = results.study.axis_data[0].load()
    curves = results.table.pivot_table(index="step", columns=["partition", "member"], values="distortion")
    # The temptation: by the test images an earlier step was the best.
    assert (curves["test"].iloc[-1] > curves["test"].min() + 1).all()
    assert (curves["train"].iloc[-1] < curves["train"].min() + 0.05).all()
    for partition, rows in (("train", images.train), ("test", images.test)):
        found: pd.DataFrame = results.final[results.final["partition"] == partition].set_index("member")
        rate, mean_distortion = by_hand(vae, images.pixels[rows])
        np.testing.assert_allclose(found["rate"], rate.numpy(), rtol=1e-3)
        error = (found["distortion"] - mean_distortion.numpy()).abs()
        assert (error < 5 * found["distortion_se"] + 1e-3 * found["distortion"]).all()
        assert (found["images"] == len(rows)).all()
        assert (found["step"] == results.study.steps).all()
    # What is kept beside the table is of the same model.
    mean = vae.encode(exact(images.pixels[images.test].flatten(1)).unsqueeze(0))[0].detach()
    kept = torch.from_numpy(results.arrays["test_mean"])
    torch.testing.assert_close(kept.sum(1), mean.sum(1), rtol=1e-3, atol=1e-3)


# A mutual information of minibatches, which cannot exceed log B.


def test_the_information_of_all_images_exceeds_what_a_minibatch_could_show() -> None:
    images, batch = 2000, 64
    mean = torch.randn(images, 4, generator=torch.Generator().manual_seed(0))
    log_var = torch.full_like(mean, 2 * np.log(1e-3))
    whole = decompose_rate(mean, log_var, torch.Generator().manual_seed(1))
    plugged_in = decompose_rate(mean[:batch], log_var[:batch], torch.Generator().manual_seed(1))
    assert plugged_in.mutual_information_mc <= np.log(batch) + 1e-6
    assert abs(whole.mutual_information - np.log(images)) < 1e-3
    assert whole.mutual_information > plugged_in.mutual_information + 3


# Signs of negative log-likelihoods.


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.5)], ids=str)
def test_a_better_model_has_a_higher_evidence_and_bound_and_a_lower_distortion(
    likelihood: Bernoulli | Gaussian,
) -> None:
    vae = VAE(MLP(1, 16, 1), (1, 4, 4), seeds=[0, 0], likelihood=likelihood).double()
    x = (torch.linspace(0, 1, 30).double()[:, None] > torch.linspace(0, 1, 16).double()).double()
    with torch.no_grad():
        # The second member expects the mean image, the first one its negative.
        good = (x.mean(0).clamp(0.05, 0.95)).logit() if isinstance(likelihood, Bernoulli) else x.mean(0)
        for member, center in ((0, -good), (1, good)):
            vae.decoder.layers[-1].weight[member] = 0.02
            vae.decoder.layers[-1].bias[member, 0] = center
    bound = importance_weighted_bound(vae, x, 20, torch.Generator().manual_seed(0))
    evidence = evidence_by_quadrature(vae, x).per_image.mean(1)
    mean = vae.encode(x.unsqueeze(0))[0]
    distortions = likelihood.distortion(vae.decode(mean), x.unsqueeze(0)).mean(1).detach()
    assert (distortions > 0).all()
    assert distortions[1] < distortions[0] - 1
    assert bound.bound[1] > bound.bound[0] + 1
    assert evidence[1] > evidence[0] + 1
    assert (bound.bound <= evidence + 4 * bound.bound_se + 1e-3).all()
    # exp of a log-likelihood of binary images is a probability.
    if isinstance(likelihood, Bernoulli):
        assert bound.quantity == "log-likelihood"
        assert (evidence < 0).all()


# The KL weighted otherwise in training than in validation.


@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0])
def test_training_descends_distortion_plus_beta_times_the_rate_that_is_reported(pixels: Tensor, beta: float) -> None:
    rows = torch.arange(IMAGES)
    vae, oracle = (VAE(MLP(1, 16, 2), (1, 4, 4), seeds=[3]) for _ in range(2))
    trainer = Trainer(vae, pixels, rows, betas=[beta], seeds=[3], batch_size=IMAGES)
    streams = Streams([3], IMAGES, IMAGES, 2)
    noise, order = streams.noise(0), streams.batch(0)[0]
    trainer.advance(1)
    # After one step Adam's mean is a tenth of the gradient.
    gradients = {name: 10 * trainer.state()[f"adam/exp_avg/{name}"] for name, _ in vae.named_parameters()}

    x = exact(pixels[order]).unsqueeze(0)
    mean, log_var = oracle.encode(x)
    fit = oracle.likelihood.distortion(oracle.decode(mean + (log_var / 2).exp() * noise), x).mean()
    reported = encode(oracle, pixels, rows).rate.mean()
    analytic = oracle.prior.rate(mean, log_var).mean()
    torch.testing.assert_close(analytic.double(), reported, rtol=1e-5, atol=1e-6)
    (fit + beta * analytic).backward()
    for name, ours in oracle.named_parameters():
        torch.testing.assert_close(gradients[name], ours.grad, rtol=1e-4, atol=1e-6, msg=name)
    # And what the bar shows is the rate itself, not beta times it.
    torch.testing.assert_close(trainer.rate[0].double(), reported, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(trainer.distortion[0], fit.detach(), rtol=1e-5, atol=1e-5)
