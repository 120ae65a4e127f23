"""The book's figures, each a function of results alone. Rates, distortions and information in nats."""

from ratereg.plots.curves import information, rate_distortion, reconstructions, trajectory
from ratereg.plots.style import STYLE, use_style

__all__ = ["STYLE", "information", "rate_distortion", "reconstructions", "trajectory", "use_style"]
