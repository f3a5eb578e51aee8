"""`nas data`: decode folders of images once, ahead of time, and check what was decoded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.options import Json, SkipBroken

data = typer.Typer(help="Stores of decoded images: build, check.", no_args_is_help=True, rich_markup_mode=None)

Source = Annotated[str, typer.Argument(metavar="imagenet:PATH|folder:PATH", help="A folder of images.")]
StoreSide = Annotated[int, typer.Option(metavar="PIXELS", help="Side of the images in the store, 4 to 512.")]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, help="Of the images that are held out: as the search that uses the store.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the stores lie. [default: below the cache folder]")
]

SECONDS_BETWEEN_LINES = 5
SHOWN_FILES = 20


@data.command("build")
def data_build(
    source: Source,
    side: StoreSide = 160,
    out: Out = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes that decode. [default: one a core]")
    ] = None,
    seed: Seed = 0,
    skip_broken: SkipBroken = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Decode all images once into stores of uint8 squares, from which training reads; killed, it goes on where it was.

    The shorter side is brought to --side and the centre cut out. `--data` finds the stores at that side, and makes
    smaller ones from them.
    """
    build_command(_Request(source, side, seed, out), workers, skip=skip_broken, dry_run=dry_run, as_json=as_json)


@data.command("check")
def data_check(source: Source, side: StoreSide = 160, out: Out = None, seed: Seed = 0, as_json: Json = False) -> None:
    """Read the stores of a folder whole, and hold every block against its checksum."""
    check_command(_Request(source, side, seed, out), as_json=as_json)


@dataclass(frozen=True)
class _Request:
    """Which stores are meant."""

    source: str
    side: int
    seed: int
    out: Path | None


def build_command(request: _Request, workers: int | None, *, skip: bool, dry_run: bool, as_json: bool) -> None:
    """Say how large the stores are, build them, and print what is in them; DataError where files are broken."""
    from nas.cli.output import print_json, print_table
    from nas.cli.subject import say
    from nas.data.build import build_part, check_room, images_by_class
    from nas.training.machine import cores

    plan = _plan(request)
    free = check_room(plan)
    say(
        f"{plan.images:,} images of {len(plan.parts[0].listing.classes):,} classes at {plan.side} px take "
        f"{_size(plan.size_bytes)} in {plan.place}, which has {_size(free)} free"
    )
    if dry_run:
        return
    built, broken = [], []
    for part in plan.parts:
        progress = _Progress(part.split)
        try:
            store = build_part(plan, part, workers or cores(), progress)
        except KeyboardInterrupt:
            say("stopped; what is decoded stays, the same command goes on from here")
            raise
        built.append(_Built(part.split, images_by_class(store), len(store.facts.broken), progress, store.path))
        broken += [str(part.listing.root / name) for name in store.facts.broken]
    if as_json:
        print_json({"side": plan.side, "splits": [each.as_json() for each in built], "broken": broken})
    else:
        columns = ["split", "images", "in a class", "broken", "size", "images/s", "store"]
        print_table(columns, [each.as_row() for each in built])
    _check_broken(broken, skip=skip)


def check_command(request: _Request, *, as_json: bool) -> None:
    """Print which stores are whole; NasError where one is not."""
    from nas.cli.output import print_json, print_table
    from nas.data.build import check_stores
    from nas.errors import NasError

    found = list(check_stores(_plan(request), lambda _: None))
    if as_json:
        print_json(
            [
                {"split": part.split, "damaged": [[rows.start, rows.stop - 1] for rows in bad], "path": str(path)}
                for part, path, bad in found
            ]
        )
    else:
        lines = [[part.split, len(part.listing.files), len(bad) or "none", path] for part, path, bad in found]
        print_table(["split", "images", "damaged blocks", "store"], lines)
    for _, path, bad in found:
        if bad:
            raise NasError(f"{path}: damaged; delete it, and `nas data build` makes it anew")


def _plan(request: _Request) -> Any:
    from nas.data.build import plan_build
    from nas.data.spec import DataSpec
    from nas.search.draft import DEFAULT_VALIDATION_FRACTION

    spec = DataSpec.parse(request.source)
    return plan_build(
        spec,
        request.side,
        seed=request.seed,
        validation_fraction=DEFAULT_VALIDATION_FRACTION,
        folder=request.out and request.out.absolute(),
    )


def _check_broken(broken: Sequence[str], *, skip: bool) -> None:
    from nas.cli.subject import say
    from nas.errors import DataError

    for name in broken[:SHOWN_FILES]:
        say(f"{'left out' if skip else 'broken'}: {name}")
    if len(broken) > SHOWN_FILES:
        say(f"… and {len(broken) - SHOWN_FILES} more; --json lists all")
    if broken and not skip:
        raise DataError(
            f"{len(broken)} of the images cannot be decoded, the first is {broken[0]}; the stores are built, "
            "--skip-broken uses them without these"
        )


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


@dataclass
class _Progress:
    """Says every few seconds how far a split is; `images_per_second` of what was decoded now, None if nothing was."""

    split: str
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    before: int | None = None
    images_per_second: float | None = None

    def __call__(self, split: str, done: int, whole: int) -> None:
        """Take the number of images that are done."""
        from nas.cli.subject import say

        now = time.monotonic()
        if self.before is None:
            self.before, self.started = done, now
            if done:
                say(f"{split}: going on after {done:,} of {whole:,} images")
            return
        self.images_per_second = (done - self.before) / max(now - self.started, 1e-9)
        if now - self.said >= SECONDS_BETWEEN_LINES:
            self.said = now
            speed = self.images_per_second
            minutes = (whole - done) / speed / 60
            say(f"{split}: {done:,} of {whole:,} images, {speed:,.0f} images/s, {minutes:,.1f} min left")


@dataclass(frozen=True)
class _Built:
    """A store that is there now."""

    split: str
    classes: dict[str, int]
    broken: int
    progress: _Progress
    path: Path | None

    @property
    def images(self) -> int:
        """Number of images that could be decoded."""
        return sum(self.classes.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size if self.path else 0

    def as_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "split": self.split,
            "images": self.images,
            "classes": self.classes,
            "broken": self.broken,
            "bytes": self.size_bytes,
            "images_per_second": self.progress.images_per_second,
            "path": str(self.path),
        }

    def as_row(self) -> list[object]:
        """Return it for people."""
        fewest, most = min(self.classes.values()), max(self.classes.values())
        speed = self.progress.images_per_second
        counts = str(most) if fewest == most else f"{fewest} to {most}"
        words = "built before" if speed is None else f"{speed:,.0f}"
        return [self.split, self.images, counts, self.broken, _size(self.size_bytes), words, self.path]
