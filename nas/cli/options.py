"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STORAGE_VARIABLE = "NAS_STORAGE"
"""Where a URL with a password belongs: a command line is visible to everybody on a machine."""

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of all studies.")]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        envvar=STORAGE_VARIABLE,
        show_envvar=False,
        help=f"Database. [default: {STORAGE_VARIABLE} of the environment, else study.db in the study's folder]",
    ),
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
CheckpointDisk = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Most disk for checkpoints, such as 500M; 0 keeps none, the oldest go first. [default: 5G]",
    ),
]

DEFAULT_RESULTS = Path("results")
