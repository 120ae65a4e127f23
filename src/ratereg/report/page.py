"""The page: its head, its sections in order, and how it is written."""

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path

from ratereg.data import ImageSet
from ratereg.report.looking import notes_on
from ratereg.report.sections import sections
from ratereg.storage import check_writable, writing
from ratereg.studies import Results

__all__ = ["checked_output", "write_report"]

_STYLE = Path(__file__).with_name("report.css")


def write_report(
    results: Results,
    output: str | Path,
    *,
    images: ImageSet | None = None,
    command: str = "",
    replace: bool = False,
) -> Path:
    """Write the rate-distortion report of some results as one HTML file, which needs no other file and no network.

    It is written whole or not at all.

    Arguments:
        results: of any study, for example `ratereg.load_or_run(plan.study)`.
        output: the .html file.
        images: what was learned from, if more is to be said of it: of one data set alone.
        command: what was typed to make it, to be shown.
        replace: whether a file that is there may be replaced.

    Returns:
        where it is.

    Raises:
        StorageError: it can't be written.
        ValueError: `output` is there and `replace` is False, or its name does not end in .html.
    """
    output = checked_output(output, replace=replace)
    html = _page(results, notes_on(images) if images is not None else {}, command)
    aside = output.with_name(f".{output.name}.{os.getpid()}")
    with writing(output):
        try:
            aside.write_text(html, encoding="utf-8")
            aside.replace(output)
        finally:
            aside.unlink(missing_ok=True)
    return output


def checked_output(output: str | Path, *, replace: bool = False) -> Path:
    """Return the path of a report that can be written there; asked before anything is trained.

    Raises:
        StorageError: its folder can't be made or written to.
        ValueError: as `write_report`.
    """
    output = Path(output).expanduser()
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"report: output is {str(output)!r}; give a file that ends in .html.")
    if output.is_dir() or (output.exists() and not replace):
        what = "a folder" if output.is_dir() else "there already"
        raise ValueError(f"report: output {str(output)!r} is {what}; give another name, or --force to replace a file.")
    check_writable(output.absolute().parent)
    return output


def _page(results: Results, notes: Mapping[str, object], command: str) -> str:
    parts = sections(results, notes, command)
    study = results.study
    sources = ", ".join(dict.fromkeys(str(name) for name in results.final["dataset"]))
    name = f"the published study {results.name} ({results.scale} scale)" if results.name else sources
    lead = (
        f"{len(study)} variational autoencoders, trained on {sources} with weights β of the rate from "
        f"{max(study.axis_betas):g} down to {min(study.axis_betas):g}: how well they generalize, and what their codes "
        "hold. All quantities are in nats."
    )
    links = "".join(f'<li><a href="#{label}">{escape(title)}</a></li>' for label, title, _ in parts)
    content = "\n".join(part for _, _, part in parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rate-distortion report: {escape(name)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>Rate-distortion report: {escape(name)}</h1>
<p class="lead">{escape(lead)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{content}
</main>
<footer><p>Written by ratereg. This file is whole: it needs no other file, no script and no network.</p></footer>
</body>
</html>
"""
