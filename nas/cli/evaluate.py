"""`nas evaluate`: what a trained network achieves on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nas.cli.options import Download, Json, SkipBroken
from nas.cli.predict import Averaged, Model, Top, Trained, folder_command

_WORST = 10


def evaluate(
    model: Model,
    data: Annotated[
        str | None, typer.Option(metavar="KIND[:PATH]", help="Labelled images, as `nas search --data` has them.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images without labels instead: predictions as CSV.")
    ] = None,
    as_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the predictions there. [default: print them]")
    ] = None,
    top: Top = 5,
    resolution: Annotated[
        str | None, typer.Option(metavar="R,R2,…", help="Sides of the images. [default: that of the training]")
    ] = None,
    averaged: Averaged = False,
    split: Annotated[
        Literal["test", "validation"],
        typer.Option(metavar="test|validation", help="The test split, or the part of train that is held out."),
    ] = "test",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the images that are held out.")] = 0,
    per_class: Annotated[bool, typer.Option("--per-class", help="Print all classes, the worst first.")] = False,
    download: Download = False,
    skip_broken: SkipBroken = False,
    as_json: Json = False,
) -> None:
    """Measure a trained network: top-1, top-5, loss, calibration, each class; or predict a folder of images."""
    from nas.errors import InputError

    if (data is None) == (images is None):
        raise InputError("give --data for labelled images or --images for a folder without labels, one of the two")
    sides = _sides(resolution)
    if images is not None:
        if len(sides) > 1 or as_json:
            raise InputError("--images gives CSV, of one --resolution; `nas predict --json` is for machines as well")
        folder_command(Trained(model, averaged, top), images, sides, as_csv, skip_broken=skip_broken)
        return
    if as_csv is not None:
        raise InputError("--csv is for predictions of --images; --json prints what is measured on --data")
    source = _Source(data or "", split, seed, download, skip_broken)
    _evaluate(Trained(model, averaged, top), source, sides, per_class=per_class, as_json=as_json)


@dataclass(frozen=True)
class _Source:
    """Labelled images, as a user named them."""

    data: str
    split: Literal["test", "validation"]
    seed: int
    download: bool
    skip_broken: bool


def _evaluate(trained: Trained, source: _Source, sides: Sequence[int], *, per_class: bool, as_json: bool) -> None:
    from nas.cli.output import print_json, print_table
    from nas.data.augment import Normaliser
    from nas.model_folder import check_side
    from nas.training.score import Scores, fit, score

    model = trained.load()
    task = model.task
    found: dict[int, Scores] = {}
    sides = sides or [task.resolution]
    for side in sides:  # before anything is decoded
        check_side(model.architecture, task, side)
    for side in sides:
        images, classes = _images(source, side)
        fitting = fit(images, classes, model.architecture, task)
        found[side] = score(model.network, fitting, Normaliser(task.mean, task.std), task.classes)
    if as_json:
        results = [{"resolution": side} | asdict(scores) for side, scores in found.items()]
        about = {"model": str(trained.folder), "ema": trained.averaged, "data": source.data, "split": source.split}
        print_json(about | {"results": results})
        return
    columns = ["resolution", "images", "top-1", "top-5", "loss", "calibration error"]
    print_table(
        columns,
        (
            [side, each.images, _share(each.top1), _share(each.top5), each.loss, _share(each.calibration_error)]
            for side, each in found.items()
        ),
        title=f"{trained.folder} on the {source.split} split of {source.data}",
    )
    side, scores = next(iter(found.items()))
    worst = sorted(scores.classes, key=lambda each: each.accuracy)[: None if per_class else _WORST]
    print_table(
        ["class", "images", "accuracy", "answered", "precision"],
        ([each.name, each.images, _share(each.accuracy), each.answered, _share(each.precision)] for each in worst),
        title=f"{len(worst)} of {len(scores.classes)} classes, the worst first, at {side} px",
    )


def _images(source: _Source, side: int) -> tuple[Any, tuple[str, ...]]:
    from nas.data.load import load_dataset, load_test_source
    from nas.data.spec import DataSpec

    spec = DataSpec.parse(source.data)
    if source.split == "test":
        test = load_test_source(spec, resolution=side, download=source.download, skip_broken=source.skip_broken)
        return test.images, test.classes
    data = load_dataset(
        spec, seed=source.seed, resolution=side, download=source.download, skip_broken=source.skip_broken
    )
    return data.validation, data.classes


def _sides(text: str | None) -> list[int]:
    from nas.errors import InputError

    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--resolution must be pixels, such as 160 or 128,160,192, got {text!r}")
    return list(dict.fromkeys(map(int, parts)))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
