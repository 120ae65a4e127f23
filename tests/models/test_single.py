"""Plain functions and modules as an ensemble of one."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from ratereg.evaluation.importance import importance_weighted_bound
from ratereg.models import MLP, VAE, Bernoulli, Gaussian, LatentVariableModel, StandardGaussian
from ratereg.models.single import SingleModel


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :2], torch.zeros_like(x[:, :2])


def decode(z: Tensor) -> Tensor:
    return z.repeat(1, 3)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)], ids=str)
def test_the_bound_of_a_wrapped_vae_is_the_vaes_own(likelihood: Bernoulli | Gaussian) -> None:
    vae = VAE(MLP(1, 8, 2), (1, 2, 3), seeds=[4], likelihood=likelihood)

    def encode_one(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = vae.encode(x.unsqueeze(0))
        return mean[0], log_var[0]

    single = SingleModel(encode_one, lambda z: vae.decode(z.unsqueeze(0))[0], likelihood)
    x = torch.rand(9, 6, generator=torch.Generator().manual_seed(0))
    ours, theirs = (importance_weighted_bound(one, x, 5, torch.Generator().manual_seed(1)) for one in (single, vae))
    assert torch.equal(ours.per_image, theirs.per_image)
    assert torch.equal(ours.bound_se, theirs.bound_se)
    assert ours.quantity == theirs.quantity


def test_it_is_a_latent_variable_model_of_one_member() -> None:
    model = SingleModel(encode, decode)
    assert isinstance(model, LatentVariableModel)
    assert (model.members, model.device) == (1, torch.device("cpu"))
    assert (model.likelihood, model.prior) == (Bernoulli(), StandardGaussian())
    assert SingleModel(encode, decode, device="meta").device == torch.device("meta")


def test_modules_are_given_the_type_of_their_parameters_and_keep_their_gradients() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_var = self.linear(x).chunk(2, dim=-1)
            return mean, log_var

    decoder = nn.Linear(2, 6)
    model = SingleModel(Encoder().double(), decoder)
    mean, _ = model.encode(torch.rand(1, 3, 6))
    assert mean.dtype == torch.float64
    z = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    parameters = model.decode(z)
    assert parameters.dtype == torch.float32
    parameters.sum().backward()
    torch.testing.assert_close(z.grad, decoder.weight.sum(0).double().expand(1, 3, 2))
    assert importance_weighted_bound(model, torch.rand(3, 6), 2).bound.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x[:, :2], r"encode returned a tensor of shape \(4, 2\).*; return the mean and the log-variance"),
        (lambda x: (x, x, x), "encode returned a tuple of 3"),
        (
            lambda x: (x[:, :2], None),
            r"encode's log-variance is a NoneType for a batch of 4; return floats \(4, latent",
        ),
        (lambda x: (x[0], x[0]), r"encode's mean is a tensor of shape \(6,\)"),
        (lambda x: (x[:3], x[:3]), r"encode's mean is a tensor of shape \(3, 6\) .* for a batch of 4"),
        (lambda x: (x.long(), x), "type torch.int64 for a batch of 4; return floats"),
        (
            lambda x: (x[:, :2], x[:, :1]),
            r"a mean \(4, 2\) and a log-variance \(4, 1\); return one variance per latent",
        ),
    ],
)
def test_a_wrong_encoder_is_refused_saying_what_would_do(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SingleModel(wrong, decode).encode(torch.zeros(1, 4, 6))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda z: (z, z), r"decode's result is a tuple of 2 for a batch of 4; return floats \(4, pixels\)"),
        (lambda z: z.view(4, 1, 2), r"decode's result is a tensor of shape \(4, 1, 2\)"),
        (lambda z: z[:1], r"shape \(1, 2\) .* for a batch of 4"),
    ],
)
def test_a_wrong_decoder_is_refused_saying_what_would_do(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SingleModel(encode, wrong).decode(torch.zeros(1, 4, 2))


def test_what_cannot_be_called_and_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="decode is None; give a function or a module"):
        inspect.unwrap(SingleModel.__init__)(object.__new__(SingleModel), encode, None)
    with pytest.raises(ValueError, match="x has 5 pixels an image, and the model decodes to 6"):
        importance_weighted_bound(SingleModel(encode, decode), torch.zeros(3, 5), 2)
