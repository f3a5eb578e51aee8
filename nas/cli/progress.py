"""Progress of a search: a live panel on a terminal, plain lines elsewhere; always to stderr."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.cli.output import count, quantity
from nas.records import Status
from nas.search.loop import EpochDone, Event, Exhausted, Finished, Started
from nas.search.study import Study
from nas.view import StudyView


def outcome(event: Finished) -> str:
    """Return in words what a training came to."""
    if event.measurement is None:
        return f"failed: {event.error}"
    if event.measurement.diverged:
        return "diverged"
    if event.measurement.stopped:
        return f"stopped: too much {event.measurement.stopped}"
    return f"val accuracy {quantity('val_accuracy', event.measurement.metrics['val_accuracy'])}"


class Display:
    """Takes the events of a search and shows where it stands."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.exhausted = ""
        self._view: StudyView = study.view()
        self._started = time.monotonic()
        self._epochs_before = self._epochs_done()
        self._current = "starting"
        self._speed = 0.0
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._panel)

    def __enter__(self) -> Self:
        """Start the panel, if this is a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the panel."""
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take one event of the search."""
        match event:
            case Started(job):
                words = job.candidate.architecture.words()
                size = count(job.candidate.cost.params)
                self._current = f"trial {job.candidate.number}, {job.fidelity.epochs} epochs, {size} params: {words}"
            case EpochDone(job, progress):
                self._speed = progress.images_per_second
                where = f"epoch {progress.epoch}/{progress.epochs}, loss {progress.last.train_loss:.3f}"
                self._current = f"trial {job.candidate.number}, {where}: {job.candidate.architecture.words()}"
            case Finished():
                self._view = self.study.view()
                if not self._console.is_terminal:
                    self._console.print(self._line(event), soft_wrap=True, highlight=False, markup=False)
            case Exhausted(reason):
                self.exhausted = reason

    def _line(self, event: Finished) -> str:
        job, view = event.job, self._view
        return (
            f"[{len(view.records)}/{self.study.n_trials}] trial {job.candidate.number} "
            f"({job.fidelity.epochs} epochs, {count(job.candidate.cost.params)} params): {outcome(event)}; "
            f"{self._best()}; front {len(view.front)}; {self._time_left()}"
        )

    def _panel(self) -> Table:
        view = self._view
        counts = ", ".join(f"{number} {status}" for status, number in view.counts.items() if status != Status.RUNNING)
        table = Table.grid(padding=(0, 2))
        for name, value in (
            ("trials", f"{len(view.records)} of {self.study.n_trials} ({counts or 'none measured yet'})"),
            ("now", self._current),
            ("best", f"{self._best().removeprefix('best ')}, front of {len(view.front)}"),
            ("speed", f"{self._speed:,.0f} images/s, {self._time_left()}"),
        ):
            table.add_row(Text(name, style="bold"), Text(value, overflow="ellipsis", no_wrap=True))
        return table

    def _best(self) -> str:
        best = self._view.best
        if best is None:
            return "best none yet"
        name = self._view.objectives[0].name
        return f"best {name} {quantity(name, self._view.metrics(best).get(name))} (trial {best.number})"

    def _epochs_done(self) -> float:
        return sum(m.fidelity.epochs for record in self._view.records for m in record.measurements)

    def _time_left(self) -> str:
        """Estimate from the epochs that are left and the pace so far; every trial costs its rungs."""
        config = self.study.config
        share, expected = 1.0, 0.0
        for rung in config.fidelities:
            expected += self.study.n_trials * share * rung.epochs
            share /= config.reduction
        done = self._epochs_done()
        since = done - self._epochs_before
        if since <= 0:
            return "time left unknown"
        seconds = max(0.0, expected - done) * (time.monotonic() - self._started) / since
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
