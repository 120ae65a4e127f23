"""The base class of priors, and the density that most of them are made of."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Prior", "gaussian_log_prob"]


class Prior(nn.Module):
    """A family of densities p(z) over the latent space, one density a member.

    A subclass takes its settings in the constructor and keeps each under the name of its argument. It creates its
    parameters in `build`, with a leading member axis, and defines `log_prob` and `sample`. A family whose rate has a
    closed form also sets `closed_form` and overrides `rate`.

    Attributes:
        closed_form: whether `rate` is exact, and ignores the sample of z.
    """

    closed_form: ClassVar[bool] = False
    origin: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        # The zero of each member's latent space: it has the sizes and the device, and moves with the parameters.
        self.register_buffer("origin", None, persistent=False)

    def build(
        self,
        latent_dim: int,
        generators: Sequence[torch.Generator],
        *,
        image_shape: tuple[int, int, int] | None = None,
        encode: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> "Prior":
        """Create the parameters in float32, and return the prior itself. A subclass calls this first.

        Arguments:
            latent_dim: dimensions of the latent space.
            generators: one random generator a member, on the CPU.
            image_shape: channels, height, width of the images.
            encode: the model's encoder, for priors made of it: from pixels in [0, 1], (member, batch, pixels), to mean
                and log-variance, (member, batch, latent).

        Raises:
            ValueError: `latent_dim` is not positive, or there is no generator.
        """
        if latent_dim < 1 or not generators:
            raise ValueError(
                f"{type(self).__name__}.build: latent_dim is {latent_dim}, for {len(generators)} generators; give both."
            )
        self.origin = torch.zeros(len(generators), 1, latent_dim, dtype=torch.float32)
        return self

    @property
    def is_built(self) -> bool:
        """Whether the prior has its parameters."""
        return self.origin is not None

    @property
    def members(self) -> int:
        """The number of members."""
        return len(self._built())

    @property
    def latent_dim(self) -> int:
        """Dimensions of the latent space."""
        return self._built().shape[2]

    @property
    def label(self) -> str:
        """The prior in words, for tables and legends."""
        return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(self).__name__).strip()

    def log_prob(self, z: Float[Tensor, "member batch latent"]) -> Float[Tensor, "member batch"]:
        """Return log p(z) in nats, in the type of `z`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob(z); define it to return nats.")

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "member count latent"]:
        """Draw latents, from random numbers that the members share.

        Arguments:
            count: latents a member.
            generator: on the CPU.
        """
        raise NotImplementedError(f"{type(self).__name__} has no sample(count, generator); define it to return draws.")

    def rate(
        self,
        mean: Float[Tensor, "member batch latent"],
        log_var: Float[Tensor, "member batch latent"],
        z: Float[Tensor, "member batch latent"],
    ) -> Float[Tensor, "member batch"]:
        """Return log q(z|x) - log p(z) in nats, at a sample `z` of the Gaussian posterior.

        Its expectation is KL(q(z|x) || p(z)).
        """
        return gaussian_log_prob(z, mean, log_var) - self.log_prob(z)

    def noise(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "1 count latent"]:
        """Return standard normal noise for `sample`, the same for all members."""
        origin = self._built()
        drawn = torch.randn(1, count, self.latent_dim, generator=generator, dtype=origin.dtype, device="cpu")
        return drawn.to(origin.device)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in inspect.signature(type(self)).parameters)

    def _built(self) -> Tensor:
        if self.origin is None:
            raise ValueError(f"{type(self).__name__} is not built; call build(latent_dim, generators), as VAE does.")
        return self.origin


def gaussian_log_prob(
    z: Float[Tensor, "*#lead latent"], mean: Float[Tensor, "*#lead latent"], log_var: Float[Tensor, "*#lead latent"]
) -> Float[Tensor, "..."]:
    """Return the log density of diagonal Gaussians at `z`, in nats, in the type of `z`; leading axes broadcast."""
    mean, log_var = mean.to(z.dtype), log_var.to(z.dtype)
    return -((z - mean).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(-1) / 2
