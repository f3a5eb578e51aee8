"""The commands of `nas`. Their work is imported when they run, so that help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nas import __version__
from nas.cli import evaluate, predict, retrain, training
from nas.cli.data import data
from nas.cli.options import (
    DEFAULT_RESULTS,
    Cap,
    Classes,
    Data,
    Download,
    Json,
    Resolution,
    Results,
    Side,
    SkipBroken,
    Storage,
    StudyName,
)
from nas.cli.storage import storage

app = typer.Typer(
    name="nas",
    help="Find the best image classifier that fits under a hard parameter cap.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
spaces = typer.Typer(help="The search spaces: list, show, lint.", no_args_is_help=True, rich_markup_mode=None)
bench = typer.Typer(help="Measurements on this machine.", no_args_is_help=True, rich_markup_mode=None)
probe = typer.Typer(help="Trainings that say something of one network.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(spaces, name="spaces")
app.add_typer(bench, name="bench")
app.add_typer(probe, name="probe")
app.add_typer(storage, name="storage")
app.add_typer(data, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"nas {__version__}")
        raise typer.Exit


def _allow_code(asked: bool) -> None:
    if asked:
        import sys

        from nas.blocks.own import allow_code

        sys.path.append(str(Path.cwd()))
        allow_code()


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback for errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    code: Annotated[
        bool,
        typer.Option(
            "--allow-code",
            callback=_allow_code,
            help="Import the blocks that a space file names, from packages or the current folder.",
        ),
    ] = False,
) -> None:
    """Find the best image classifier that fits under a hard parameter cap."""


for command in (
    training.search,
    training.worker,
    training.enqueue,
    training.compare,
    training.fidelity,
    training.confirm,
    training.replay,
    evaluate.evaluate,
    predict.predict,
    retrain.retrain,
):
    app.command()(command)


@app.command()
def studies(results: Results = DEFAULT_RESULTS, storage: Storage = None, as_json: Json = False) -> None:
    """List the studies."""
    from nas.cli.read import studies_command

    studies_command(results, storage, as_json=as_json)


@app.command()
def status(
    study: StudyName,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Show the workers, their beats and what went wrong, until Ctrl-C; once with --json."
        ),
    ] = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Say how far a study is and what became of its trials."""
    if watch:
        from nas.cli.watch import watch_command

        watch_command(study, results, storage, as_json=as_json)
        return
    from nas.cli.read import status_command

    status_command(study, results, storage, as_json=as_json)


@app.command()
def stop(study: StudyName, results: Results = DEFAULT_RESULTS, storage: Storage = None) -> None:
    """Tell the workers of a study to end after their epoch; the command that started them goes on from there."""
    from nas.cli.watch import stop_command

    stop_command(study, results, storage)


@app.command()
def front(
    study: StudyName,
    cap: Cap = None,
    objectives: Annotated[str | None, typer.Option(metavar="A,B,…", help="Other objectives than the study's.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the front as a page.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Print the Pareto front, under the study's cap or another; nothing is run."""
    from nas.cli.read import front_command

    names = tuple(name.strip() for name in objectives.split(",")) if objectives is not None else ()
    front_command(study, results, storage, cap=cap, objectives=names, html=html, as_csv=as_csv, as_json=as_json)


@app.command()
def show(
    study: StudyName,
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="Number of a trial.")],
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Show one trial: its stages with output size, params and MACs, and its record."""
    from nas.cli.read import show_command

    show_command(study, trial, results, storage, as_json=as_json)


@app.command()
def browse(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Name of a study. [default: all]")] = None,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; off this machine the address carries a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65_535, help="Port; 0 takes a free one.")] = 8060,
    show: Annotated[bool, typer.Option("--open", help="Open the address in the browser.")] = False,
) -> None:
    """Browse studies, also while they run: the front, the networks, the search. Read-only; Ctrl-C ends it."""
    from nas.cli.browse import browse_command

    browse_command(study, results, storage, host=host, port=port, show=show, verbs=_verbs())


@app.command()
def report(
    study: StudyName,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="All views as one page that needs nothing.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="The front as a PNG picture.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="The front as an SVG picture.")] = None,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
) -> None:
    """Write a study as one page, or its front as a picture (with the extra `images`)."""
    from nas.cli.report import report_command

    pictures = {".png": png, ".svg": svg}
    for suffix, path in pictures.items():
        if path is not None and path.suffix != suffix:
            raise typer.BadParameter(f"must end in {suffix}, got {path}", param_hint=f"--{suffix[1:]}")
    images = tuple(path for path in pictures.values() if path is not None)
    report_command(study, results, storage, html=html, images=images, verbs=_verbs())


def _verbs() -> frozenset[str]:
    """Return the names of the commands that there are."""
    return frozenset(each.name or each.callback.__name__ for each in app.registered_commands if each.callback)


@app.command()
def references(resolution: Resolution = None, classes: Classes = None, as_json: Json = False) -> None:
    """List the published networks that come with nas: params, MACs, peak activation, and what was published."""
    from nas.cli.references import references_command

    references_command(resolution, classes, as_json=as_json)


@app.command()
def scale(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A reference; without its size (mobilenetv2), the largest.")
    ],
    cap: Annotated[str, typer.Option(metavar="COUNT", help="Most parameters, such as 1.5M or 100k.")],
    by: Annotated[
        Literal["width", "depth", "both"], typer.Option(metavar="width|depth|both", help="What changes.")
    ] = "both",
    resolution: Resolution = None,
    classes: Classes = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the architecture as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Scale a published network, up or down, to the member of its family that fills a cap."""
    from nas.cli.references import scale_command

    scale_command(name, cap, by, resolution, classes, out=out, as_json=as_json)


@app.command()
def inspect(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="FILE of an architecture, as `nas scale --out` writes it, STUDY:TRIAL, reference:NAME, "
            "timm:NAME or torchvision:NAME. Libraries' networks are built untrained; grey images become RGB for them.",
        ),
    ],
    data: Data = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Trained weights, safetensors.")] = None,
    train: Annotated[
        int | None, typer.Option(metavar="EPOCHS", min=1, help="Train it first. [default: measured as it starts]")
    ] = None,
    projection: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A 1x1 map to look into. [default: none; a page starts with the first]"),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with figures.")] = None,
    images: Annotated[int, typer.Option(metavar="N", min=2, help="Most images of the batch to measure on.")] = 256,
    resolution: Side = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of weights, images and training.")] = 0,
    download: Download = False,
    skip_broken: SkipBroken = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Measure how much the channels of one network interfere, map by map and block by block, against chance."""
    from nas.cli.inspect import InspectRequest, inspect_command
    from nas.cli.subject import NetworkRequest

    subject = NetworkRequest(
        network, data, resolution, seed, results=results, storage=storage, download=download, skip_broken=skip_broken
    )
    request = InspectRequest(subject, weights=weights, train=train, images=images, projection=projection, html=html)
    inspect_command(request, as_json=as_json)


@probe.command("solu")
def probe_solu(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="FILE, STUDY:TRIAL or reference:NAME.")],
    data: Data = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each of the two.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Epochs of a training. [default: the study's, or 6]")
    ] = None,
    resolution: Side = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The first seed; the others follow it.")] = 0,
    download: Download = False,
    skip_broken: SkipBroken = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train a network and its twin with SoLU activations, and say how much accuracy the twin loses."""
    from nas.cli.probe import solu_command
    from nas.cli.subject import NetworkRequest

    subject = NetworkRequest(
        network, data, resolution, seed, results=results, storage=storage, download=download, skip_broken=skip_broken
    )
    solu_command(subject, seeds, epochs, as_json=as_json)


@spaces.command("list")
def spaces_list(as_json: Json = False) -> None:
    """List the spaces that come with nas."""
    from nas.cli.spaces import list_command

    list_command(as_json=as_json)


@spaces.command("show")
def spaces_show(
    space: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped space or a TOML file.")],
    as_json: Json = False,
) -> None:
    """Show the choices of a space."""
    from nas.cli.spaces import show_command

    show_command(space, as_json=as_json)


@spaces.command("lint")
def spaces_lint(
    space: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A shipped space or a TOML file.")],
    cap: Cap = None,
    as_json: Json = False,
) -> None:
    """Check a space: what fits under the cap, how large members are, dead choices, corners that cannot be built."""
    from nas.cli.spaces import lint_command

    lint_command(space, cap, as_json=as_json)


@bench.command("cost")
def bench_cost(
    space: Annotated[str, typer.Option(metavar="NAME|FILE", help="Whose members to count.")] = "nodepth",
    members: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many random members.")] = 20,
    as_json: Json = False,
) -> None:
    """Time the closed-form cost against building the network and tracing it with fvcore."""
    from nas.cli.bench import cost_command

    cost_command(space, members, as_json=as_json)
