"""Widgets that work in a static page: every frame is drawn beforehand, and the browser shows one or another."""

from ratereg.widgets.aggregate import aggregate_posterior_slider
from ratereg.widgets.ceiling import ceiling_slider
from ratereg.widgets.checkerboard import factor_space
from ratereg.widgets.information import information_sliders
from ratereg.widgets.reconstructions import reconstruction_slider

__all__ = [
    "aggregate_posterior_slider",
    "ceiling_slider",
    "factor_space",
    "information_sliders",
    "reconstruction_slider",
]
