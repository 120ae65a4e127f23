"""The linear VAE, in which all that the estimators estimate has a closed form. All in nats.

Encoder and decoder are affine maps and the likelihood is Gaussian with a fixed standard deviation s:
q(z|x) = N(V x + c, diag(exp(log_var))) and p(x|z) = N(W z + b, s^2 I). Rate and distortion then depend on the images by
their mean and covariance alone, and the weights that minimize distortion + beta x rate are known for every beta.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import MultivariateNormal

from ratereg.models import Gaussian, StandardGaussian

__all__ = ["LinearVAE", "spiked_limit"]

Mean = Float[Tensor, " pixels"]
"""The mean of images."""

Covariance = Float[Tensor, "pixels pixels"]
"""The covariance of images, with divisor N."""

_GRID = 20_001
"""Points of the grid that the Marchenko-Pastur law is integrated on."""

_ROUNDING = 1e-6
"""How far, relative to its size, a covariance that comes from float32 may be from symmetric and semi-definite."""


@dataclass(frozen=True, eq=False)
class LinearVAE:
    """An ensemble of linear VAEs, as any other model for the estimators, and in closed form.

    The closed forms take the mean and the covariance of given images or of a population, and raise ValueError if these
    do not fit.

    Attributes:
        decoder_weight, decoder_bias: W and b.
        encoder_weight, encoder_bias: V and c.
        log_var: of q(z|x), the same for all images.
        likelihood: p(x|z), with s as its `scale`.
    """

    decoder_weight: Float64[Tensor, "member pixels latent"]
    decoder_bias: Float64[Tensor, "member pixels"]
    encoder_weight: Float64[Tensor, "member latent pixels"]
    encoder_bias: Float64[Tensor, "member latent"]
    log_var: Float64[Tensor, "member latent"]
    likelihood: Gaussian
    prior: StandardGaussian = field(default_factory=StandardGaussian)

    @classmethod
    def optimum(
        cls,
        mean: Mean,
        covariance: Covariance,
        betas: Sequence[float],
        latent_dim: int,
        scale: float,
    ) -> "LinearVAE":
        """Return the minimizers of distortion + beta x rate, one member per beta.

        With the eigenvalues l_1 >= l_2 >= ... and eigenvectors u_i of the covariance, and tau = beta s^2, latent i is
        active if l_i > tau: w_i = sqrt(l_i - tau) u_i, its posterior has mean sqrt(l_i - tau) / l_i u_i' (x - mean) and
        variance tau / l_i. Else it equals the prior, and the decoder ignores it.

        Arguments:
            mean: mean of the training images.
            covariance: covariance of the training images, positive semi-definite.
            betas: weights of the rate.
            latent_dim: latent dimensions d.
            scale: the decoder's standard deviation s, in units of pixels.

        Raises:
            ValueError: the covariance is none, or not of that mean; a beta is not positive; or `latent_dim` is not from
                1 to the number of pixels.

        Source: Tipping and Bishop (1999), section 3, for beta = 1; Lucas et al. (2019) for the encoder.
        """
        mean, covariance = _checked_moments(mean, covariance)
        weights = torch.tensor(list(betas), dtype=torch.float64, device=mean.device)
        if len(weights) == 0 or not (torch.isfinite(weights) & (weights > 0)).all():
            raise ValueError(f"LinearVAE.optimum: betas is {list(betas)}; give at least one, all positive.")
        if not 1 <= latent_dim <= len(mean):
            raise ValueError(f"LinearVAE.optimum: latent_dim is {latent_dim}; give 1 to {len(mean)}, the pixels.")
        likelihood = Gaussian(scale)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        if eigenvalues[0] < -_ROUNDING * eigenvalues[-1].abs():
            raise ValueError(f"covariance has the eigenvalue {eigenvalues[0]:.3g}; give none below zero.")
        leading = eigenvalues.flip(0)[:latent_dim]
        directions = eigenvectors.flip(1)[:, :latent_dim]
        tau = weights[:, None] * scale**2
        # An inactive latent has l_i = tau here: weight 0 and variance 1.
        kept = torch.maximum(leading, tau)
        gain = (kept - tau).sqrt()
        encoder_weight = (gain / kept)[..., None] * directions.T
        return cls(
            decoder_weight=directions * gain[:, None, :],
            decoder_bias=mean.repeat(len(weights), 1),
            encoder_weight=encoder_weight,
            encoder_bias=-encoder_weight @ mean,
            log_var=(tau / kept).log(),
            likelihood=likelihood,
        )

    @property
    def members(self) -> int:
        """The number of members."""
        return self.decoder_weight.shape[0]

    @property
    def device(self) -> torch.device:
        """The device that holds the parameters."""
        return self.decoder_weight.device

    def encode(
        self, x: Float[Tensor, "#member batch pixels"]
    ) -> tuple[Float64[Tensor, "member batch latent"], Float64[Tensor, "member batch latent"]]:
        """Return the mean and log-variance of q(z|x)."""
        mean = x.double() @ self.encoder_weight.mT + self.encoder_bias[:, None]
        return mean, self.log_var[:, None].expand_as(mean)

    def decode(self, z: Float[Tensor, "#member batch latent"]) -> Float64[Tensor, "member batch pixels"]:
        """Return the mean of p(x|z)."""
        return z.double() @ self.decoder_weight.mT + self.decoder_bias[:, None]

    def rate(self, mean: Mean, covariance: Covariance) -> Float64[Tensor, " member"]:
        """Return the rate of images with this mean and covariance."""
        z_mean, z_covariance = self.aggregate(mean, covariance)
        square = z_mean.square() + z_covariance.diagonal(dim1=-2, dim2=-1)
        return (square - 1 - self.log_var).sum(-1) / 2

    def distortion(self, mean: Mean, covariance: Covariance) -> Float64[Tensor, " member"]:
        """Return the distortion of images with this mean and covariance."""
        mean, covariance = _checked_moments(mean, covariance)
        error = mean - self.decode(self.encode(mean[None, None])[0])[:, 0]
        forward = self.encoder_weight @ covariance
        gram = self.decoder_weight.mT @ self.decoder_weight
        explained = 2 * _trace(forward @ self.decoder_weight) - _trace(gram @ forward @ self.encoder_weight.mT)
        noise = (gram.diagonal(dim1=-2, dim2=-1) * self.log_var.exp()).sum(-1)
        square = covariance.trace() - explained + error.square().sum(-1) + noise
        variance = self.likelihood.scale**2
        return (square / variance + len(mean) * math.log(2 * math.pi * variance)) / 2

    def aggregate(
        self, mean: Mean, covariance: Covariance
    ) -> tuple[Float64[Tensor, "member latent"], Float64[Tensor, "member latent latent"]]:
        """Return the mean and covariance of the aggregate posterior q(z); it is Gaussian where q(x) is."""
        mean, covariance = _checked_moments(mean, covariance)
        spread = self.encoder_weight @ covariance @ self.encoder_weight.mT
        return self.encoder_weight @ mean + self.encoder_bias, spread + torch.diag_embed(self.log_var.exp())

    def mutual_information(self, covariance: Covariance) -> Float64[Tensor, " member"]:
        """Return I(x;z) for Gaussian images with this covariance: (log det Cov(z) - log det Cov(z|x)) / 2."""
        _, z_covariance = self.aggregate(covariance.new_zeros(len(covariance)), covariance)
        return (torch.logdet(z_covariance) - self.log_var.sum(-1)) / 2

    def marginal_kl(self, mean: Mean, covariance: Covariance) -> Float64[Tensor, " member"]:
        """Return KL(q(z) || p(z)) for Gaussian images with this mean and covariance."""
        z_mean, z_covariance = self.aggregate(mean, covariance)
        square = z_mean.square().sum(-1) + _trace(z_covariance)
        return (square - z_mean.shape[-1] - torch.logdet(z_covariance)) / 2

    def log_prob(self, x: Float[Tensor, "*#member image pixels"]) -> Float64[Tensor, "member image"]:
        """Return log p(x) of each image (Tipping and Bishop, 1999, section 3)."""
        log_prob: Tensor = self._marginal().log_prob(x.double())
        return log_prob

    def expected_log_prob(self, mean: Mean, covariance: Covariance) -> Float64[Tensor, " member"]:
        """Return the mean of log p(x) over images with this mean and covariance."""
        mean, covariance = _checked_moments(mean, covariance)
        marginal = self._marginal()
        spread = _trace(torch.linalg.solve(marginal.covariance_matrix.squeeze(1), covariance))
        at_mean: Tensor = marginal.log_prob(mean)
        return at_mean.squeeze(1) - spread / 2

    def posterior(
        self, x: Float[Tensor, "*#member image pixels"], power: float = 1.0
    ) -> tuple[Float64[Tensor, "member image latent"], Float64[Tensor, "member latent latent"]]:
        """Return the mean and covariance of the density proportional to p(z) p(x|z)^power, the true p(z|x) for 1.

        It is N(M^-1 W' (x - b), s^2/power M^-1) with M = W' W + s^2/power I; for 1/beta it is the decoder's optimal
        encoder at slope -beta.

        Source: Tipping and Bishop (1999), section 3.

        Raises:
            ValueError: `power` is not positive.
        """
        if not power > 0:
            raise ValueError(f"LinearVAE.posterior: power is {power}; give a positive number.")
        variance = self.likelihood.scale**2 / power
        identity = torch.eye(self.log_var.shape[-1], dtype=torch.float64, device=self.device)
        inverse = torch.linalg.inv(self.decoder_weight.mT @ self.decoder_weight + variance * identity)
        mean = (x.double() - self.decoder_bias[:, None]) @ self.decoder_weight @ inverse
        return mean, variance * inverse

    def _marginal(self) -> MultivariateNormal:
        """Return p(x) of each member, N(b, W W' + s^2 I), with an axis for images."""
        identity = torch.eye(self.decoder_weight.shape[-2], dtype=torch.float64, device=self.device)
        covariance = self.decoder_weight @ self.decoder_weight.mT + self.likelihood.scale**2 * identity
        return MultivariateNormal(self.decoder_bias.unsqueeze(1), covariance.unsqueeze(1))


def _checked_moments(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float64; raise ValueError unless they are of one size, finite, and the covariance symmetric."""
    if covariance.shape != (*mean.shape, *mean.shape):
        raise ValueError(
            f"covariance has shape {tuple(covariance.shape)} and mean {tuple(mean.shape)}; give (pixels, pixels) and "
            "(pixels,)."
        )
    if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise ValueError("mean or covariance holds NaN or infinity; give finite values.")
    if (covariance - covariance.T).abs().max() > _ROUNDING * covariance.abs().max():
        raise ValueError("covariance is not symmetric; give (C + C.T) / 2.")
    return mean.double(), covariance.double()


def _trace(matrices: Float64[Tensor, "member latent latent"]) -> Float64[Tensor, " member"]:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def spiked_limit(
    spikes: Float[Tensor, " spike"], noise: float, *, pixels: int, images: int
) -> tuple[Float64[Tensor, " pixels"], Float64[Tensor, " pixels"]]:
    """Return the variances that N images show in P pixels, and the true ones, for large N and P, gamma = P/N.

    The population's covariance has the eigenvalues `spikes`, and v = `noise` for all others. A spike
    l > v (1 + sqrt gamma) is seen in training as l (1 + gamma v/(l - v)), along a direction that has squared overlap
    (1 - gamma v^2/(l - v)^2) / (1 + gamma v/(l - v)) with its own. A weaker one is not seen: its place is taken by
    noise, whose eigenvalues in training are the quantiles of the Marchenko-Pastur law, up to v (1 + sqrt gamma)^2,
    along directions of variance v. The noise's share makes the traces those of finite sets.

    The first values are the eigenvalues of the training images' covariance, falling, the second the population's mean
    squares along its eigenvectors, about the training images' mean.

    Raises:
        ValueError: `noise` is not positive, a spike is not greater than `noise`, there are P spikes or more, or too few
            images to see more than the spikes.

    Source: Marchenko and Pastur (1967), noise; Baik, Ben Arous and Peche (2005), threshold; Paul (2007), spikes.
    """
    if not noise > 0:
        raise ValueError(f"spiked_limit: noise is {noise}; give a positive variance.")
    if not (torch.isfinite(spikes) & (spikes > noise)).all():
        raise ValueError(f"spiked_limit: spikes is {spikes.tolist()}; give variances greater than noise, {noise}.")
    if len(spikes) >= pixels:
        raise ValueError(f"spiked_limit: pixels is {pixels}, with {len(spikes)} spikes; give more pixels than spikes.")
    if images < 2:
        raise ValueError(f"spiked_limit: images is {images}; give at least 2.")
    gamma = pixels / images
    strength = spikes.double().sort(descending=True).values / noise - 1
    trace = pixels + strength.sum()
    strength = strength[strength > math.sqrt(gamma)]
    inflation = 1 + gamma / strength
    seen, true = (strength + 1) * inflation, 1 + strength * (1 - gamma / strength.square()) / inflation
    left = (1 - 1 / images) * trace - seen.sum()
    # N images less their mean have N - 1 directions.
    positive = min(pixels, images - 1) - len(seen)
    if left <= 0 or positive < 1:
        raise ValueError(f"spiked_limit: images is {images}, too few for spikes of {spikes.tolist()}; give more.")
    bulk = torch.zeros(pixels - len(seen), dtype=torch.float64, device=seen.device)
    bulk[:positive] = _marchenko_pastur_quantiles(positive, gamma).to(seen.device)
    rest = ((1 + 1 / images) * trace - true.sum()) / len(bulk)
    return noise * torch.cat([seen, bulk * left / bulk.sum()]), noise * torch.cat([true, rest.expand_as(bulk)])


def _marchenko_pastur_quantiles(count: int, gamma: float) -> Float64[Tensor, " count"]:
    """Return the quantiles of the law's positive part at the middles of `count` equal shares, falling."""
    angle = torch.linspace(0, math.pi, _GRID, dtype=torch.float64)
    value = 1 + gamma - 2 * math.sqrt(gamma) * angle.cos()
    # The law's density in the angle; for gamma = 1 its first value is a limit, of which one point is nothing.
    density = angle.sin().square() / value.clamp_min(1e-300)
    cumulative = torch.cumulative_trapezoid(density, angle)
    shares = (torch.arange(count, 0, -1, dtype=torch.float64) - 0.5) / count
    return value[torch.searchsorted(cumulative, shares * cumulative[-1])]
