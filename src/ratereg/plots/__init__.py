"""The book's figures, each a function of results alone. Rates, distortions and information in nats."""

from ratereg.plots.curves import information, rate_distortion, trajectory
from ratereg.plots.data import carry, figure_data
from ratereg.plots.difficulty import difficulty, distance_distortion
from ratereg.plots.dynamics import training_parts, training_paths
from ratereg.plots.ledger import forest
from ratereg.plots.reconstructions import reconstructions
from ratereg.plots.saturation import information_ceiling, saturation
from ratereg.plots.style import LINES, MARKERS, MEASURES, NETWORKS, PARTITIONS, STYLE, beta_colors, use_style
from ratereg.plots.width import distortion_by_width
from ratereg.plots.words import describe

__all__ = [
    "LINES",
    "MARKERS",
    "MEASURES",
    "NETWORKS",
    "PARTITIONS",
    "STYLE",
    "beta_colors",
    "carry",
    "describe",
    "difficulty",
    "distance_distortion",
    "distortion_by_width",
    "figure_data",
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
