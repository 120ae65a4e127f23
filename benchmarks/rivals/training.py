"""What the ensemble's training is compared with: a plain loop, and pythae's trainer, on the same networks."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH, WIDTH, LATENT, LEARNING_RATE = 128, 512, 10, 1e-3


@dataclass(frozen=True)
class Contestant:
    """A way to train `models` models; `advance` makes that many steps of each, `steps` a round."""

    models: int
    steps: int
    advance: Callable[[int], object]


def layer_sizes(inputs: int, depth: int) -> tuple[list[int], list[int]]:
    return [inputs, *[WIDTH] * depth, 2 * LATENT], [LATENT, *[WIDTH] * depth, inputs]


def mlp(sizes: list[int]) -> nn.Sequential:
    layers = [(nn.Linear(inputs, outputs), nn.ReLU()) for inputs, outputs in pairwise(sizes)]
    return nn.Sequential(*[module for layer in layers for module in layer][:-1])


class PlainVAE(nn.Module):
    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        self.encoder, self.decoder = (mlp(sizes) for sizes in layer_sizes(inputs, depth))

    def forward(self, x: Tensor, beta: float) -> Tensor:
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        rate = (mean.square() + log_var.exp() - 1 - log_var).sum() / 2
        return (distortion + beta * rate) / len(x)


def plain(images: Tensor, depth: int, steps: int, *, fused: bool = False, autocast: bool = False) -> Contestant:
    """Return the loop that one writes by hand, on float32 images in memory."""
    model = PlainVAE(images.shape[1], depth).to(images.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=fused or None)

    def advance(steps: int) -> None:
        for rows in torch.randperm(len(images), device=images.device)[: steps * BATCH].split(BATCH):
            with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
                loss = model(images[rows], beta=1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return Contestant(1, steps, advance)


def pythae(images: Tensor, depth: int, steps: int, folder: str, *, fused: bool = False) -> Contestant:
    """Return the epoch loop of pythae's own trainer, on as many images as make up a round's steps.

    Its set-up, its saving of models (to `folder`) and its progress bar are not timed.
    """
    from pythae.data.datasets import BaseDataset
    from pythae.models import BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import ProgressBarCallback

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("pythae")]:
        logging.getLogger(name).setLevel(logging.ERROR)
    networks = [mlp(sizes) for sizes in layer_sizes(images.shape[1], depth)]

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = networks[0]

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_var = self.network(x).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = networks[1]

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    settings = BetaVAEConfig(images.shape[1:], latent_dim=LATENT, reconstruction_loss="bce", beta=1.0)
    config = BaseTrainerConfig(
        folder,
        per_device_train_batch_size=BATCH,
        optimizer_cls="Adam",
        optimizer_params={"fused": True} if fused else None,
        learning_rate=LEARNING_RATE,
        no_cuda=True,
    )
    some = BaseDataset(images[: steps * BATCH], torch.ones(steps * BATCH))
    trainer = BaseTrainer(BetaVAE(settings, Encoder(), Decoder()), some, training_config=config)
    trainer.prepare_training()
    handler = trainer.callback_handler
    handler.callbacks = [one for one in handler.callbacks if not isinstance(one, ProgressBarCallback)]
    return Contestant(1, steps, lambda _: trainer.train_step(epoch=1))
