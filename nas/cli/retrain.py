"""`nas retrain`: its options and their help. The work is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import DEFAULT_RESULTS, Download, Json, Results, SkipBroken, Storage, StudyName


def retrain(
    study: StudyName,
    top: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The finalists: the front first, then the best. [default: 3]")
    ] = None,
    trial: Annotated[int | None, typer.Option(metavar="N", min=0, help="This trial instead.")] = None,
    arch: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An architecture instead, as `nas scale --out` writes it.")
    ] = None,
    reference: Annotated[str | None, typer.Option(metavar="NAME", help="A published network instead.")] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="KIND[:PATH]", help="Images, as `nas search --data` has them. [default: the study's]"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="tinynext, emov2, mobilenet, fast16, cifar200, tiny, or a TOML file. [default: what suits the images]",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change the recipe, such as epochs=600; may be repeated."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Name of the results. [default: the recipe's]")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each network.")] = 3,
    teacher: Annotated[
        str | None, typer.Option(metavar="NETWORK", help="torchvision:NAME, timm:NAME or a retrained network's FOLDER.")
    ] = None,
    teacher_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The teacher's weights, safetensors.")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", min=4, help="Side the images are read at. [default: theirs; folders: by recipe]"
        ),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of train, to choose the epoch by. [default: 0.1; imagenet: 0.01]"),
    ] = None,
    on_the_fly: Annotated[
        bool, typer.Option("--on-the-fly", help="Decode a folder's images each time instead of once, into a store.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take, and stop.")] = False,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="cpu or cuda:N. [default: a GPU if any]")] = None,
    gpus: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes that share each training, one a GPU; on cpu, of one thread."),
    ] = None,
    save_minutes: Annotated[float, typer.Option(metavar="M", help="Save within an epoch every so often.")] = 10.0,
    save_steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Save every so many steps as well. [default: by time alone]")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    download: Download = False,
    skip_broken: SkipBroken = False,
    as_json: Json = False,
) -> None:
    """Train the winners of a study in full, several seeds each, and judge each once on the test split.

    What was done is skipped, what was begun goes on. `torchrun --nproc-per-node N -m nas retrain …` works as --gpus N.
    """
    from nas.cli.retraining import Request, retrain_command

    request = Request(
        study=study,
        top=top,
        trial=trial,
        arch=arch,
        reference=reference,
        data=data,
        recipe=recipe,
        settings=tuple(settings or ()),
        label=label,
        seeds=seeds,
        teacher=teacher,
        teacher_weights=teacher_weights,
        side=side,
        hold_out=hold_out,
        device=device,
        save_seconds=60 * save_minutes,
        save_steps=save_steps,
        results=results,
        storage=storage,
        download=download,
        skip_broken=skip_broken,
        on_the_fly=on_the_fly,
    )
    retrain_command(request, gpus, plan=plan, as_json=as_json)
