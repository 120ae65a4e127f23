"""The `ratereg` command: what a notebook does, in a terminal."""

import ast
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ratereg.studies import CATALOG, Results, Study, load_or_run, published
from ratereg.studies.results import find_published, published_directory
from ratereg.studies.run import find, run

__all__ = ["app", "main"]

app = typer.Typer(
    help="Rate-distortion analyses of variational autoencoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Scale = Annotated[str | None, typer.Option(help="full or cpu; by default the largest that has a result.")]


@app.command("studies")
def list_studies() -> None:
    """List the published studies and their results."""
    for name, scales in CATALOG.items():
        for scale, study in scales.items():
            place = find_published(study.digest)
            where = f"{place.parent.parent.name}/{place.parent.name}/{place.name}" if place else "no result"
            typer.echo(f"{name:12} {scale:6} {len(study):4} members, {study.steps:7,} steps   {where}")


@app.command("run")
def run_study(
    name: Annotated[str, typer.Argument(help="A published study; `ratereg studies` lists them.")],
    scale: _Scale = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Another setting, e.g. steps=2000.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")] = None,
    max_members: Annotated[int | None, typer.Option(help="Train at most that many models at once.")] = None,
) -> None:
    """Run a published study, or a variant of it, unless its result is there, and print what it found."""
    study = published(name, scale).replace(**_parse(settings or []))
    _report(load_or_run(study, device=device, max_members=max_members))


@app.command("results")
def make_results(
    names: Annotated[list[str] | None, typer.Argument(help="Published studies; by default all.")] = None,
    scale: Annotated[str, typer.Option(help="full or cpu.")] = "cpu",
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default a GPU if there is one.")] = None,
    max_members: Annotated[int | None, typer.Option(help="Train at most that many models at once.")] = None,
) -> None:
    """Run the published studies that have no result at a scale, and put their results into results/."""
    for name in names or list(CATALOG):
        study = published(name, scale)
        if find_published(study.digest):
            typer.echo(f"{name}: there already at scale {scale}.")
            continue
        place, cached = published_directory() / name / study.digest, find(study)
        _report(cached.save(place) if cached else run(study, place, device=device, max_members=max_members))


@app.command("rerun")
def rerun_notebook(
    notebook: Annotated[Path, typer.Argument(help="A text notebook, e.g. notebooks/capacity.md.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="A parameter of the notebook.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The executed notebook to write.")] = None,
) -> None:
    """Run a notebook with other parameters, and write the executed notebook."""
    from ratereg.rerun import rerun

    pairs = [parameter.partition("=")[::2] for parameter in parameters or []]
    typer.echo(f"written: {rerun(notebook, dict(pairs), output)}")


def main() -> None:
    """Run the command; an error that says what would do is shown without a traceback."""
    try:
        app(args=_join_pairs(sys.argv[1:]))
    except ModuleNotFoundError as error:
        extra = "pip install -e '.[book]' in a checkout installs what notebooks need."
        typer.echo(f"ratereg: {error}; {extra}", err=True)
        raise SystemExit(2) from None
    except (ValueError, LookupError, FileNotFoundError) as error:
        typer.echo(f"ratereg: {error}", err=True)
        raise SystemExit(2) from None


def _join_pairs(arguments: list[str]) -> list[str]:
    """Join papermill's `-p NAME VALUE` to `-p NAME=VALUE`: options of two values, repeated, are beyond Typer."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "-p":
            name = next(rest, "")
            joined.append(name if "=" in name else f"{name}={next(rest, '')}")
    return joined


def _parse(settings: list[str]) -> dict[str, Any]:
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


def _report(results: Results) -> None:
    study: Study = results.study
    columns = ["split", "layers", "beta", "partition", "rate", "distortion", "mutual_information", "marginal_kl"]
    table = results.final[columns].groupby(columns[:4], sort=False).mean().round(2)
    typer.echo(f"Means over {len(study.axis_seeds)} seeds at step {study.steps:,}, in nats:")
    typer.echo(table.to_string())
    typer.echo(f"All of it: {results.directory}")
