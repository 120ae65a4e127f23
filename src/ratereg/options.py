"""What may be typed after `ratereg`: its commands, their options, and what `--help` says of them."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ratereg.data.known import KNOWN

__all__ = ["joined_pairs", "parser_of"]


def parser_of(commands: Mapping[str, Callable[[argparse.Namespace], None]]) -> argparse.ArgumentParser:
    """Return the parser of the command; what `commands` names is put into the arguments as `command`."""
    parser = argparse.ArgumentParser(
        prog="ratereg",
        description="Rate-distortion analyses of variational autoencoders.",
        epilog="`ratereg COMMAND --help` says more of each. What takes long goes on where it was stopped when the same "
        "command is given again.",
    )
    choices = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, summary: str, *examples: str) -> argparse.ArgumentParser:
        one = choices.add_parser(
            name,
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=summary,
            epilog="\n".join(["examples:", *(f"  ratereg {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(command=commands[name])
        return one

    command("studies", "List the published studies and their results.", "studies")

    run = command(
        "run",
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
        "Write a known image set to one file, for machines that can't fetch it.",
        "data fashion-mnist --output fashion-mnist.npz",
        "results --data fashion-mnist=fashion-mnist.npz",
    )
    data.add_argument("name", choices=list(KNOWN), help="the set")
    data.add_argument("-o", "--output", type=Path, metavar="FILE", help="the .npz file; by default NAME.npz")

    rerun = command(
        "rerun",
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


def joined_pairs(arguments: Sequence[str]) -> list[str]:
    """Join papermill's `-p NAME VALUE` to `-p NAME=VALUE`, so that either may be given, and any value."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "-p":
            name = next(rest, "")
            joined.append(name if "=" in name else f"{name}={next(rest, '')}")
    return joined
