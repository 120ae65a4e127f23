"""Draws the README's figure, book/_static/figure.svg, from the published study of capacity; `make figure` calls it."""

import hashlib
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

import ratereg

FIGURE = Path(__file__).parent / "_static" / "figure.svg"


def draw() -> tuple[Figure, dict[str, str | None]]:
    """Return the figure of the book's first page, and what its file says of the result that it shows."""
    results = ratereg.load_or_run(ratereg.published("capacity"))
    assert results.directory is not None  # a published result is a folder
    table = hashlib.sha256((results.directory / "table.csv").read_bytes()).hexdigest()
    # Without a date the same figure is the same file.
    facts = {"Title": "Distortion against rate of test images", "Source": results.source, "Identifier": table}
    paper = ratereg.claims.paper_points()
    return ratereg.plots.rate_distortion(results, partitions=("test",), paper=paper), {**facts, "Date": None}


def write(path: Path = FIGURE) -> None:
    """Write the figure as SVG."""
    fig, facts = draw()
    with matplotlib.rc_context({"svg.hashsalt": "ratereg"}):
        fig.savefig(path, metadata=facts)


if __name__ == "__main__":
    write()
