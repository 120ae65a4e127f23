"""The settings that a reader turns: depth, width, weights of the rate, training images and steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import ipywidgets

from ratereg.models import MLP
from ratereg.studies import Study

__all__ = ["Controls"]

_WIDTHS = (16, 32, 64, 128, 256, 512)
_IMAGES = tuple(2**power for power in range(6, 15))
_STEPS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_EXPONENTS = (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0)

_ALL = math.inf

_WIDE = ipywidgets.Layout(width="100%", max_width="32em")


class Controls(ipywidgets.VBox):  # type: ignore[misc]
    """Sliders over the settings of a study of one data set and one network; each has a label and works by keyboard.

    Arguments:
        study: what they show first; its own values are among those to choose from.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        network, data = study.axis_networks[0], study.axis_data[0]
        self.depth = _slider("hidden layers", range(4), network.layers)
        self.width = _slider("width", _WIDTHS, network.width)
        self._own_exponent = _exponent(study.axis_betas)
        self.smallest_beta = _slider("log₁₀ of the smallest β", _EXPONENTS, self._own_exponent)
        # A slider has no place for None; all of them are as many as there are, beyond every number.
        self.images = _slider("training images", _IMAGES, data.n_train or _ALL)
        self.steps = _slider("steps", _STEPS, study.steps)
        shown = [self.depth] if isinstance(network, MLP) else []
        super().__init__([*shown, self.width, self.smallest_beta, self.images, self.steps])

    def study(self) -> Study:
        """Return the study with the settings chosen.

        Raises:
            ValueError: it can't be.
        """
        network, data = self._study.axis_networks[0], self._study.axis_data[0]
        sizes = {"width": self.width.value} | ({"layers": self.depth.value} if isinstance(network, MLP) else {})
        return self._study.replace(
            network=replace(network, **sizes),
            data=replace(data, n_train=None if self.images.value == _ALL else self.images.value),
            betas=self._betas(),
            steps=self.steps.value,
        )

    def on_change(self, call: Callable[[], None]) -> None:
        """Call when a slider has been moved."""
        for slider in self.children:
            slider.observe(lambda change: call(), names="value")

    def _betas(self) -> tuple[float, ...]:
        """Return as many weights as the study has, evenly spaced in their logarithm down to the smallest chosen."""
        own = self._study.axis_betas
        if self.smallest_beta.value == self._own_exponent:
            return own
        smallest = 10.0**self.smallest_beta.value
        largest = max(*own, smallest)
        count = len(own)
        if count == 1:
            return (float(f"{smallest:.3g}"),)
        ratio = (smallest / largest) ** (1 / (count - 1))
        return tuple(dict.fromkeys(float(f"{largest * ratio**index:.3g}") for index in range(count)))


def _exponent(betas: Sequence[float]) -> float:
    """Return the logarithm of the smallest weight that has one."""
    return round(math.log10(min((beta for beta in betas if beta > 0), default=1.0)), 2)


def _slider(label: str, values: Iterable[float], own: float) -> ipywidgets.SelectionSlider:
    return ipywidgets.SelectionSlider(
        options=[(_name(value), value) for value in sorted({*values, own})],
        value=own,
        description=label,
        # Only where a slider comes to rest is anything trained.
        continuous_update=False,
        style={"description_width": "12.5em"},
        layout=_WIDE,
    )


def _name(value: float) -> str:
    return "all" if value == _ALL else f"{value:,g}".replace("-", "−")
