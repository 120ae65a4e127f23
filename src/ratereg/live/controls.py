"""Sliders over the settings of a study: depth, width, weights of the rate, training images and steps."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np

from ratereg.models import MLP, Convolutional
from ratereg.studies import Study

__all__ = ["Controls"]

_DEPTHS = range(5)
_WIDTHS = (16, 32, 64, 128, 256, 512)
_IMAGES = tuple(2**power for power in range(6, 15))
_STEPS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_EXPONENTS = (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0)

_ALL = math.inf  # all training images, since a slider can't hold None


class Controls(ipywidgets.VBox):  # type: ignore[misc]
    """Sliders over the settings of a study of one data set and one network, whose own values are among the choices."""

    def __init__(self, study: Study) -> None:
        self._study = study
        network, data = study.axis_networks[0], study.axis_data[0]
        own = round(math.log10(min((beta for beta in study.axis_betas if beta > 0), default=1.0)), 2)
        self._own_exponent = own
        self.smallest_beta = _slider("log₁₀ of the smallest β", _EXPONENTS, own)
        self.images = _slider("training images", _IMAGES, data.n_train or _ALL)
        self.steps = _slider("steps", _STEPS, study.steps)
        self.sizes = {}
        # An MLP of layers of different widths has no such slider.
        if network == MLP(network.layers, network.width, network.latent_dim):
            self.sizes["layers"] = _slider("hidden layers", _DEPTHS, network.layers)
        if self.sizes or isinstance(network, Convolutional):
            self.sizes["width"] = _slider("width", _WIDTHS, network.width)
        super().__init__([*self.sizes.values(), self.smallest_beta, self.images, self.steps])

    def study(self) -> Study:
        """Return the study with the chosen settings, or raise ValueError where one is refused."""
        network: Any = self._study.axis_networks[0]
        data = self._study.axis_data[0]
        if self.sizes:
            network = replace(network, **{name: slider.value for name, slider in self.sizes.items()})
        return self._study.replace(
            network=network,
            data=replace(data, n_train=None if self.images.value == _ALL else self.images.value),
            betas=self._betas(),
            steps=self.steps.value,
        )

    def on_change(self, call: Callable[[], None]) -> None:
        """Call a function whenever a slider has been moved."""
        for slider in self.children:
            slider.observe(lambda change: call(), names="value")

    def _betas(self) -> tuple[float, ...]:
        """Return as many weights as the study has, log-spaced down to the smallest chosen."""
        own = self._study.axis_betas
        if self.smallest_beta.value == self._own_exponent:
            return own
        smallest = 10.0**self.smallest_beta.value
        largest = max(*own, smallest) if len(own) > 1 else smallest
        return tuple(dict.fromkeys(float(f"{beta:.3g}") for beta in np.geomspace(largest, smallest, len(own))))


def _slider(label: str, values: Iterable[float], own: float) -> ipywidgets.SelectionSlider:
    return ipywidgets.SelectionSlider(
        options=[
            ("all" if value == _ALL else f"{value:,g}".replace("-", "−"), value) for value in sorted({*values, own})
        ],
        value=own,
        description=label,
        # Training starts only where a slider comes to rest.
        continuous_update=False,
        style={"description_width": "12.5em"},
        layout=ipywidgets.Layout(width="100%", max_width="32em"),
    )
