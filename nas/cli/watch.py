"""`nas status --watch` and `nas stop`: who works on a study, and that they are to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.cli.output import print_json
from nas.cli.read import open_study
from nas.report.quantities import plural
from nas.search.workload import Watch, Working, Workload

SECONDS = 2.0
"""Between two looks."""
PLAIN_SECONDS = 30.0
"""The same where lines are written one below the other."""


def watch_command(name: str, results: Path, storage: str | None, *, as_json: bool) -> None:
    """Show where a study stands, again and again until Ctrl-C; once, with `as_json`."""
    watch, console = Watch(open_study(name, results, storage)), Console()
    if as_json:
        print_json(watch.look().as_json())
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            for load in _looks(watch, SECONDS):
                live.update(_picture(name, load), refresh=True)
    else:
        for load in _looks(watch, PLAIN_SECONDS):
            console.print(_picture(name, load))


def stop_command(name: str, results: Path, storage: str | None) -> None:
    """Tell the workers of a study to end after their epoch."""
    study = open_study(name, results, storage)
    workers = {(each.host, each.pid) for each in Watch(study).look().workers if not each.is_gone}
    study.stop()
    whom = plural(len(workers), "worker")
    print(f"study {name}: {whom} told to end after the epoch" if workers else f"study {name}: no worker is training")


def _looks(watch: Watch, pause: float) -> Iterator[Workload]:
    while True:  # ends: by Ctrl-C, which is how a user leaves a picture
        yield watch.look()
        time.sleep(pause)


def _picture(name: str, load: Workload) -> RenderableType:
    rate = "-" if load.trainings_per_hour is None else f"{load.trainings_per_hour:,.0f} trainings an hour"
    hours = f"{load.hours:.2f}" + (f" of {load.max_hours:g}" if load.max_hours is not None else "")
    head = f"study {name}: {load.trials} of {load.n_trials} trials, {load.waiting} waiting, {hours} hours, {rate}"
    parts: list[RenderableType] = [Text(head), _workers(load.workers)]
    parts += [Text(f"{kind}: {count} times, the last: {last}") for kind, (count, last) in load.errors.items()]
    return Group(*parts)


def _workers(workers: tuple[Working, ...]) -> RenderableType:
    if not workers:
        return Text("no worker is training")
    table = Table("host", "process", "trial", "what", "epoch", "last beat", box=None, pad_edge=False)
    for each in workers:
        epoch = f"{each.epoch}/{each.epochs}" if each.epochs else "-"
        beat = "-" if each.silent_seconds is None else f"{each.silent_seconds:.0f} s ago"
        beat = "ended" if each.is_gone else beat
        table.add_row(each.host or "-", str(each.pid or "-"), str(each.trial), each.kind, epoch, beat)
    return table
