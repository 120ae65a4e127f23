"""Controls above pre-drawn frames, tied together in the browser, and a picture for where no script runs."""

import html
from collections.abc import Sequence
from typing import Any, TypeAlias

import ipywidgets

__all__ = ["Framed", "menu", "slider"]

Frames: TypeAlias = "str | Sequence[Frames]"
"""One frame, or for each place of the first control what the others choose from."""

_WIDE = {"width": "100%", "max_width": "34em"}
_LABEL = "9.5em"


class Framed(ipywidgets.VBox):  # type: ignore[misc]
    """Controls above frames, of which the browser shows the one that they choose, without a kernel.

    Where widgets cannot be drawn, the frame shown first stands in: it is the widget's form as HTML.
    """

    def __init__(
        self,
        controls: Sequence[ipywidgets.SelectionSlider | ipywidgets.Dropdown],
        frames: Frames,
        backdrops: "Frames | None" = None,
    ) -> None:
        """Tie frames to controls.

        Arguments:
            controls: the first chooses from the outermost sequence of frames.
            frames: as HTML, nested as deep as there are controls.
            backdrops: pictures over which the frames are laid, nested as deep as there are controls that change them:
                what several frames share is there once.
        """
        self._layout = ipywidgets.Layout(**_WIDE)
        self._style = ipywidgets.HTML().style
        # The links live as long as the box.
        self._links: list[ipywidgets.Widget] = []
        shown = self._stacked(frames, controls)
        layers = [_first(frames, controls)]
        if backdrops is not None:
            # Both lie in the one cell of a grid.
            self._layout.grid_area = "1 / 1"
            cell = ipywidgets.Layout(**_WIDE, grid_template_columns="100%")
            shown = ipywidgets.GridBox([self._stacked(backdrops, controls), shown], layout=cell)
            layers.insert(0, _first(backdrops, controls))
        self._still = _still(controls, layers)
        super().__init__([*controls, shown])

    def _stacked(self, frames: Frames, controls: Sequence[ipywidgets.Widget]) -> ipywidgets.Widget:
        if isinstance(frames, str):
            # One layout and one style for all: they would be as large as many a frame.
            return ipywidgets.HTML(frames, layout=self._layout, style=self._style)
        first, *others = controls
        children = [self._stacked(one, others) for one in frames]
        stack = ipywidgets.Stack(children, selected_index=first.index, layout=self._layout)
        self._links.append(ipywidgets.jslink((first, "index"), (stack, "selected_index")))
        return stack

    def _repr_mimebundle_(self, **arguments: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**arguments), "text/html": self._still}


def slider(label: str, readouts: Sequence[str], first: int | None = None) -> ipywidgets.SelectionSlider:
    """Return a slider over places that have words; it starts in the middle unless told where."""
    return ipywidgets.SelectionSlider(
        options=[(words, place) for place, words in enumerate(readouts)],
        index=len(readouts) // 2 if first is None else first,
        description=label,
        tooltip=label,
        style={"description_width": _LABEL},
        layout=ipywidgets.Layout(**_WIDE),
    )


def menu(label: str, options: Sequence[str], first: int = 0) -> ipywidgets.Dropdown:
    """Return a menu."""
    return ipywidgets.Dropdown(
        options=list(options),
        index=first,
        description=label,
        tooltip=label,
        style={"description_width": _LABEL},
        layout=ipywidgets.Layout(**_WIDE),
    )


def _first(frames: Frames, controls: Sequence[ipywidgets.Widget]) -> str:
    """Return the frame that the controls choose as they are set."""
    return frames if isinstance(frames, str) else _first(frames[controls[0].index], controls[1:])


def _still(controls: Sequence[ipywidgets.Widget], layers: Sequence[str]) -> str:
    """Return the frame shown first under words for what the controls are set to, as high as the controls."""
    settings = "; ".join(f"{control.description}: {control.label}" for control in controls)
    pictures = "".join(f"<div style='grid-area:1/1'>{layer}</div>" for layer in layers)
    return (
        f"<div class='widget-still' style='max-width:34em;--controls:{len(controls)}'>"
        f"<p>{html.escape(settings)}. <noscript>The controls that change it need JavaScript.</noscript></p>"
        f"<div style='display:grid'>{pictures}</div></div>"
    )
