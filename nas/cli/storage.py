"""`nas storage`: is a database fit for a search, and move studies from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import DEFAULT_RESULTS, Json, Results

storage = typer.Typer(help="Databases: check one, copy studies.", no_args_is_help=True, rich_markup_mode=None)
PLACE = "URL, a database file, or the name of a study in the results folder"


@storage.command("check")
def storage_check(
    place: Annotated[str, typer.Argument(metavar="URL", help=f"{PLACE}.")],
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="How many workers are to use it.")] = 1,
    results: Results = DEFAULT_RESULTS,
    as_json: Json = False,
) -> None:
    """Say whether a search can use a database: versions, speed, clock, rights, room; nothing is written to it."""
    check_command(place, workers, results, as_json=as_json)


@storage.command("copy")
def storage_copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help=f"{PLACE}; a folder of studies: all of them.")],
    target: Annotated[
        str, typer.Argument(metavar="DST", help=f"{PLACE}; a folder: FOLDER/STUDY/study.db for each of them.")
    ],
    study: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this study; may be given again. [default: all]")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    as_json: Json = False,
) -> None:
    """Copy studies to another database, equal, each at once or not at all; the source stays as it is."""
    copy_command(source, target, study or [], results, as_json=as_json)


def check_command(place: str, workers: int, results: Path, *, as_json: bool) -> None:
    """Print what was found; NasError where the database cannot be used."""
    from dataclasses import asdict

    from nas.cli.output import print_json, print_table
    from nas.errors import NasError
    from nas.search.check import check
    from nas.search.places import url_of

    report = check(url_of(place, results), workers)
    if as_json:
        print_json({"usable": not report.problems, **asdict(report)})
    else:
        print_table(["", ""], _lines(report))
        for line in report.warnings:
            print(f"warning: {line}")
        for line in report.problems[1:]:
            print(f"not usable: {line}")
        if not report.problems:
            print("usable")
    if report.problems:
        raise NasError(f"storage {report.url}: not usable: {report.problems[0]}")


def _lines(report: object) -> list[tuple[str, str]]:
    """Return what was found of a database, line by line."""
    from nas.cli.output import memory
    from nas.search.check import Report

    assert isinstance(report, Report)
    lines = [("storage", report.url), ("database", report.database), ("driver", report.driver)]
    lines += [("tables", report.schema), ("studies", ", ".join(report.studies))]
    if report.round_trip_seconds:
        middle, worst = (1000 * seconds for seconds in report.round_trip_seconds)
        lines.append(("round trip", f"{middle:.2f} ms, at worst {worst:.2f} ms"))
    if report.clock_skew_seconds is not None and report.clock_skew_within_seconds is not None:
        skew, within = 1000 * report.clock_skew_seconds, 1000 * report.clock_skew_within_seconds
        lines.append(("clock", f"{skew:+.1f} ms from this machine's, within {within:.1f} ms"))
    if report.database:
        lines.append(("may", ", ".join(report.allowed) or "nothing"))
    if (file := report.file) is not None:
        shared = ", a network file system" * file.is_network
        lines.append(("file", memory(file.size_bytes) if file.size_bytes is not None else "none yet"))
        lines.append(("file system", (file.file_system or "unknown") + shared))
        lines.append(("free", f"{file.free_bytes / 2**30:,.1f} GiB" if file.free_bytes is not None else ""))
        lines += [("journal", file.journal), ("integrity", file.integrity)]
    if (known := report.connections) is not None:
        said = f"{known.used} of {known.most} in use, room for {known.workers} workers"
        lines.append(("connections", said))
    return [(name, value) for name, value in lines if value]


def copy_command(source: str, target: str, names: list[str], results: Path, *, as_json: bool) -> None:
    """Copy studies one after another; print a line for each."""
    from nas.cli.output import print_json
    from nas.search.places import copies

    done = []
    for copied, where in copies(source, target, names, results):
        done.append({"study": copied.study, "storage": where, "trials": copied.trials, "running": copied.running})
        done[-1]["time_resolution"] = copied.time_resolution
        if as_json:
            continue
        left = f", {copied.running} of them left by lost workers, for the next one" * bool(copied.running)
        kept = f"; times to the {copied.time_resolution}" * (copied.time_resolution != "1 microsecond")
        print(f"study {copied.study}: {copied.trials} trainings copied to {where}{left}{kept}")
    if as_json:
        print_json(done)
