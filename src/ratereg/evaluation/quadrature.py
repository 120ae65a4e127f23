"""The log-likelihood of models with one or two latents by quadrature, in nats: an oracle for the sampled bounds."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ratereg.evaluation.importance import Quantity, checked_images, quantity_of
from ratereg.models import LatentVariableModel

__all__ = ["EvidenceByQuadrature", "evidence_by_quadrature"]

_NODES = 4
"""Nodes of the Gauss-Legendre rule along each side of a cell."""

_RESOLVED = 12.0
"""Nats that the log density may vary by over a cell's nodes for the difference to its parent to say its error."""

_REACH, _FURTHEST_MEAN = 8.0, 40.0
"""The prior's mass beyond 8 is 1e-15, but images may draw the posterior there: the grid is half as far again as the
encoder's means, which at 40 cost 800 nats."""

_LEVELS = 40
"""How often a cell may be halved: float64 sees no smaller ones."""

_IMAGES, _MOST_CELLS = 64, 10_000
"""Images integrated at once, and cells of one of them beyond the first ones: they bound the memory."""


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


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cubes that tile the latent space once for each owner, a pair of member and image."""

    owner: Int64[Tensor, " cell"]
    corner: Float64[Tensor, "cell latent"]
    width: Float64[Tensor, " cell"]
    log_mass: Float64[Tensor, " cell"]
    log_error: Float64[Tensor, " cell"]


@torch.no_grad()
def evidence_by_quadrature(
    model: LatentVariableModel,
    x: Float[Tensor, "*#member image pixels"],
    *,
    tolerance: float = 1e-3,
    width: float = 1.0,
    batch_size: int = 2048,
) -> EvidenceByQuadrature:
    """Return log of the integral over z of p(z) exp(-D(x, z)) for models of one or two latents, in nats.

    The first cells, all latents in [-8, 8], are the same for all images and decoded once. Cells that may still hold
    more than their share of the tolerated error are halved along each side; those near the encoder's mean also while
    none of their nodes comes up to the value at that mean, so that narrow peaks are found. Memory does not grow with
    images x pixels.

    Arguments:
        model: the ensemble.
        x: images, of all members alike or with a leading axis of 1 or of the members.
        tolerance: of the error, in nats. Models in float32 do not reach a very small one; the result's `error` says
            what was reached.
        width: of the first cells, each evaluated at 4 or 16 points.
        batch_size: latents decoded at once.

    Raises:
        ValueError: the model has more than two latents, encodes or decodes to NaN or infinity, or encodes an image
            further than 40 from the origin; `x` does not fit the model; or a number is out of range.
    """
    x = checked_images(model, x)
    for name, value in (("tolerance", tolerance), ("width", width), ("batch_size", batch_size)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; give a positive number.")
    encoded = [model.encode(x[:, here].to(model.device))[0] for here in _slices(x.shape[1], batch_size)]
    mean = torch.cat(encoded, dim=1)
    if mean.shape[-1] > 2:
        raise ValueError(f"model has {mean.shape[-1]} latents; quadrature takes one or two. Sample for more.")
    furthest = float(mean.abs().max())
    if not furthest <= _FURTHEST_MEAN:
        raise ValueError(f"model encodes an image to {furthest:g}; quadrature takes means up to {_FURTHEST_MEAN:g}.")
    reach = width * math.ceil(max(_REACH, 1.5 * furthest) / width)
    parts = [
        _integrate(_Integrand(model, x[:, here].to(model.device), mean[:, here], batch_size), reach, width, tolerance)
        for here in _slices(x.shape[1], _IMAGES)
    ]
    log_evidence, error = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
    return EvidenceByQuadrature(log_evidence, error, quantity_of(model, x))


def _integrate(
    integrand: "_Integrand", reach: float, width: float, tolerance: float
) -> tuple[Float64[Tensor, "member image"], Float64[Tensor, "member image"]]:
    """Return the log of the integrals over [-reach, reach] along each latent, and their errors in nats."""
    cells = _first_cells(integrand, reach, width)
    owners = len(integrand.mean)
    most = len(cells.owner) // owners + _MOST_CELLS
    for _ in range(_LEVELS):
        log_z = _log_sums(cells.log_mass, cells.owner, owners)
        counts = torch.bincount(cells.owner, minlength=owners)
        open_ = _log_sums(cells.log_error, cells.owner, owners) > log_z + math.log(tolerance)
        # If the errors add up to more than is tolerated, one at least exceeds its share.
        share = log_z + math.log(tolerance) - counts.log()
        split = (cells.log_error > share[cells.owner]) & (open_ & (counts < most))[cells.owner]
        if not split.any():
            break
        cells = _joined(_chosen(cells, ~split), _halved(integrand, _chosen(cells, split)))
    log_z = _log_sums(cells.log_mass, cells.owner, owners)
    # From the middle, since sums of widths are rounded.
    outward = (cells.corner + cells.width[:, None] / 2).abs().amax(1)
    at_border = outward > reach - cells.width
    doubtful = torch.where(at_border, torch.maximum(cells.log_error, cells.log_mass), cells.log_error)
    error = (_log_sums(doubtful, cells.owner, owners) - log_z).exp().log1p()
    shape = (integrand.members, integrand.images)
    return log_z.view(shape), error.view(shape)


def _first_cells(integrand: "_Integrand", reach: float, width: float) -> _Cells:
    """Tile the cube with cells of one width, whose error is all that they may hold."""
    owners = len(integrand.mean)
    along = torch.arange(round(2 * reach / width), dtype=torch.float64, device=integrand.mean.device) * width - reach
    corner = torch.cartesian_prod(*[along] * integrand.latent).view(-1, integrand.latent)
    values = integrand.everywhere((corner.unsqueeze(1) + width * integrand.nodes).flatten(0, 1))
    owner = torch.arange(owners, device=corner.device).repeat_interleave(len(corner))
    corner = corner.repeat(owners, 1)
    widths = torch.full_like(corner[:, 0], width)
    log_mass, potential, _ = integrand.measure(owner, corner, widths, values.view(len(owner), -1))
    return _Cells(owner, corner, widths, log_mass, potential)


def _halved(integrand: "_Integrand", cells: _Cells) -> _Cells:
    """Halve cells along each side."""
    latent = integrand.latent
    width = cells.width / 2
    halves = torch.tensor(list(itertools.product([0.0, 1.0], repeat=latent)), dtype=torch.float64, device=width.device)
    corner = (cells.corner.unsqueeze(1) + width[:, None, None] * halves).flatten(0, 1)
    owner, width = (values.repeat_interleave(2**latent) for values in (cells.owner, width))
    values = integrand.at(owner, corner.unsqueeze(1) + width[:, None, None] * integrand.nodes)
    log_mass, potential, resolved = integrand.measure(owner, corner, width, values)
    after = log_mass.view(-1, 2**latent).logsumexp(1)
    low, high = torch.minimum(after, cells.log_mass), torch.maximum(after, cells.log_mass)
    change = (high + (-torch.expm1(low - high)).log() - latent * math.log(2)).repeat_interleave(2**latent)
    log_error = torch.where(resolved, torch.minimum(potential, change), potential)
    return _Cells(owner, corner, width, log_mass, log_error)


def _chosen(cells: _Cells, which: Bool[Tensor, " cell"]) -> _Cells:
    return _Cells(*(getattr(cells, field.name)[which] for field in fields(_Cells)))


def _joined(a: _Cells, b: _Cells) -> _Cells:
    """Join cells, sorted by owner."""
    order = torch.cat([a.owner, b.owner]).argsort(stable=True)
    return _Cells(*(torch.cat([getattr(a, f.name), getattr(b, f.name)])[order] for f in fields(_Cells)))


def _log_sums(terms: Float64[Tensor, " cell"], owner: Int64[Tensor, " cell"], owners: int) -> Float64[Tensor, " owner"]:
    """Return the log of the sum of exponentials for each owner."""
    largest = torch.full((owners,), -math.inf, dtype=torch.float64, device=terms.device)
    largest = largest.scatter_reduce(0, owner, terms, "amax").clamp(min=-1e300)
    return largest + torch.zeros_like(largest).scatter_add(0, owner, (terms - largest[owner]).exp()).log()


class _Integrand:
    """log p(z) - D(x, z) of a few images, and the rule that integrates its exponential over cells."""

    def __init__(
        self,
        model: LatentVariableModel,
        x: Float[Tensor, "#member image pixels"],
        mean: Float[Tensor, "member image latent"],
        batch_size: int,
    ) -> None:
        self.model, self.x, self.batch_size, self.dtype = model, x, batch_size, mean.dtype
        self.members, self.images, self.latent = mean.shape
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        along = [torch.from_numpy(nodes / 2 + 0.5), torch.from_numpy(np.log(weights / 2))]
        self.nodes, log_weights = (torch.cartesian_prod(*[a] * self.latent).view(-1, self.latent) for a in along)
        self.nodes, self.log_weights = self.nodes.to(model.device), log_weights.sum(1).to(model.device)
        self.mean = mean.flatten(0, 1).double()
        owners = torch.arange(len(self.mean), device=model.device)
        self.at_mean = self.at(owners, self.mean.unsqueeze(1)).squeeze(1)

    def at(self, owner: Int64[Tensor, " cell"], z: Float64[Tensor, "cell node latent"]) -> Float64[Tensor, "cell node"]:
        """Evaluate at each cell's own points, for its own member and image; cells are sorted by owner."""
        member, image = owner // self.images, owner % self.images
        counts = torch.bincount(member, minlength=self.members)
        place = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[member]
        # Members have different numbers of cells, and all are decoded together: the shorter ones are filled up.
        rows = torch.zeros(self.members, int(counts.max()), dtype=torch.int64, device=owner.device)
        rows[member, place] = torch.arange(len(owner), device=owner.device)
        values = torch.empty(*rows.shape, z.shape[1], dtype=torch.float64, device=owner.device)
        x = self.x.expand(self.members, -1, -1)
        every = torch.arange(self.members, device=owner.device).unsqueeze(1)
        for here in _slices(rows.shape[1], max(1, self.batch_size // z.shape[1])):
            chosen = rows[:, here]
            values[:, here] = self._log_joint(z[chosen], x[every, image[chosen]].unsqueeze(2))
        return values[member, place]

    def everywhere(self, z: Float64[Tensor, "point latent"]) -> Float64[Tensor, "owner point"]:
        """Evaluate at the same points for all members and images."""
        values = torch.empty(self.members, self.images, len(z), dtype=torch.float64, device=z.device)
        for here in _slices(len(z), max(1, self.batch_size // self.images)):
            points = z[here].view(1, -1, 1, self.latent)
            values[:, :, here] = self._log_joint(points, self.x.unsqueeze(1)).transpose(1, 2)
        return values.flatten(0, 1)

    def measure(
        self,
        owner: Int64[Tensor, " cell"],
        corner: Float64[Tensor, "cell latent"],
        width: Float64[Tensor, " cell"],
        values: Float64[Tensor, "cell node"],
    ) -> tuple[Float64[Tensor, " cell"], Float64[Tensor, " cell"], Bool[Tensor, " cell"]]:
        """Return the log mass of cells, what they might hold at the most, and whether their nodes show all there is."""
        if not torch.isfinite(values).all():
            raise ValueError("model decodes to NaN or infinity; leave out the members that have diverged.")
        log_volume = self.latent * width.log()
        log_mass = (values + self.log_weights).logsumexp(1) + log_volume
        highest, spread = values.amax(1), values.amax(1) - values.amin(1)
        # A concave log density rises from the highest node to the cell's border, or to a peak between nodes, by less
        # than half of what it varies by over the nodes.
        highest_possible = highest + spread / 2
        distance = (corner + width[:, None] / 2 - self.mean[owner]).abs().amax(1)
        unseen = (distance < 1.5 * width) & (self.at_mean[owner] > highest + 1)
        highest_possible = torch.where(unseen, self.at_mean[owner].maximum(highest_possible), highest_possible)
        return log_mass, highest_possible + log_volume, (spread < _RESOLVED) & ~unseen

    def _log_joint(
        self, z: Float64[Tensor, "#member cell node latent"], x: Float[Tensor, "#member #cell image pixels"]
    ) -> Float64[Tensor, "member cell _"]:
        """Evaluate each node for its own image, or one node for several images."""
        parameters = self.model.decode(z.flatten(1, 2).to(self.dtype)).unflatten(1, z.shape[1:3])
        if z.shape[2] == 1:
            parameters = parameters.expand(-1, -1, x.shape[2], -1)
        return self.model.prior.log_prob(z) - self.model.likelihood.distortion(parameters, x).double()


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
