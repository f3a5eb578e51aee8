"""The commands that train: their options and their help. Their work is imported when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.options import DEFAULT_RESULTS, Cap, Download, Json, Results, SkipBroken, Storage, StudyName


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
    download: Download = False,
    skip_broken: SkipBroken = False,
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
