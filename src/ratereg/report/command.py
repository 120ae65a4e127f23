"""The command `ratereg report`: everything is checked before anything is trained."""

import argparse
import re
import shlex
import sys
from pathlib import Path

from ratereg.models import MLP, Convolutional
from ratereg.report.page import checked_output, write_report
from ratereg.report.planning import BETAS, NETWORKS, plan_study
from ratereg.reproduce import committed
from ratereg.studies import load_or_run

__all__ = ["betas_of", "network_of", "report"]


def report(arguments: argparse.Namespace) -> None:
    """Write the report that the command's arguments ask for, and print its path."""
    if (arguments.path is None) == (arguments.study is None):
        raise ValueError("report: give either a PATH or --study NAME.")
    name = Path(arguments.path or arguments.study).expanduser().resolve().stem
    output = arguments.output or Path(f"{name}-report.html")
    if not arguments.plan:
        checked_output(output, replace=arguments.force)
    if arguments.study is not None:
        results = committed(arguments.study, arguments.scale)
    else:
        as_given = ("minutes", "seeds", "steps", "images", "size", "binarize", "likelihood", "device")
        study = plan_study(
            arguments.path,
            networks=[network_of(one) for one in arguments.network] or NETWORKS,
            betas=BETAS if arguments.betas is None else betas_of(arguments.betas),
            **{name: getattr(arguments, name) for name in as_given},
        )
        networks = ", ".join(network.label for network in study.axis_networks)
        betas = ", ".join(f"{beta:g}" for beta in study.axis_betas)
        seeds = len(study.axis_seeds)
        print(f"{len(study)} networks: {networks}; beta = {betas}; {seeds} seeds; {study.steps:,} steps", flush=True)
        if arguments.plan:
            return
        results = load_or_run(study, device=arguments.device, checkpoint_seconds=arguments.checkpoint_seconds)
    command = f"ratereg {shlex.join(sys.argv[1:])}"
    written = write_report(results, output, command=command, replace=arguments.force)
    print(f"written: {written}, {written.stat().st_size / 1e6:.1f} MB. Open it in a browser.")


def network_of(words: str) -> MLP | Convolutional:
    """Return the network that is named as 3x512 or as conv32, or raise ValueError."""
    if found := re.fullmatch(r"(\d+)x(\d+)", words):
        return MLP(layers=int(found[1]), width=int(found[2]))
    if found := re.fullmatch(r"conv(\d+)", words):
        return Convolutional(width=int(found[1]))
    raise ValueError(f"--network is {words!r}; give 3x512, for three hidden layers of 512 units, or conv32.")


def betas_of(words: str) -> list[float]:
    """Return the weights that are written with commas between them, or raise ValueError."""
    try:
        return [float(one) for one in words.strip("[]() ").split(",")]
    except ValueError:
        raise ValueError(f"--betas is {words!r}; give numbers with commas between them, for example 1,0.1.") from None
