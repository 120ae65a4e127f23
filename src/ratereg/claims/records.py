"""What a page says about its own numbers: where they come from, and records of them for the tests."""

from typing import Any

import IPython.display

from ratereg.studies import Results

__all__ = ["describe_provenance", "record"]

_GLUE = "application/papermill.record/"


def record(name: str, value: Any) -> None:
    """Keep a value in the executed notebook, shown nowhere: tests assert it, and text can have it by {glue:text}`name`.

    It is an output of type `application/vnd.ratereg.record+json`, {"name": name, "value": value}.
    """
    plain = value.item() if hasattr(value, "item") else value
    IPython.display.display(
        {"application/vnd.ratereg.record+json": {"name": name, "value": plain}, f"{_GLUE}text/plain": repr(plain)},
        raw=True,
        # MyST-NB takes an output with this mark for glue, out of the page.
        metadata={"scrapbook": {"name": name, "mime_prefix": _GLUE}},
    )  # type: ignore[no-untyped-call]


def describe_provenance(results: Results) -> str:
    """Return a Markdown paragraph that says what was run, on what, and where the result lies."""
    study, facts = results.study, results.provenance
    which = (
        f"the published study `{results.name}` at scale `{results.scale}`" if results.name else "a study of your own"
    )
    axes = {
        "data set": study.axis_data,
        "network": study.axis_networks,
        "value of β": study.axis_betas,
        "seed": study.axis_seeds,
    }
    product = " × ".join(_count(len(axis), name) for name, axis in axes.items())
    return (
        f"Shown is {which}: {_count(len(study), 'member')} ({product}), each trained for {study.steps:,} steps with "
        f"{study.batch_size} images a step; {_hours(facts.get('seconds'))} in all on "
        f"{facts.get('device', 'an unnamed device')}, {facts.get('precision', 'unknown precision')}, "
        f"{facts.get('date', 'undated')}. The numbers are in `{results.source}`."
    )


def _count(number: int, name: str) -> str:
    many = name.replace("value", "values") if name.startswith("value") else f"{name}s"
    return f"{number} {name if number == 1 else many}"


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
