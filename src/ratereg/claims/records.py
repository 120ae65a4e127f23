"""What a page says about its own numbers: where they come from, and records of them for the tests."""

from typing import Any

import IPython.display

from ratereg.studies import Results

__all__ = ["describe_provenance", "plural", "record"]

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
    )


def describe_provenance(results: Results) -> str:
    """Return a Markdown paragraph that says what was run, on what, and where the result lies."""
    study, facts = results.study, results.provenance
    published = f"the published study `{results.name}` at scale `{results.scale}`"
    axes = {"data set": study.axis_data, "network": study.axis_networks, "prior": study.axis_priors}
    axes |= {"value of β": study.axis_betas, "seed": study.axis_seeds}
    product = " × ".join(plural(len(axis), name) for name, axis in axes.items() if len(axis) > 1 or name != "prior")
    seconds = facts.get("seconds")
    if seconds is None:
        time = "an unknown time"
    else:
        time = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    return (
        f"Shown is {published if results.name else 'a study of your own'}: {plural(len(study), 'member')} ({product}), "
        f"each trained for {study.steps:,} steps with {study.batch_size} images a step; {time} in all on "
        f"{facts.get('device', 'an unnamed device')}, {facts.get('precision', 'unknown precision')}, "
        f"{facts.get('date', 'undated')}. The numbers are in `{results.source}`."
    )


def plural(number: int, name: str) -> str:
    """Return a count with its noun, such as "1 setting" or "2 pairs of networks"."""
    # Of "pair of networks" the pairs are many.
    first, *rest = name.rsplit(" of ", 1)
    return " of ".join([f"{number} {first}{'' if number == 1 else 's'}", *rest])
