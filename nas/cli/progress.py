"""Progress of a search: a live panel on a terminal, plain lines elsewhere; always to stderr.

What this process trains is heard of as events; what other workers train is found in the database.
"""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.cli.output import count, quantity
from nas.effort import stage_efforts
from nas.records import Candidate, Fidelity, Measurement, Status, StudyConfig
from nas.search.history import own_seed
from nas.search.loop import EpochDone, Event, Exhausted, Finished, Started, TakenOver
from nas.search.study import Study
from nas.trust.earned import running_estimate
from nas.view import StudyView

PARTS = 4
"""How often in a search the running estimate of the proxy's trust is shown: after each of so many parts but the last,
which the end shows.
"""


def outcome(measurement: Measurement | None, error: str = "") -> str:
    """Return in words what a training came to."""
    if measurement is None:
        return f"failed: {error}"
    if measurement.diverged:
        return "diverged"
    if measurement.stopped:
        return f"stopped: too much {measurement.stopped}"
    return f"val accuracy {quantity('val_accuracy', measurement.metrics['val_accuracy'])}"


def trained(candidate: Candidate, fidelity: Fidelity, *, again: bool = False) -> str:
    """Return in words what was trained."""
    size = count(candidate.cost.params)
    return f"trial {candidate.number}{' again' * again} ({fidelity.epochs} epochs, {size} params)"


class Display:
    """Takes the events of a search, or looks at what its workers wrote, and shows where it stands."""

    def __init__(self, study: Study, workers: int = 1) -> None:
        self.study = study
        self.exhausted = ""
        self._workers = workers
        self._view: StudyView = study.view()
        self._seen = _ended(self._view)
        self._parts = PARTS * len(self._view.records) // self.study.n_trials
        self._started = time.monotonic()
        self._effort_before = _effort_done(self._view)
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
                self._current = f"{trained(job.candidate, job.fidelity)}: {words}"
            case EpochDone(job, progress):
                self._speed = progress.images_per_second
                where = f"epoch {progress.epoch}/{progress.epochs}, loss {progress.last.train_loss:.3f}"
                self._current = f"trial {job.candidate.number}, {where}: {job.candidate.architecture.words()}"
            case Finished(job, measurement, error):
                self._view = self.study.view()
                number = job.candidate.number
                record = next((each for each in self._view.records if each.number == number), None)
                again = record is not None and job.seed != own_seed(self._view.config, record)
                self._report(trained(job.candidate, job.fidelity, again=again), outcome(measurement, error))
            case TakenOver(job):
                self.say(f"trial {job.candidate.number}: another worker has it; what this one made of it is dropped")
            case Exhausted(reason):
                self.exhausted = reason

    def look(self) -> None:
        """Show what the workers have trained since the last look."""
        before, self._view = self._seen, self.study.view()
        self._seen = _ended(self._view)
        for what, came_to in self._seen.items():
            if what not in before:
                self._report(what[0], came_to)
        running = [each.number for each in self._view.records if self._view.status(each) is Status.RUNNING]
        self._current = f"{self._workers} workers" + f"; new: trial {', '.join(map(str, running))}" * bool(running)
        recent = [each.images_per_second for record in self._view.records[-20:] for each in record.measurements]
        self._speed = self._workers * sum(recent) / max(1, len(recent))

    def say(self, line: str) -> None:
        """Print a line, above the panel if there is one."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _report(self, what: str, came_to: str) -> None:
        if not self._console.is_terminal:
            view = self._view
            done = f"[{len(view.records)}/{self.study.n_trials}]"
            self.say(f"{done} {what}: {came_to}; {self._best()}; front {len(view.front)}; {self._time_left()}")
        part = PARTS * len(self._view.records) // self.study.n_trials
        if self._parts < part < PARTS:
            self._parts = part
            for line in running_estimate(self._view.config, self._view.records):
                self.say(line)

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

    def _time_left(self) -> str:
        """Estimate from the effort that is left and the pace since the display began."""
        done = _effort_done(self._view)
        since = done - self._effort_before
        if since <= 0:
            return "time left unknown"
        left = max(0.0, _effort(self._view.config, self.study.n_trials) - done)
        seconds = left * (time.monotonic() - self._started) / since
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def _ended(view: StudyView) -> dict[tuple[str, int], str]:
    """Return what the trainings of a study came to, by what was trained and the seed."""
    found = {}
    for record in view.records:
        own = own_seed(view.config, record)
        for each in record.measurements:
            found[trained(record, each.fidelity, again=each.seed != own), each.seed] = outcome(each)
        if record.error:
            rungs, done = view.config.fidelities, sum(each.seed == own for each in record.measurements)
            found[trained(record, rungs[min(done, len(rungs) - 1)]), own] = outcome(None, record.error)
    return found


def _effort_done(view: StudyView) -> float:
    """Return the effort of all trainings, without the stages that each was spared by going on from a checkpoint."""
    rungs = view.config.fidelities
    stages = list(zip(rungs, stage_efforts(rungs), strict=True))
    made = (each for record in view.records for each in record.measurements)
    return sum(
        effort for each in made for rung, effort in stages if each.continued_from < rung.epochs <= each.fidelity.epochs
    )


def _effort(config: StudyConfig, n_trials: int) -> float:
    """Return the effort that a study will have been, its finalists' further trainings included."""
    stages = stage_efforts(config.fidelities)
    search = sum(effort / float(config.reduction) ** rung for rung, effort in enumerate(stages))
    return n_trials * search + config.finalists * (config.finalist_seeds - 1) * sum(stages)
