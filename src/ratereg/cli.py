"""The `ratereg` command: notebooks' work in a terminal. It needs only the standard library and the package."""

import argparse
import ast
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Everything else is imported by the command that needs it, since torch takes seconds and help needs none of it.

__all__ = ["main"]

_INTERRUPTED, _BROKEN_PIPE = 130, 141
"""The exit codes after Ctrl-C, and where nobody reads the output any more, as shells have them."""


def main() -> None:
    """Run the command; an error whose message says what would do is shown without a traceback."""
    parser = _parser()
    if not sys.argv[1:]:
        parser.print_help()
        raise SystemExit(2)
    arguments = parser.parse_args(_joined_pairs(sys.argv[1:]))

    from ratereg.storage import StorageError, cache_directory
    from ratereg.training import Stopped

    try:
        _give(getattr(arguments, "data", []))
        arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # As `head` does to it; Python flushes the output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_BROKEN_PIPE) from None
    except ModuleNotFoundError as error:
        # An error of our own has no name, and a hint already.
        hint = "; pip install -e '.[book]' in a checkout installs what notebooks need." if error.name else ""
        raise _ended(2, f"{error}{hint}") from None
    except (ValueError, LookupError, FileNotFoundError, ConnectionError, StorageError, MemoryError) as error:
        raise _ended(2, str(error)) from None
    except Stopped as stopped:
        reached = f"stopped after step {stopped.step:,} of {stopped.steps:,}, and all is saved"
        raise _ended(_INTERRUPTED, f"{reached}. {_to_resume()}") from None
    except KeyboardInterrupt:
        kept = f"stopped at once. The last checkpoints and all finished members are kept in {cache_directory()}"
        raise _ended(_INTERRUPTED, f"{kept}. {_to_resume()}") from None


def _studies(_: argparse.Namespace) -> None:
    """List the published studies and their results."""
    from ratereg.studies import CATALOG
    from ratereg.studies.results import find_published

    for name, scales in CATALOG.items():
        for scale, study in scales.items():
            place = find_published(study.digest)
            where = Path(*place.parts[-3:]) if place else "no result"
            print(f"{name:12} {scale:6} {len(study):4} members, {study.steps:7,} steps   {where}")


def _run(arguments: argparse.Namespace) -> None:
    """Run a published study, or a variant of it, unless its result is there, and print what it found."""
    from ratereg.studies import load_or_run, published

    settings = {}
    for setting in arguments.set:
        name, equals, value = setting.partition("=")
        if not equals or not name or not value:
            raise ValueError(f"--set is {setting!r}; give NAME=VALUE, for example steps=2000.")
        settings[name] = _value(value)
    how = _chosen(arguments, "device", "scheduler", "max_members", "checkpoint_seconds")
    results = load_or_run(published(arguments.name, arguments.scale).replace(**settings), **how)
    by = ["setting", "dataset", "split", "architecture", "prior", "beta", "partition"]
    rows = results.final[results.final["partition"] != "fresh"]
    quantities = [name for name in ("rate", "distortion", "mutual_information", "marginal_kl") if name in rows]
    print(f"Means over {len(results.study.axis_seeds)} seeds at step {results.study.steps:,}, in nats:")
    print(rows.groupby(by, sort=False)[quantities].mean().round(2).droplevel("setting").to_string())
    print(f"All of it: {results.directory}")


def _reproduce(arguments: argparse.Namespace) -> None:
    """Train a member of a committed result again, and print its numbers beside the committed ones."""
    from ratereg.reproduce import committed, reproduce

    results = committed(arguments.name, arguments.scale)
    if arguments.member is None:
        columns = ["member", "dataset", "split", "share", "n_train", "architecture", "prior", "seed", "beta"]
        print(results.final.drop_duplicates("member")[columns].to_string(index=False))
        print("Give one of these by --member.")
        return
    table = reproduce(results, arguments.member, **_chosen(arguments, "seed", "device", "checkpoint_seconds"))
    print(table.round(3).to_string(index=False))
    print(f"In nats; low to high is the interval of one more run, from the seeds in {results.directory}.")


def _results(arguments: argparse.Namespace) -> None:
    """Run the published studies that have no result at a scale, and put their results into results/."""
    from ratereg.studies.campaign import make_results, pack, unpack

    if arguments.unpack and arguments.archive is None:
        raise ValueError("--unpack needs an archive; give --archive FILE.tar.gz.")
    if arguments.unpack or (arguments.archive and arguments.archive.is_file()):
        print(f"unpacked: {unpack(arguments.archive)} files of {arguments.archive} that were not there")
        if arguments.unpack:
            return
    try:
        left = make_results(
            arguments.names,
            arguments.scale,
            seconds=None if arguments.minutes is None else 60 * arguments.minutes,
            say=_say,
            **_chosen(arguments, "device", "max_members", "checkpoint_seconds"),
        )
    finally:
        if arguments.archive:
            pack(arguments.archive)
    print(f"left: {', '.join(left)}. {_to_resume()}" if left else "Nothing is left.")


def _data(arguments: argparse.Namespace) -> None:
    """Write a known image set to one file, for machines that can't fetch it."""
    from ratereg.data.known import KNOWN, read_known, variable, write_known

    name = arguments.name
    if name not in KNOWN:
        raise ValueError(f"data: name is {name!r}; give one of {', '.join(KNOWN)}.")
    written = write_known(read_known(name), arguments.output or Path(f"{name}.npz"))
    print(f"written: {written}, {written.stat().st_size / 1e6:.1f} MB. On a machine without the set, say")
    print(f"  --data {name}={written}   or   export {variable(name)}={written}")


def _rerun(arguments: argparse.Namespace) -> None:
    """Run a notebook with other parameters, or with a grid of them, and write what came out."""
    from papermill import PapermillExecutionError

    from ratereg.rerun import describe_parameters, grid, read_axes, rerun

    parameters = dict(parameter.partition("=")[::2] for parameter in arguments.p)
    if arguments.list:
        print(describe_parameters(arguments.notebook))
    elif arguments.grid:
        axes = read_axes(arguments.grid)
        table = grid(arguments.notebook, axes, parameters, arguments.output, _say)
        print(table.dropna(axis="columns", how="all").to_string(index=False, max_colwidth=40))
        if failed := sum(table["outcome"].str.startswith("failed")):
            raise _ended(1, f"{failed} of {len(table)} runs failed. {_to_resume()}")
    else:
        try:
            print(f"written: {rerun(arguments.notebook, parameters, arguments.output)}")
        except PapermillExecutionError as error:
            raise _ended(1, f"{error}\nA cell of {arguments.notebook} failed, so nothing has been written.") from None


def _report(arguments: argparse.Namespace) -> None:
    """Train networks on your own images, and write their rate-distortion report as one HTML page."""
    from ratereg.report.command import report

    report(arguments)


def _parser() -> argparse.ArgumentParser:
    """Return the parser; the function of the chosen command is the argument `command`."""
    parser = argparse.ArgumentParser(
        prog="ratereg",
        description="Rate-distortion analyses of variational autoencoders.",
        epilog="`ratereg COMMAND --help` lists options and examples; --set, -p, --grid, --network and --data may be "
        "repeated. The same command resumes what was stopped.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    scale, members, training = (argparse.ArgumentParser(add_help=False) for _ in range(3))
    several: dict[str, Any] = {"action": "append", "default": []}
    scale.add_argument("--scale", help="full or cpu; by default the largest that has a result")
    members.add_argument("--max-members", type=int, metavar="N", help="train at most that many models at once")
    option = training.add_argument
    option("--device", type=_devices, help="cpu, cuda, or several: cuda:0,cuda:1; by default all GPUs, or else the CPU")
    option("--checkpoint-seconds", type=float, default=300, metavar="S", help="between checkpoints; by default 300")
    option("--data", **several, metavar="NAME=FILE", help="file of a known image set, as `ratereg data` makes it")

    def command(
        function: Callable[[argparse.Namespace], None], parents: Sequence[argparse.ArgumentParser], *examples: str
    ) -> Callable[..., argparse.Action]:
        name, summary = function.__name__.lstrip("_"), function.__doc__ or ""
        one = commands.add_parser(
            name,
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=summary,
            epilog="\n".join(["examples:", *(f"  ratereg {name} {example}".rstrip() for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=parents,
        )
        one.set_defaults(command=function)
        return one.add_argument

    command(_studies, [], "")

    option = command(
        _run,
        [scale, training, members],
        "plane --scale cpu --set steps=2000 --set betas=1,0.1 --set 'network=MLP(layers=2)'",
        "capacity --scale full --scheduler tcp://10.0.0.1:8786",
    )
    option("name", metavar="NAME", help="a published study; `ratereg studies` lists them")
    option("--set", **several, metavar="NAME=VALUE", help="another setting of the study")
    option("--scheduler", metavar="ADDRESS", help="of a Dask cluster, whose workers train instead")

    option = command(_reproduce, [scale, training], "images", "images --member 0", "images --member 0 --seed 7")
    option("name", metavar="NAME", help="a published study")
    option("--member", type=int, metavar="N", help="its number; without it the members are listed")
    option("--seed", type=int, metavar="N", help="train with another seed than the member's own")

    option = command(
        _results,
        [training, members],
        "--minutes 9",
        "plane --scale full --minutes 9 --archive results.tar.gz",
        "--archive results.tar.gz --unpack",
    )
    option("names", nargs="*", metavar="NAME", help="published studies; by default all")
    option("--scale", help="full or cpu; by default full where there is a GPU, else cpu")
    option("--minutes", type=float, metavar="M", help="for this call; what is not done by then is saved")
    option("--archive", type=Path, metavar="FILE", help="a .tar.gz that gets what is finished, and is read first")
    option("--unpack", action="store_true", help="only read the archive")

    option = command(_data, [], "fashion-mnist --output fashion-mnist.npz")
    option("name", metavar="NAME", help="the set: fashion-mnist, mnist or mnist-10k")
    option("-o", "--output", type=Path, metavar="FILE", help="the .npz file; by default NAME.npz")

    option = command(
        _rerun,
        [],
        "notebooks/capacity.md --list",
        "notebooks/capacity.md -p steps 200 -p betas [1,0.1]",
        "notebooks/capacity.md -p images=2048 -p seeds=1 --grid steps=200,500 --grid betas=[[1,0.1],[3,0.3]]",
    )
    option("notebook", type=Path, metavar="NOTEBOOK", help="a text notebook, e.g. notebooks/capacity.md")
    option("-p", **several, metavar="NAME VALUE", help="a parameter of the notebook")
    option("--grid", **several, metavar="NAME=VALUE,...", help="values to combine, or a YAML file of such lists")
    option("--list", action="store_true", help="only list the notebook's parameters")
    option("-o", "--output", type=Path, metavar="PATH", help="the executed notebook to write; the folder of a grid")

    option = command(
        _report,
        [scale, training],
        "my_images/",
        "photos/ --size 32 --minutes 20 --output photos.html",
        "my_images.npy --plan",
        "--study capacity",
    )
    option("path", nargs="?", metavar="PATH", help="a folder of images, a .npy or .npz file, or a known set's name")
    option("--study", metavar="NAME", help="report the committed result of a published study instead")
    option("-o", "--output", type=Path, metavar="FILE", help="the page; by default NAME-report.html, here")
    option("--force", action="store_true", help="replace the page if it is there")
    option("--plan", action="store_true", help="only say what would be trained, and for how many steps")
    option("--minutes", type=float, default=8, metavar="M", help="for training; by default 8")
    option("--steps", type=int, metavar="N", help="training steps, whatever time they take")
    option("--network", **several, metavar="NETWORK", help="3x512 for 3 layers of 512 units, conv32 for 32 channels")
    option("--betas", metavar="B,B", help="weights of the rate; by default 3,1,0.1,0.01,0.001")
    option("--seeds", type=int, default=3, metavar="N", help="how many; fewer than 3 give no verdict")
    option("--likelihood", default="bernoulli", help="bernoulli (the default) or gaussian")
    option("--binarize", help="static or dynamic: draw pixels black or white")
    option("--images", type=int, metavar="N", help="of each side at most; by default 10,000")
    option("--size", type=int, metavar="N", help="cut a folder's images square, scaled to N x N")
    return parser


def _joined_pairs(arguments: Sequence[str]) -> list[str]:
    """Join papermill's `-p NAME VALUE` to `-p NAME=VALUE`, so that either may be given, and any value."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "-p":
            name = next(rest, "")
            joined.append(name if "=" in name else f"{name}={next(rest, '')}")
    return joined


def _chosen(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names}


def _say(line: str) -> None:
    print(line, flush=True)


def _devices(text: str) -> str | list[str]:
    return text.split(",") if "," in text else text


def _value(text: str) -> Any:
    """Return the value of a setting: 2000, (1, 0.1), MLP(layers=2); what is no such expression is text."""
    from ratereg import measurements, models
    from ratereg.data import Data

    classes = {name: getattr(room, name) for room in (models, measurements) for name in room.__all__} | {"Data": Data}

    def evaluated(node: ast.expr) -> Any:
        if isinstance(node, ast.Tuple | ast.List):
            return tuple(map(evaluated, node.elts))
        if isinstance(node, ast.Call) and (made := classes.get(ast.unparse(node.func))):
            given = {one.arg: evaluated(one.value) for one in node.keywords if one.arg}
            return made(*map(evaluated, node.args), **given)
        try:
            return ast.literal_eval(node)
        except ValueError:
            return ast.get_source_segment(text, node)

    try:
        return evaluated(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return text


def _give(files: Sequence[str]) -> None:
    """Note where known sets are given; in the environment, so that it reaches other processes of the run."""
    if not files:
        return
    from ratereg.data.known import KNOWN, variable

    for given in files:
        name, equals, file = given.partition("=")
        if not equals or not file or name not in KNOWN:
            known = " or ".join(KNOWN)
            raise ValueError(f"--data is {given!r}; give NAME=FILE with the name {known}; a path is itself a source.")
        os.environ[variable(name)] = str(Path(file).expanduser().absolute())


def _ended(code: int, message: str) -> SystemExit:
    print(f"ratereg: {message}", file=sys.stderr)
    return SystemExit(code)


def _to_resume() -> str:
    program = "python -m ratereg" if Path(sys.argv[0]).name == "__main__.py" else "ratereg"
    return f"To resume, run the same command again: {program} {shlex.join(sys.argv[1:])}"
