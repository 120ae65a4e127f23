"""The log-likelihood of models with one or two latents by quadrature, in nats: an oracle for the sampled bounds."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ratereg.evaluation.images import Images, Quantity, batches, checked_images, encode_batches, quantity_of
from ratereg.evaluation.posteriors import check_at_least, log_prior
from ratereg.models import LatentVariableModel

__all__ = ["EvidenceByQuadrature", "evidence_by_quadrature"]

_NODES = 4
"""Nodes of the Gauss-Legendre rule along each side of a cell."""

_RESOLVED = 12.0
"""Nats that the log density may vary by over a cell's nodes for the difference to its parent to say its error."""

_REACH, _FURTHEST_MEAN = 8.0, 40.0
"""The standard Gaussian's mass beyond 8 is 1e-15, but images may draw the posterior there: the grid is half as far
again as the encoder's means, which at 40 cost 800 nats."""

_LEVELS = 40
"""How often a cell may be halved: float64 sees no smaller ones."""

_MOST_CELLS = 10_000
"""Cells of an image beyond the first ones: they bound the memory."""


@dataclass(frozen=True, eq=False)
class EvidenceByQuadrature:
    """The log-likelihood or pseudo-evidence of each image, in nats, float64.

    Attributes:
        per_image: log of the integral over z of p(z) exp(-D(x, z)).
        error: how far that may be off: the change in the last subdivision, summed over cells, with all that lies in
            cells at the border. A peak narrower than the first cells and far from the encoder's mean may be missed.
        quantity: what `per_image` is.
    """

    per_image: Float64[Tensor, "member image"]
    error: Float64[Tensor, "member image"]
    quantity: Quantity


@torch.no_grad()
def evidence_by_quadrature(
    model: LatentVariableModel,
    x: Images,
    *,
    tolerance: float = 1e-3,
    batch_size: int = 2048,
) -> EvidenceByQuadrature:
    """Return log of the integral over z of p(z) exp(-D(x, z)) for models of one or two latents, in nats.

    The first cells, of width 1 and 4 or 16 nodes each, are the same for all images and decoded once. Cells that may
    still hold more than their share of the tolerated error are halved along each side; those near the encoder's mean
    also while none of their nodes comes up to the value at that mean, so that narrow peaks are found. Memory does not
    grow with images x pixels. A member that encodes an image further than 40 from the origin has NaN.

    Arguments:
        model: the ensemble.
        x: images.
        tolerance: of the error, in nats. Models in float32 do not reach a very small one; the result's `error` says
            what was reached.
        batch_size: latents decoded at once.

    Raises:
        ValueError: the model has more than two latents, `x` does not fit the model, or a number is out of range.
    """
    x = checked_images(model, x)
    check_at_least(1, batch_size=batch_size)
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance is {tolerance}; give a positive number.")
    images = x.shape[1]
    mean, _ = encode_batches(model, images, batches(x, batch_size))
    dtype, latent = mean.dtype, mean.shape[-1]
    if latent > 2:
        raise ValueError(f"model has {latent} latents; quadrature takes one or two. Sample for more.")
    mean = mean.masked_fill(~(mean.abs() <= _FURTHEST_MEAN).flatten(1).all(1)[:, None, None], math.nan).double()
    reach = math.ceil(max(_REACH, 1.5 * float(mean.abs().nan_to_num(0).max())))
    rule = _Rule(latent, model.device)
    along = torch.arange(-reach, reach, dtype=torch.float64, device=model.device)
    corner = torch.cartesian_prod(*[along] * latent).view(-1, latent)
    first = _Cells(corner, torch.ones_like(corner[:, 0]))
    values = _log_joint(model, x, dtype, batch_size, rule.points(first))
    results = []
    for image in range(images):
        log_joint = partial(_log_joint, model, x[:, image : image + 1], dtype, batch_size)
        results.append(_integrate(log_joint, rule, first, values[:, image], mean[:, image], reach, tolerance))
    per_image, error = (torch.stack(each, 1) for each in zip(*results, strict=True))
    return EvidenceByQuadrature(per_image, error, quantity_of(model, x))


def _log_joint(
    model: LatentVariableModel,
    x: Float[Tensor, "#member image pixels"],
    dtype: torch.dtype,
    batch_size: int,
    z: Float64[Tensor, "#member point latent"],
) -> Float64[Tensor, "member image point"]:
    """Return log p(z) - D(x, z) of all images at the same points; NaN where it is not finite."""
    parts = []
    for some in z.split(max(1, batch_size // x.shape[1]), 1):
        parameters = model.decode(some.to(dtype)).unsqueeze(1).expand(-1, x.shape[1], -1, -1)
        cost = model.likelihood.distortion(parameters, x.unsqueeze(2)).double()
        parts.append(log_prior(model.prior, some.expand(model.members, -1, -1)).unsqueeze(1) - cost)
    values = torch.cat(parts, 2)
    return values.masked_fill(~values.isfinite(), math.nan)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cubes that tile the latent space."""

    corner: Float64[Tensor, "cell latent"]
    width: Float64[Tensor, " cell"]

    @property
    def middle(self) -> Float64[Tensor, "cell latent"]:
        return self.corner + self.width[:, None] / 2

    def halved(self) -> "_Cells":
        """Halve the cells along each side; the parts of a cell are next to each other."""
        width, latent = self.width / 2, self.corner.shape[1]
        halves = torch.tensor(list(itertools.product([0, 1], repeat=latent)), device=width.device)
        corner = self.corner.unsqueeze(1) + width[:, None, None] * halves
        return _Cells(corner.flatten(0, 1), width.repeat_interleave(2**latent))


class _Rule:
    """Gauss-Legendre integration of exponentials over cells."""

    def __init__(self, latent: int, device: torch.device) -> None:
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        along = (torch.from_numpy(nodes / 2 + 0.5), torch.from_numpy(np.log(weights / 2)))
        self.nodes, log_weights = (torch.cartesian_prod(*[a] * latent).view(-1, latent).to(device) for a in along)
        self.log_weights = log_weights.sum(1)

    def points(self, cells: _Cells) -> Float64[Tensor, "1 point latent"]:
        """Return the nodes of all cells."""
        return (cells.corner.unsqueeze(1) + cells.width[:, None, None] * self.nodes).view(1, -1, cells.corner.shape[1])

    def measure(
        self,
        cells: _Cells,
        values: Float64[Tensor, "member point"],
        mean: Float64[Tensor, "member latent"],
        at_mean: Float64[Tensor, "member 1"],
    ) -> tuple[Float64[Tensor, "member cell"], Float64[Tensor, "member cell"], Bool[Tensor, "member cell"]]:
        """Return the log mass of cells, what they might hold at most, and whether their nodes show all there is."""
        values = values.unflatten(1, (-1, len(self.nodes)))
        log_volume = cells.corner.shape[1] * cells.width.log()
        log_mass = (values + self.log_weights).logsumexp(2) + log_volume
        highest, spread = values.amax(2), values.amax(2) - values.amin(2)
        # A concave log density rises from the highest node to the cell's border, or to a peak between nodes, by less
        # than half of what it varies by over the nodes.
        highest_possible = highest + spread / 2
        unseen = ((cells.middle - mean[:, None]).abs().amax(2) < 1.5 * cells.width) & (at_mean > highest + 1)
        highest_possible = torch.where(unseen, at_mean.maximum(highest_possible), highest_possible)
        return log_mass, highest_possible + log_volume, (spread < _RESOLVED) & ~unseen


def _integrate(
    log_joint: Callable[[Float64[Tensor, "#member point latent"]], Float64[Tensor, "member 1 point"]],
    rule: _Rule,
    cells: _Cells,
    values: Float64[Tensor, "member point"],
    mean: Float64[Tensor, "member latent"],
    reach: float,
    tolerance: float,
) -> tuple[Float64[Tensor, " member"], Float64[Tensor, " member"]]:
    """Return the log of the integrals of one image over [-reach, reach] along each latent, and their errors in nats.

    The members share the cells, which are halved where one of them needs it.
    """
    at_mean = log_joint(mean.unsqueeze(1)).squeeze(1)
    log_mass, log_error, _ = rule.measure(cells, values, mean, at_mean)
    parts, most = 2 ** cells.corner.shape[1], len(cells.width) + _MOST_CELLS
    for _ in range(_LEVELS):
        tolerated = log_mass.logsumexp(1, keepdim=True) + math.log(tolerance)
        # If the errors add up to more than is tolerated, one at least exceeds its share.
        exceeds = log_error > tolerated - math.log(len(cells.width))
        split = (exceeds & (log_error.logsumexp(1, keepdim=True) > tolerated)).any(0)
        if not split.any() or len(cells.width) > most:
            break
        new = _Cells(cells.corner[split], cells.width[split]).halved()
        new_mass, potential, resolved = rule.measure(new, log_joint(rule.points(new)).squeeze(1), mean, at_mean)
        before, after = log_mass[:, split], new_mass.unflatten(1, (-1, parts)).logsumexp(2)
        low, high = torch.minimum(after, before), torch.maximum(after, before)
        change = (high + (-torch.expm1(low - high)).log() - math.log(parts)).repeat_interleave(parts, 1)
        new_error = torch.where(resolved, torch.minimum(potential, change), potential)
        cells = _Cells(torch.cat([cells.corner[~split], new.corner]), torch.cat([cells.width[~split], new.width]))
        log_mass = torch.cat([log_mass[:, ~split], new_mass], 1)
        log_error = torch.cat([log_error[:, ~split], new_error], 1)
    log_z = log_mass.logsumexp(1)
    # From the middle, since sums of widths are rounded.
    at_border = cells.middle.abs().amax(1) > reach - cells.width
    doubtful = torch.where(at_border, torch.maximum(log_error, log_mass), log_error)
    lost = mean.isnan().any(1)
    error = (doubtful.logsumexp(1) - log_z).exp().log1p()
    return log_z.masked_fill(lost, math.nan), error.masked_fill(lost, math.nan)
