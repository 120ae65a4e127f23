"""The `ratereg` command: what a notebook does, in a terminal. It needs the standard library and the package alone."""

import argparse
import ast
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratereg.data.given import variable, write_given
from ratereg.data.images import KNOWN, read_known
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
    parser = _parser()
    if not sys.argv[1:]:
        parser.print_help()
        raise SystemExit(2)
    try:
        arguments = parser.parse_args(_join_pairs(sys.argv[1:]))
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
    written = write_given(read_known(arguments.name), output)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ratereg",
        description="Rate-distortion analyses of variational autoencoders.",
        epilog="`ratereg COMMAND --help` says more of each. What takes long goes on where it was stopped when the same "
        "command is given again.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, does: Any, summary: str, *examples: str) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name,
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=summary,
            epilog="\n".join(["examples:", *(f"  ratereg {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(command=does)
        return one

    command("studies", _list_studies, "List the published studies and their results.", "studies")

    run = command(
        "run",
        _run_study,
        "Run a published study, or a variant of it, unless its result is there, and print what it found.",
        "run plane --scale cpu --set steps=2000 --set betas=1,0.1 --set precision=float32",
        "run capacity --scale full --scheduler tcp://10.0.0.1:8786",
    )
    run.add_argument("name", metavar="NAME", help="a published study; `ratereg studies` lists them")
    run.add_argument("--scale", help="full or cpu; by default the largest that has a result")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting, e.g. steps=2000 (repeatable)"
    )
    run.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, whose workers train instead")
    _add_training(run)

    again = command(
        "reproduce",
        _reproduce,
        "Train a member of a committed result again, and print its numbers beside the committed ones.",
        "reproduce images",
        "reproduce images --member 0",
        "reproduce images --member 0 --seed 7",
    )
    again.add_argument("name", metavar="NAME", help="a published study")
    again.add_argument("--scale", help="full or cpu; by default the largest that has a result")
    again.add_argument("--member", type=int, metavar="N", help="its number; without it the members are listed")
    again.add_argument("--seed", type=int, metavar="N", help="train with another seed than the member's own")
    _add_training(again, together=False)

    results = command(
        "results",
        _make_results,
        "Run the published studies that have no result at a scale, and put their results into results/.",
        "results --minutes 9",
        "results plane --scale full --minutes 9 --archive results.tar.gz",
        "results --archive results.tar.gz --unpack",
    )
    results.add_argument("names", nargs="*", metavar="NAME", help="published studies; by default all")
    results.add_argument("--scale", help="full or cpu; by default full where there is a GPU, else cpu")
    results.add_argument("--minutes", type=float, metavar="M", help="for this call; what is not done by then is saved")
    results.add_argument(
        "--archive",
        type=Path,
        metavar="FILE",
        help="a .tar.gz that gets what is finished; what it holds already is read first",
    )
    results.add_argument("--unpack", action="store_true", help="only read the archive")
    _add_training(results)

    data = command(
        "data",
        _write_data,
        "Write a known image set to one file, for machines that can't fetch it.",
        "data fashion-mnist --output fashion-mnist.npz",
        "results --data fashion-mnist=fashion-mnist.npz",
    )
    data.add_argument("name", choices=list(KNOWN), help="the set")
    data.add_argument("-o", "--output", type=Path, metavar="FILE", help="the .npz file; by default NAME.npz")

    rerun = command(
        "rerun",
        _rerun_notebook,
        "Run a notebook with other parameters, or with a grid of them, and write what came out.",
        "rerun notebooks/capacity.md --list",
        "rerun notebooks/capacity.md -p steps 200 -p betas [1,0.1]",
        "rerun notebooks/capacity.md -p images=2048 -p seeds=1 --grid steps=200,500 --grid betas=[[1,0.1],[3,0.3]]",
    )
    rerun.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="a text notebook, e.g. notebooks/capacity.md")
    rerun.add_argument(
        "-p", action="append", default=[], metavar="NAME VALUE", help="a parameter of the notebook (repeatable)"
    )
    rerun.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="NAME=VALUE,...",
        help="values of a parameter, or a YAML file of such lists: all combinations are run (repeatable)",
    )
    rerun.add_argument("--list", action="store_true", help="only list the notebook's parameters")
    rerun.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="the executed notebook to write; the folder of a grid"
    )

    report = command(
        "report",
        _write_report,
        "Train networks on your own images, and write their rate-distortion report as one HTML page.",
        "report my_images/",
        "report photos/ --size 32 --minutes 20 --output photos.html",
        "report my_images.npy --plan",
        "report --study capacity",
    )
    report.add_argument(
        "path", nargs="?", metavar="PATH", help="a folder of images, a .npy or .npz file, or a known set's name"
    )
    report.add_argument("--study", metavar="NAME", help="report the committed result of a published study instead")
    report.add_argument("--scale", help="of that study: full or cpu; by default the largest that has a result")
    report.add_argument("-o", "--output", type=Path, metavar="FILE", help="the page; by default NAME-report.html, here")
    report.add_argument("--force", action="store_true", help="replace the page if it is there")
    report.add_argument("--plan", action="store_true", help="only say what would be trained, and for how long")
    report.add_argument("--minutes", type=float, default=8, metavar="M", help="for training; by default 8")
    report.add_argument("--steps", type=int, metavar="N", help="training steps, whatever time they take")
    report.add_argument(
        "--network",
        action="append",
        metavar="NETWORK",
        help="3x512 for three hidden layers of 512 units, conv32 for convolutions of 32 channels (repeatable)",
    )
    report.add_argument("--betas", metavar="B,B", help="weights of the rate; by default 3,1,0.1,0.01,0.001")
    report.add_argument("--seeds", type=int, default=3, metavar="N", help="how many; fewer than 3 give no verdict")
    report.add_argument("--likelihood", default="bernoulli", help="bernoulli (the default) or gaussian")
    report.add_argument("--binarize", help="static or dynamic: draw pixels black or white")
    report.add_argument("--images", type=int, metavar="N", help="of each side at the most; by default 10,000")
    report.add_argument("--size", type=int, metavar="N", help="cut a folder's images square, scaled to N x N")
    _add_training(report, together=False)
    return parser


def _add_training(parser: argparse.ArgumentParser, *, together: bool = True) -> None:
    """Options of the commands that train, one model or several together."""
    parser.add_argument("--device", help="cpu, cuda, or several: cuda:0,cuda:1; by default all GPUs, or else the CPU")
    if together:
        parser.add_argument("--max-members", type=int, metavar="N", help="train at most that many models at once")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=300, metavar="S", help="how often the state is kept; by default 300"
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a known image set given as a file; `ratereg data` makes one (repeatable)",
    )


def _join_pairs(arguments: Sequence[str]) -> list[str]:
    """Join papermill's `-p NAME VALUE` to `-p NAME=VALUE`, so that either may be given, and any value."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "-p":
            name = next(rest, "")
            joined.append(name if "=" in name else f"{name}={next(rest, '')}")
    return joined


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
