"""What all figures share: the style file, the order of colours, and how a figure ends."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

__all__ = ["COLOURS", "STYLE", "finished", "key", "use_style"]

STYLE = str(Path(__file__).with_name("ratereg.mplstyle"))
"""The one style file of all figures."""

COLOURS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
"""Of the style file, in their order."""


def use_style() -> None:
    """Draw every figure of this process in the book's style, and in a notebook as SVG."""
    plt.style.use(STYLE)
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # no notebook
        return
    # Without a date the same figure is the same file.
    set_matplotlib_formats("svg", metadata={"Date": None})  # type: ignore[no-untyped-call]


def key(**style: Any) -> Line2D:
    """Return an entry for a legend, grey unless it says otherwise."""
    return Line2D([], [], **({"color": "0.3"} | style))


def finished(fig: Figure) -> Figure:
    """Return the figure, closed."""
    # Left open, a notebook would show the figure twice and a long program would keep all of them.
    plt.close(fig)
    return fig
