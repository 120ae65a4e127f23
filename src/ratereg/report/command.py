"""What `ratereg report` does: everything is checked, and the time said, before anything is trained."""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ratereg.models import MLP
from ratereg.models.networks import Convolutional
from ratereg.report.page import checked_output, write_report
from ratereg.report.planning import BETAS, Plan, plan_study
from ratereg.report.resizing import resized
from ratereg.reproduce import committed
from ratereg.studies import Data, load_or_run

__all__ = ["betas_of", "network_of", "report"]


def report(arguments: argparse.Namespace, device: str | list[str] | None) -> None:
    """Write the report that the command's arguments ask for, and say where it is."""
    if (arguments.path is None) == (arguments.study is None):
        raise ValueError("report: give either a PATH or --study NAME.")
    name = Path(arguments.path or arguments.study).expanduser().resolve().stem
    output = arguments.output or Path(f"{name}-report.html")
    if arguments.study is not None:
        checked_output(output, replace=arguments.force)
        written = write_report(
            committed(arguments.study, arguments.scale), output, command=_typed(), replace=arguments.force
        )
    else:
        if not arguments.plan:
            checked_output(output, replace=arguments.force)
        plan = _planned(arguments, device)
        print(plan, flush=True)
        if arguments.plan:
            return
        results = load_or_run(plan.study, device=device, checkpoint_seconds=arguments.checkpoint_seconds)
        written = write_report(results, output, images=plan.images, command=_typed(), replace=arguments.force)
    print(f"written: {written}, {written.stat().st_size / 1e6:.1f} MB. Open it in a browser.")


def _typed() -> str:
    return f"ratereg {shlex.join(sys.argv[1:])}"


def _planned(arguments: argparse.Namespace, device: str | Sequence[str] | None) -> Plan:
    source: str | Path = arguments.path
    if arguments.size is not None:
        source = resized(source, arguments.size)
    return plan_study(
        Data(str(source), binarize=arguments.binarize),
        minutes=arguments.minutes,
        networks=None if arguments.network is None else [network_of(one) for one in arguments.network],
        betas=BETAS if arguments.betas is None else betas_of(arguments.betas),
        seeds=arguments.seeds,
        steps=arguments.steps,
        images=arguments.images,
        likelihood=arguments.likelihood,
        device=device,
    )


def network_of(words: str) -> MLP | Convolutional:
    """Return the network that is named as 3x512 or as conv32.

    Raises:
        ValueError: it is named otherwise, or there is none of that size.
    """
    if found := re.fullmatch(r"(\d+)x(\d+)", words):
        return MLP(layers=int(found[1]), width=int(found[2]))
    if found := re.fullmatch(r"conv(\d+)", words):
        return Convolutional(width=int(found[1]))
    raise ValueError(f"--network is {words!r}; give 3x512, for three hidden layers of 512 units, or conv32.")


def betas_of(words: str) -> list[float]:
    """Return the weights that are written with commas between them.

    Raises:
        ValueError: one is not a number.
    """
    try:
        return [float(one) for one in words.strip("[]() ").split(",")]
    except ValueError:
        raise ValueError(f"--betas is {words!r}; give numbers with commas between them, for example 1,0.1.") from None
