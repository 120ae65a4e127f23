"""The book's figures, each a function of results alone. Rates, distortions and information in nats."""

from ratereg.plots.curves import information, rate_distortion, reconstructions, trajectory
from ratereg.plots.difficulty import difficulty, distance_distortion
from ratereg.plots.dynamics import training_parts, training_paths
from ratereg.plots.ledger import forest
from ratereg.plots.saturation import information_ceiling, saturation
from ratereg.plots.style import STYLE, use_style
from ratereg.plots.width import distortion_by_width

__all__ = [
    "STYLE",
    "difficulty",
    "distance_distortion",
    "distortion_by_width",
    "forest",
    "information",
    "information_ceiling",
    "rate_distortion",
    "reconstructions",
    "saturation",
    "training_parts",
    "training_paths",
    "trajectory",
    "use_style",
]
