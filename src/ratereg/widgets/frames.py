"""Controls above pre-drawn frames, tied together in the browser, and a picture for pages without scripts."""

import html
from collections.abc import Sequence
from typing import Any, TypeAlias

import ipywidgets

__all__ = ["Framed", "menu", "slider"]

Frames: TypeAlias = "str | Sequence[Frames]"
"""One frame as HTML, or for each place of the first control the frames that the other controls choose from."""

_WIDE = {"width": "100%", "max_width": "34em"}
_LABEL = {"description_width": "9.5em"}


class Framed(ipywidgets.VBox):  # type: ignore[misc]
    """Controls above frames, of which the browser shows the one that they choose, without a kernel.

    Where widgets cannot be drawn, the first frame stands in: it is the widget's form as HTML.

    Arguments:
        controls: menus and sliders; the first chooses from the outermost sequence of frames.
        frames: pictures, nested as deep as there are controls.
        backdrops: pictures below the frames, nested as deep as there are controls that change them.
    """

    def __init__(
        self, controls: Sequence[ipywidgets.Widget], frames: Frames, backdrops: "Frames | None" = None
    ) -> None:
        # All frames share one layout and one style, which would be as large as many a frame.
        self._shared = {"layout": ipywidgets.Layout(**_WIDE, grid_area="1 / 1")}
        self._style = ipywidgets.HTML().style
        # The links live as long as the box.
        self._links: list[ipywidgets.Widget] = []
        layers = [frames] if backdrops is None else [backdrops, frames]
        # Layers lie in the one cell of a grid.
        cell = ipywidgets.Layout(**_WIDE, grid_template_columns="100%")
        shown = ipywidgets.GridBox([self._stacked(layer, controls) for layer in layers], layout=cell)
        self._still = _still(controls, [_first(layer, controls) for layer in layers])
        super().__init__([*controls, shown])

    def _stacked(self, frames: Frames, controls: Sequence[ipywidgets.Widget]) -> ipywidgets.Widget:
        if isinstance(frames, str):
            return ipywidgets.HTML(frames, style=self._style, **self._shared)
        first, *others = controls
        children = [self._stacked(one, others) for one in frames]
        stack = ipywidgets.Stack(children, selected_index=first.index, **self._shared)
        self._links.append(ipywidgets.jslink((first, "index"), (stack, "selected_index")))
        return stack

    def _repr_mimebundle_(self, **arguments: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**arguments), "text/html": self._still}


def slider(label: str, readouts: Sequence[str], first: int | None = None) -> ipywidgets.SelectionSlider:
    """Return a slider over places that have words; it starts at the place `first`, or in the middle for None."""
    options = [(words, place) for place, words in enumerate(readouts)]
    return _control(ipywidgets.SelectionSlider, label, options, len(readouts) // 2 if first is None else first)


def menu(label: str, options: Sequence[str], first: int = 0) -> ipywidgets.Dropdown:
    """Return a menu of options, which starts at the place `first`."""
    return _control(ipywidgets.Dropdown, label, options, first)


def _control(kind: type[ipywidgets.Widget], label: str, options: Sequence[Any], first: int) -> ipywidgets.Widget:
    wide = ipywidgets.Layout(**_WIDE)
    return kind(options=list(options), index=first, description=label, tooltip=label, style=_LABEL, layout=wide)


def _first(frames: Frames, controls: Sequence[ipywidgets.Widget]) -> str:
    """Return the frame that the controls choose as they are set."""
    return frames if isinstance(frames, str) else _first(frames[controls[0].index], controls[1:])


def _still(controls: Sequence[ipywidgets.Widget], layers: Sequence[str]) -> str:
    """Return the layers shown first under words for the controls' settings, as high as the controls."""
    settings = "; ".join(f"{control.description}: {control.label}" for control in controls)
    pictures = "".join(f"<div style='grid-area:1/1'>{layer}</div>" for layer in layers)
    return (
        f"<div class='widget-still' style='max-width:34em;--controls:{len(controls)}'>"
        f"<p>{html.escape(settings)}. <noscript>The controls that change it need JavaScript.</noscript></p>"
        f"<div style='display:grid'>{pictures}</div></div>"
    )
