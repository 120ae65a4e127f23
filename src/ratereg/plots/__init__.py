"""Figures of the book, each a function of results alone. Rates, distortions and information in nats."""

from ratereg.plots.curves import draw_rate_distortion, rate_distortion
from ratereg.plots.data import carry, figure_data
from ratereg.plots.difficulty import difficulty, distance_distortion
from ratereg.plots.ledger import forest
from ratereg.plots.measures import distortion_by_width, information, training_parts, training_paths, trajectory
from ratereg.plots.reconstructions import reconstructions
from ratereg.plots.saturation import information_ceiling, saturation
from ratereg.plots.style import LINES, MARKERS, MEASURES, NETWORKS, PARTITIONS, STYLE, beta_colors, use_style

__all__ = [
    "LINES",
    "MARKERS",
    "MEASURES",
    "NETWORKS",
    "PARTITIONS",
    "STYLE",
    "beta_colors",
    "carry",
    "difficulty",
    "distance_distortion",
    "distortion_by_width",
    "draw_rate_distortion",
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
