"""The aggregate posterior in two latent dimensions, along beta: its landscape, its holes and the parts of the rate."""

import math

import ipywidgets
import matplotlib
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ratereg import evaluation
from ratereg.studies import Results
from ratereg.widgets.drawing import boxed_picture, longest_bar, parts_of_the_rate, picture, png, text
from ratereg.widgets.frames import Framed, menu, slider

__all__ = ["aggregate_posterior_slider"]

_GRID = 121
"""Points along each side of a landscape."""

_PRIOR_REACH = 3.2
_SAMPLES = 20_000

_LEVELS = 62
_LOWEST, _HIGHEST = -14.0, -1.0
"""Of log q(z), as in the chapter's figures: the ends of the colors."""

_HOLE = _LEVELS
_PALETTE = np.concatenate(
    [255 * matplotlib.colormaps["viridis"](np.linspace(0, 1, _LEVELS))[:, :3], [[0xCC, 0x79, 0xA7]]]
).round()

_HEIGHT = 572
_LEFT, _TOP, _SIDE = 92.0, 74.0, 320.0
_MIDDLE = (_LEFT + _SIDE / 2, _TOP + _SIDE / 2)


def aggregate_posterior_slider(results: Results, *, seed: int | None = None) -> ipywidgets.VBox:
    """Return a slider over beta that shows the landscape of log q(z), with the rate's parts and the share in holes.

    A menu chooses what is seen: the neighborhood of the prior, with its holes, or all encodings. Both work by
    keyboard, and without a kernel. A hole is where the prior has more than ten times the density of q(z).

    Arguments:
        results: of one setting with two latent dimensions, with the posteriors of all its training images.
        seed: of the members; None for the first.

    Raises:
        ValueError: there are other than two latent dimensions, several settings, or not that seed.
    """
    study = results.study
    latents = {network.latent_dim for network in study.axis_networks}
    if latents != {2} or len(study.axis_networks) * len(study.axis_data) > 1:
        raise ValueError(
            f"aggregate_posterior_slider: results has latent dimensions {sorted(latents)}, {len(study.axis_networks)} "
            f"networks and {len(study.axis_data)} data sets; give those of one network with 2 latents on one data set."
        )
    rows = results.final[results.final["partition"] == "train"]
    seeds = sorted(rows["seed"].unique())
    if seed not in (None, *seeds):
        raise ValueError(f"aggregate_posterior_slider: seed is {seed!r}, and results has {', '.join(map(str, seeds))}.")
    rows = rows[rows["seed"] == (seeds[0] if seed is None else seed)].sort_values("beta", ascending=False)
    mean, log_var = (
        torch.from_numpy(results.arrays[f"train_{name}"][rows["member"].to_numpy()]).double()
        for name in ("mean", "log_var")
    )
    reach = (mean.abs() + 4 * (log_var / 2).exp()).amax(dim=(1, 2))
    views = {"the prior, with holes": torch.full_like(reach, _PRIOR_REACH), "all encodings": reach}
    holes = _share_in_holes(mean, log_var)
    per_nat = longest_bar(max(rows["rate"].max(), rows["log_n"].max()))
    frames = [
        [
            _frame(row, share, pixels, half_width, per_nat)
            for (_, row), share, pixels, half_width in zip(
                rows.iterrows(), holes, _landscapes(mean, log_var, half_widths), half_widths.tolist(), strict=True
            )
        ]
        for half_widths in views.values()
    ]
    weight = slider("weight β", [f"{beta:g}" for beta in rows["beta"]])
    return Framed([menu("view", list(views)), weight], frames)


def _share_in_holes(mean: Tensor, log_var: Tensor) -> list[float]:
    """Return the prior's probability of places where it has more than ten times the density of q(z), by sampling."""
    z = torch.randn(_SAMPLES, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_q = evaluation.aggregate_log_prob(z.expand(len(mean), -1, -1), mean, log_var)
    share: list[float] = (log_q + math.log(10) < _log_prior(z)).double().mean(dim=1).tolist()
    return share


def _log_prior(z: Tensor) -> Tensor:
    return -z.square().sum(dim=-1) / 2 - math.log(2 * math.pi)


def _landscapes(mean: Tensor, log_var: Tensor, half_widths: Tensor) -> list[np.ndarray]:
    """Return for each member places in the palette, (row from above, column): log q(z), or a hole of the prior.

    Encodings can be narrower than the distance of two points: each is blurred by it, so that none is lost between them.
    """
    axes = half_widths[:, None] * torch.linspace(-1, 1, _GRID, dtype=torch.float64)
    grid = torch.stack([torch.cartesian_prod(axis, axis) for axis in axes])
    step = (axes[:, 1] - axes[:, 0])[:, None, None]
    log_q = evaluation.aggregate_log_prob(grid, mean, (log_var.exp() + step.square()).log())
    level = (_LEVELS - 1) * (log_q.clamp(_LOWEST, _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)
    # Seen as holes only near the prior: in a wide view they would cover what is seen of it.
    near = (half_widths <= _PRIOR_REACH)[:, None] & (grid.norm(dim=2) < 3)
    hole = near & (log_q + math.log(10) < _log_prior(grid))
    places = torch.where(hole, _HOLE, level.round()).to(torch.uint8)
    return [one.reshape(_GRID, _GRID).T.flipud().contiguous().numpy() for one in places]


def _frame(row: pd.Series, holes: float, pixels: np.ndarray, half_width: float, per_nat: float) -> str:
    """Return one picture: the landscape under the prior's circles, and what is measured, as bars and numbers."""
    rate, information, marginal_kl, log_n = (
        float(row[name]) for name in ("rate", "mutual_information", "marginal_kl", "log_n")
    )
    words = (
        f"Aggregate posterior of {row['components']:,} training images at β = {row['beta']:g}, from "
        f"{-half_width:.1f} to {half_width:.1f} in both latents. Rate {rate:.2f} nats: mutual information "
        f"{information:.2f}, below its ceiling of {log_n:.2f}, and marginal KL {marginal_kl:.2f}. "
        f"{holes:.0%} of the prior is in holes."
    )
    right, bottom = _LEFT + _SIDE, _TOP + _SIDE
    parts = [text(12, 24, f"β = {row['beta']:g}: {holes:.0%} of the prior is in holes")]
    pink = "pink: holes; " if half_width <= _PRIOR_REACH else ""
    parts.append(text(12, 50, f"{pink}circles: the prior at 1, 2 and 3 sd"))
    parts.append(boxed_picture(png(pixels, _PALETTE), _LEFT, _TOP, _SIDE, _SIDE))
    parts += [
        f"<circle cx='{_MIDDLE[0]:g}' cy='{_MIDDLE[1]:g}' r='{radius * _SIDE / 2 / half_width:.1f}' fill='none' "
        "stroke='#fff'/>"
        for radius in (1, 2, 3)
    ]
    for end, x, anchor in ((-half_width, _LEFT, "start"), (half_width, right, "end")):
        parts.append(text(x, bottom + 20, f"{end:.1f}".replace("-", "−"), anchor))
    for end, y in ((-half_width, bottom), (half_width, _TOP + 14)):
        parts.append(text(_LEFT - 6, y, f"{end:.1f}".replace("-", "−"), "end"))
    parts += [text(_MIDDLE[0], bottom + 20, "z₁", "middle"), text(_LEFT - 6, _MIDDLE[1], "z₂", "end")]
    label = f"ceiling of I: log {row['components']:,} = {log_n:.2f} nats"
    parts += parts_of_the_rate(444, rate, information, marginal_kl, per_nat, log_n, label)
    return picture(words, _HEIGHT, parts)
