"""A notebook that is run in a moment: it multiplies two numbers, records the product and draws a square of it."""

from pathlib import Path

__all__ = ["TINY", "write_tiny"]

TINY = r"""---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

```{code-cell} ipython3
:tags: [parameters]

slope = 1.0     # type: float (above 0) how steep
points = 3      # type: int (at least 2) how many
names = None    # type: list[str] (each a or b, distinct) of what
waits = 0.0     # type: float (at least 0) seconds before the end
```

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-square
    caption: |
      A square for slopes above $\beta_0$, as in {eq}`eq-square`.

      Made from {glue:text}`source`.
  image:
    alt: A square.
---
import time
from pathlib import Path
from IPython.display import display

def record(name, value):
    display({"application/vnd.ratereg.record+json": {"name": name, "value": value}}, raw=True)

assert slope < 100, "too steep"
if waits:
    Path("waits").touch()
    time.sleep(waits)
record("source", f"a slope of {slope}")
record("height", slope * points)
record("corners", 4)
record("points", [points])
square = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="{points}" height="{points}"/></svg>'
seen = {"description": f"It is {points} wide."}
display({"image/svg+xml": square, "application/vnd.ratereg.figure+json": seen}, raw=True)
```
"""


def write_tiny(folder: Path, text: str = TINY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.md").write_text(text)
    return folder / "tiny.md"
