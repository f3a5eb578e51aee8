"""`nas predict`: what a trained network says of image files, and of a folder of them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from nas.cli.options import Json

Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Folder of a trained network, as `nas retrain` writes it.")
]
Averaged = Annotated[bool, typer.Option("--ema", help="Take the moving average of the weights.")]
Top = Annotated[int, typer.Option(metavar="N", min=1, help="How many classes to name, the likeliest first.")]


@dataclass(frozen=True)
class Trained:
    """Which network is meant, and how many classes it is to name."""

    folder: Path
    averaged: bool
    top: int

    def load(self) -> Any:
        """Return the model, on a GPU where there is one."""
        import torch

        from nas.network.folder import load_model

        model = load_model(self.folder, averaged=self.averaged)
        if torch.cuda.is_available():
            model.network.to("cuda")
        return model


def predict(
    model: Model,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Files of images.")],
    top: Top = 5,
    averaged: Averaged = False,
    as_json: Json = False,
) -> None:
    """Name the likeliest classes of images, with their probabilities."""
    from nas.cli.output import print_json, print_table
    from nas.errors import DataError
    from nas.training.answer import answers

    found = list(answers(Trained(model, averaged, top).load(), images, top=top))
    good = [each for each in found if not each.fault]
    if as_json:
        print_json(
            [
                {"image": each.file, "classes": [{"class": name, "probability": p} for name, p in each.classes]}
                for each in good
            ]
        )
    elif good:
        lines = (
            ["" if i else each.file, name, f"{100 * share:.2f} %"]
            for each in good
            for i, (name, share) in enumerate(each.classes)
        )
        print_table(["image", "class", "probability"], lines)
    _complain((each.file, each.fault) for each in found if each.fault)
    if len(good) < len(found):
        raise DataError(f"{len(found) - len(good)} of {len(found)} images could not be read")


def folder_command(
    trained: Trained, folder: Path, sides: Sequence[int], target: Path | None, *, skip_broken: bool
) -> None:
    """Write what a network says of all images in a folder, a line each; DataError where one cannot be read."""
    from nas.data.folder import image_files
    from nas.errors import DataError
    from nas.training.answer import answers

    model, files = trained.load(), image_files(folder)
    count, broken = min(trained.top, len(model.task.classes)), 0
    said = answers(model, files, top=count, side=sides[0] if sides else None)
    with _writing(target) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", *(f"{kind}_{i}" for i in range(1, count + 1) for kind in ("class", "probability"))])
        for each in said:
            if each.fault:
                _complain([(each.file, each.fault)])
                broken += 1
                continue
            cells = (cell for name, share in each.classes for cell in (name, f"{share:.6f}"))
            writer.writerow([str(Path(each.file).relative_to(folder)), *cells])
    if broken and not skip_broken:
        raise DataError(f"{broken} of {len(files)} images could not be read; --skip-broken leaves them out")


def _complain(faults: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> None:
    from nas.cli.subject import say

    for file, fault in faults:
        say(f"{file}: {fault}")


@contextmanager
def _writing(target: Path | None) -> Iterator[TextIO]:
    from nas.errors import InputError

    if target is None:
        yield sys.stdout
        return
    try:
        stream = target.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"--csv {target}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream
