"""The aggregate posterior in two latent dimensions, along beta: its landscape, its holes and the parts of the rate."""

import math

import ipywidgets
import matplotlib
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from matplotlib.patches import Circle
from torch import Tensor

from ratereg import evaluation
from ratereg.studies import Results
from ratereg.widgets.drawing import card, draw_parts, in_style, svg
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["aggregate_posterior_slider"]

_GRID = 121
"""Points along each side of a landscape."""

_PRIOR_REACH = 3.2
_SAMPLES = 20_000

_LEVELS = 62
_LOWEST, _HIGHEST = -14.0, -1.0
"""Values of log q(z) at the ends of the colors, as in the chapter's figures."""

_VIRIDIS = 255 * matplotlib.colormaps["viridis"](np.linspace(0, 1, _LEVELS))[:, :3]
_PALETTE = np.concatenate([_VIRIDIS, [[0xCC, 0x79, 0xA7]]]).round().astype(np.uint8)
"""Colors of the levels, and of a hole."""


@in_style
def aggregate_posterior_slider(results: Results) -> ipywidgets.VBox:
    """Return a slider over beta that shows the landscape of log q(z), with the rate's parts and the share in holes.

    A menu chooses the view: the neighborhood of the prior, with its holes, or all encodings. Both work by keyboard, and
    without a kernel. A hole is where the prior has more than ten times the density of q(z).

    The results are those of one setting with two latent dimensions and a standard Gaussian prior, with the posteriors
    of all its training images. Its first seed is shown.

    Raises:
        ValueError: there are other than two latent dimensions, several settings, or another prior.
    """
    rows = results.final[results.final["partition"] == "train"]
    settings, latents, priors = (rows[name].unique().tolist() for name in ("setting", "latent_dim", "prior"))
    if (len(settings), latents, priors) != (1, [2], ["gaussian"]):
        raise ValueError(
            f"aggregate_posterior_slider: results has {len(settings)} settings with latent dimensions {latents} and "
            f"priors {', '.join(priors)}; give those of one setting with 2 latents and a standard Gaussian prior."
        )
    rows = rows[rows["seed"] == rows["seed"].min()].sort_values("beta", ascending=False)
    members = rows["member"].to_numpy(dtype=int)
    mean, log_var = (
        torch.from_numpy(results.arrays[f"train_{name}"][members]).double() for name in ("mean", "log_var")
    )
    reach = (mean.abs() + 4 * (log_var / 2).exp()).amax(dim=(1, 2))
    views = {"the prior, with holes": torch.full_like(reach, _PRIOR_REACH), "all encodings": reach}
    holes = _share_in_holes(mean, log_var)
    most = float(np.nanmax(rows[["rate", "log_n"]]))
    frames = []
    for half_widths in views.values():
        landscapes = zip(holes, _landscapes(mean, log_var, half_widths), half_widths.tolist(), strict=True)
        frames.append([_frame(row, *one, most) for (_, row), one in zip(rows.iterrows(), landscapes, strict=True)])
    return Framed([menu("view", list(views)), slider("weight β", [f"{beta:g}" for beta in rows["beta"]])], frames)


def _share_in_holes(mean: Float64[Tensor, "member image 2"], log_var: Float64[Tensor, "member image 2"]) -> list[float]:
    """Return the prior's probability of places where it has more than ten times the density of q(z), by sampling."""
    z = torch.randn(_SAMPLES, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_q = evaluation.aggregate_log_prob(z.expand(len(mean), -1, -1), mean, log_var)
    share: list[float] = (log_q + math.log(10) < _log_prior(z)).double().mean(dim=1).tolist()
    return share


def _log_prior(z: Float64[Tensor, "*batch 2"]) -> Float64[Tensor, "*batch"]:
    return -z.square().sum(dim=-1) / 2 - math.log(2 * math.pi)


def _landscapes(
    mean: Float64[Tensor, "member image 2"],
    log_var: Float64[Tensor, "member image 2"],
    half_widths: Float64[Tensor, " member"],
) -> list[np.ndarray]:
    """Return for each member the places in the palette, (row from below, column): levels of log q(z), or a hole.

    Encodings can be narrower than the distance of two points: each is blurred by it, so that none is lost between them.
    """
    axes = half_widths[:, None] * torch.linspace(-1, 1, _GRID, dtype=torch.float64)
    grid = torch.stack([torch.cartesian_prod(axis, axis) for axis in axes])
    step = (axes[:, 1] - axes[:, 0])[:, None, None]
    log_q = evaluation.aggregate_log_prob(grid, mean, (log_var.exp() + step.square()).log())
    level = (_LEVELS - 1) * (log_q.clamp(_LOWEST, _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)
    # Holes are shown near the prior only: in a wide view they would cover what is seen of it.
    near = (half_widths <= _PRIOR_REACH)[:, None] & (grid.norm(dim=2) < 3)
    hole = near & (log_q + math.log(10) < _log_prior(grid))
    places = torch.where(hole, _LEVELS, level.round().nan_to_num()).to(torch.uint8)
    return [one.reshape(_GRID, _GRID).T.numpy() for one in places]


def _frame(row: pd.Series, holes: float, places: np.ndarray, half_width: float, most: float) -> str:
    """Return one picture: the landscape under the prior's circles, and what is measured, as bars and numbers."""
    fig = card(5.8, (0.9, 1.75, 3.3, 3.3), (1.05, 0.05, 3.6, 1.15))
    landscape, bars = fig.axes
    side = np.array([-half_width, half_width])
    landscape.imshow(_PALETTE[places], extent=(*side, *side), origin="lower", interpolation="none")
    for radius in (1, 2, 3):
        landscape.add_patch(Circle((0, 0), radius, fill=False, color="white"))
    landscape.set_xticks(side.round(1))
    landscape.set_yticks(side.round(1))
    landscape.set(xlabel="z₁", xlim=side, ylim=side)
    landscape.set_ylabel("z₂", rotation=0)
    fig.text(0.02, 0.955, f"β = {row['beta']:g}: {holes:.0%} of the prior is in holes")
    pink = "pink: holes; " if half_width <= _PRIOR_REACH else ""
    fig.text(0.02, 0.905, f"{pink}circles: the prior at 1, 2 and 3 sd")
    bars.set_xlim(0, 1.02 * most)
    draw_parts(bars, row)
    return svg(
        fig,
        f"Aggregate posterior of {row['components']:,} training images at β = {row['beta']:g}, from "
        f"{-half_width:.1f} to {half_width:.1f} in both latents. Rate {row['rate']:.2f} nats: mutual information "
        f"{row['mutual_information']:.2f}, below its ceiling of {row['log_n']:.2f}, and marginal KL "
        f"{row['marginal_kl']:.2f}. {holes:.0%} of the prior is in holes.",
    )
