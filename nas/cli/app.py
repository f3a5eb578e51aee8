"""The commands of `nas`. Their work is imported when they run, so that help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nas import __version__

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

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of all studies.")]
Storage = Annotated[
    str | None, typer.Option("--storage", metavar="URL", help="Database; default: study.db in the study's folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead of a table.")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.")]
Classes = Annotated[int | None, typer.Option(metavar="N", min=2, help="Number of classes. [default: its own]")]
Resolution = Annotated[int | None, typer.Option(metavar="PIXELS", min=1, help="Side of the images. [default: its own]")]
Data = Annotated[
    str | None,
    typer.Option(metavar="KIND[:PATH]", help="Images, as `nas search --data` has them. [default: the study's]"),
]
Side = Annotated[
    int | None, typer.Option(metavar="PIXELS", min=1, help="Side of the images. [default: the study's, or theirs]")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch a published data set that is missing.")]
SkipBroken = Annotated[bool, typer.Option("--skip-broken", help="Leave out images that do not decode.")]
Cap = Annotated[str | None, typer.Option("--cap", metavar="COUNT", help="Most parameters, such as 1.5M or 100k.")]

DEFAULT_RESULTS = Path("results")


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


@app.command()
def search(
    space: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Search space. [default: digits]")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[:PATH]",
            help="digits, mnist, fashion_mnist, cifar10, cifar100, folder:PATH or imagenet:PATH. "
            "[default: the space's own]",
        ),
    ] = None,
    cap: Cap = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Trials of the study in all, over every run of it. [default: 48]")
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study. [default: the space's]")] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Epochs of the top rung; the first has a third. [default: 6]")
    ] = None,
    train_fraction: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of the train split used. [default: 10,000 images at most]"),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Side of the images. [default: theirs]")
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="What to search for. [default: val_accuracy,params,interference]"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="space|data", help="The task the cap is counted on. [default: space, as its file says]"),
    ] = None,
    sampler: Annotated[str | None, typer.Option(metavar="tpe|random", help="What proposes. [default: tpe]")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the study. [default: 0]")] = None,
    device: Annotated[str | None, typer.Option(metavar="cpu|cuda", help="Where to train. [default: cpu]")] = None,
    suppress: Annotated[
        float | None,
        typer.Option(metavar="LAMBDA", help="Train with interference penalised, this strongly; 1 is moderate."),
    ] = None,
    suppress_to: Annotated[
        float | None,
        typer.Option(metavar="TARGET", help="Penalise interference until its excess is at most this, such as 0.02."),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a published data set that is missing.")] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that do not decode.")] = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Search a space under a cap; the same command again goes on where it stopped."""
    from nas.cli.search import search_command
    from nas.search.request import SearchRequest

    request = SearchRequest(
        results=results,
        storage=storage,
        study=study,
        space=space,
        data=data,
        cap=cap,
        trials=trials,
        epochs=epochs,
        train_fraction=train_fraction,
        resolution=resolution,
        objectives=tuple(name.strip() for name in objectives.split(",")) if objectives is not None else None,
        target=target,
        sampler=sampler,
        seed=seed,
        device=device,
        suppress=suppress,
        suppress_to=suppress_to,
        download=download,
        skip_broken=skip_broken,
    )
    search_command(request, as_json=as_json)


@app.command()
def studies(results: Results = DEFAULT_RESULTS, storage: Storage = None, as_json: Json = False) -> None:
    """List the studies."""
    from nas.cli.read import studies_command

    studies_command(results, storage, as_json=as_json)


@app.command()
def status(
    study: StudyName, results: Results = DEFAULT_RESULTS, storage: Storage = None, as_json: Json = False
) -> None:
    """Say how far a study is and what became of its trials."""
    from nas.cli.read import status_command

    status_command(study, results, storage, as_json=as_json)


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
def compare(
    study: StudyName,
    references: Annotated[
        str,
        typer.Option(
            metavar="A,B,…", help="References; one without its size (mobilenetv2) is the largest of that name."
        ),
    ],
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each; their mean is shown.")] = 1,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train published networks, scaled to the study's cap, as its candidates were; `nas front` then shows them, too."""
    from nas.cli.compare import compare_command

    names = [name.strip() for name in references.split(",") if name.strip()]
    compare_command(study, names, seeds, results, storage, as_json=as_json)


@app.command()
def fidelity(
    study: StudyName,
    networks: Annotated[int, typer.Option(metavar="N", min=1, help="Networks to train, all of one size bin.")] = 30,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each at the top rung.")] = 3,
    no_training: Annotated[bool, typer.Option("--no-training", help="Only read what was trained.")] = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train what is missing to say how well each score orders a study's networks, and if interference may decide."""
    from nas.cli.fidelity import FidelityRequest, fidelity_command

    request = FidelityRequest(networks=networks, seeds=seeds, training=not no_training)
    fidelity_command(study, request, results, storage, as_json=as_json)


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
