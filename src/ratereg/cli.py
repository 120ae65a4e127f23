"""The `ratereg` command: what a notebook does, in a terminal. It needs the standard library and the package alone."""

import argparse
import ast
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratereg.data.known import KNOWN, read_known, variable, write_known
from ratereg.options import joined_pairs, parser_of
from ratereg.storage import StorageError, cache_directory
from ratereg.studies import CATALOG, Results, load_or_run, published
from ratereg.studies.archive import unpack
from ratereg.studies.campaign import make_results
from ratereg.studies.outlook import spoken
from ratereg.studies.results import find_published
from ratereg.training.interruption import Stopped

__all__ = ["main"]

_INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

_EXTRAS = {"dask": "cluster", "distributed": "cluster"}
"""Packages of other extras than `book`."""


def main() -> None:
    """Run the command; an error that says what would do is shown in one line, without a traceback."""
    parser = parser_of(_COMMANDS)
    if not sys.argv[1:]:
        parser.print_help()
        raise SystemExit(2)
    try:
        arguments = parser.parse_args(joined_pairs(sys.argv[1:]))
        arguments.command(arguments)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0], "book")
        what = "clusters need" if extra == "cluster" else "notebooks need"
        raise _ended(2, f"{error}; pip install -e '.[{extra}]' in a checkout installs what {what}.") from None
    except (ValueError, LookupError, FileNotFoundError, StorageError, MemoryError) as error:
        raise _ended(2, str(error)) from None
    except Stopped as stopped:
        reached = f"stopped after step {stopped.step:,} of {stopped.steps:,}, and all is saved"
        raise _ended(_INTERRUPTED, f"{reached}. {_go_on()}") from None
    except KeyboardInterrupt:
        kept = f"stopped at once. The last checkpoints and all finished members are kept in {cache_directory()}"
        raise _ended(_INTERRUPTED, f"{kept}. {_go_on()}") from None


def _list_studies(_: argparse.Namespace) -> None:
    for name, scales in CATALOG.items():
        for scale, study in scales.items():
            place = find_published(study.digest)
            where = f"{place.parent.parent.name}/{place.parent.name}/{place.name}" if place else "no result"
            print(f"{name:12} {scale:6} {len(study):4} members, {study.steps:7,} steps   {where}")


def _run_study(arguments: argparse.Namespace) -> None:
    _give(arguments.data)
    study = published(arguments.name, arguments.scale).replace(**_parse(arguments.set))
    results = load_or_run(
        study,
        device=_devices(arguments.device),
        scheduler=arguments.scheduler,
        max_members=arguments.max_members,
        checkpoint_seconds=arguments.checkpoint_seconds,
    )
    _report(results)


def _reproduce(arguments: argparse.Namespace) -> None:
    from ratereg.reproduce import committed, describe_members, reproduce

    _give(arguments.data)
    results = committed(arguments.name, arguments.scale)
    if arguments.member is None:
        print(f"{describe_members(results)}\nGive one of these by --member.")
        return
    table = reproduce(
        results,
        arguments.member,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint_seconds=arguments.checkpoint_seconds,
    )
    print(table.round(3).to_string(index=False))
    print(f"In nats; low to high is the interval of one more run, from the seeds in {results.directory}.")


def _make_results(arguments: argparse.Namespace) -> None:
    _give(arguments.data)
    if arguments.unpack:
        if arguments.archive is None:
            raise ValueError("--unpack needs an archive; give --archive FILE.tar.gz.")
        print("\n".join(unpack(arguments.archive)) or "all of it is there already")
        return
    left = make_results(
        arguments.names,
        arguments.scale,
        seconds=None if arguments.minutes is None else 60 * arguments.minutes,
        archive=arguments.archive,
        device=_devices(arguments.device),
        max_members=arguments.max_members,
        checkpoint_seconds=arguments.checkpoint_seconds,
        say=lambda line: print(line, flush=True),
    )
    for one in left:
        print(f"left: {one.name} at scale {one.scale}, {one.members} of {one.of} members, {spoken(one.seconds)}")
    if left:
        print(f"On this machine that takes about {spoken(sum(one.seconds for one in left))} in all. {_go_on()}")
    else:
        print("Nothing is left.")


def _write_data(arguments: argparse.Namespace) -> None:
    output = arguments.output or Path(f"{arguments.name}.npz")
    written = write_known(read_known(arguments.name), output)
    print(f"written: {written}, {written.stat().st_size / 1e6:.1f} MB. On a machine without the set, say")
    print(f"  --data {arguments.name}={written}   or   export {variable(arguments.name)}={written}")


def _rerun_notebook(arguments: argparse.Namespace) -> None:
    from ratereg.rerun import describe_parameters, grid, rerun
    from ratereg.rerun.axes import read_axes

    parameters = dict(parameter.partition("=")[::2] for parameter in arguments.p)
    if arguments.list:
        print(describe_parameters(arguments.notebook))
    elif arguments.grid:
        axes = read_axes(arguments.grid)
        outcome = grid(arguments.notebook, axes, parameters, arguments.output, lambda line: print(line, flush=True))
        print(outcome.table.dropna(axis="columns", how="all").to_string(index=False, max_colwidth=40))
        if outcome.failed:
            raise _ended(1, f"{outcome.failed} of {len(outcome.table)} runs failed. {_go_on()}")
    else:
        from papermill import PapermillExecutionError

        try:
            print(f"written: {rerun(arguments.notebook, parameters, arguments.output)}")
        except PapermillExecutionError as error:
            raise _ended(1, f"{error}\nA cell of {arguments.notebook} failed, so nothing has been written.") from None


def _write_report(arguments: argparse.Namespace) -> None:
    from ratereg.report.command import report

    _give(arguments.data)
    report(arguments, _devices(arguments.device))


_COMMANDS = {
    "studies": _list_studies,
    "run": _run_study,
    "reproduce": _reproduce,
    "results": _make_results,
    "data": _write_data,
    "rerun": _rerun_notebook,
    "report": _write_report,
}


def _parse(settings: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE as Python values; a word that is none is taken as a string, and 1,0.1 is a tuple."""
    parsed = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name or not value:
            raise ValueError(f"--set is {setting!r}; give NAME=VALUE, for example steps=2000.")
        if name in ("data", "network"):
            raise ValueError(f"--set cannot change {name!r}; write a study in Python for that, as the README shows.")
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed[name] = value
    return parsed


def _give(files: Sequence[str]) -> None:
    """Note where known sets are given; in the environment, so that other processes of the run know it too."""
    for given in files:
        name, equals, file = given.partition("=")
        if not equals or not file or name not in KNOWN:
            known = " or ".join(KNOWN)
            raise ValueError(
                f"--data is {given!r}; give NAME=FILE with the name {known}; a path is a source by itself."
            )
        os.environ[variable(name)] = str(Path(file).expanduser().absolute())


def _devices(device: str | None) -> str | list[str] | None:
    return device.split(",") if device and "," in device else device


def _ended(code: int, message: str) -> SystemExit:
    print(f"ratereg: {message}", file=sys.stderr)
    return SystemExit(code)


def _go_on() -> str:
    program = "python -m ratereg" if Path(sys.argv[0]).name == "__main__.py" else "ratereg"
    return f"To go on, run the same command again: {program} {shlex.join(sys.argv[1:])}"


def _report(results: Results) -> None:
    columns = ["split", "layers", "beta", "partition", "rate", "distortion", "mutual_information", "marginal_kl"]
    table = results.final[columns].groupby(columns[:4], sort=False).mean().round(2)
    study = results.study
    print(f"Means over {len(study.axis_seeds)} seeds at step {study.steps:,}, in nats:")
    print(table.to_string())
    print(f"All of it: {results.directory}")
