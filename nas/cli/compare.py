"""`nas compare`: published networks under a study's cap, trained as its candidates were, beside its front."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.status import Status

from nas.cli.output import count, print_front, print_json
from nas.cli.pages import write_front
from nas.cli.progress import outcome
from nas.cli.read import open_networks
from nas.cli.references import named
from nas.errors import NasError
from nas.records import Candidate, ReferenceRecord
from nas.report.tables import rows
from nas.search.compare import Comparison, compare, scaled
from nas.search.loop import EpochDone, Event, Finished, Started
from nas.search.request import SearchRequest
from nas.search.setup import prepare


def compare_command(
    name: str, references: Sequence[str], seeds: int, results: Path, storage: str | None, *, as_json: bool
) -> None:
    """Train what is missing, then show the front with all references of the study."""
    wanted = scaled([named(each) for each in references], open_networks(name, results, storage).config)
    comparison = None
    try:
        prepared = prepare(SearchRequest(results=results, storage=storage, study=name), _say)
        comparison = Comparison(prepared.study, wanted, seeds)
        for each in wanted:
            _say(f"{each.name} under the cap: {each.cost.params:,} params: {each.architecture.words()}")
        with Progress(comparison) as progress:
            compare(comparison, prepared.evaluator, prepared.accept, progress)
    except KeyboardInterrupt:
        done = f"{comparison.total - comparison.left()} of {comparison.total}" if comparison else "no"
        _say(f"stopped; {done} trainings are in the study. The same command goes on from here.")
        raise
    view = prepared.study.view()
    write_front(prepared.folder, prepared.study)
    if as_json:
        print_json(rows([*view.front, *view.references], view))
    else:
        print_front(view, title=f"front of study {name} and its references")
        print(f"the front as a page: {prepared.folder.front_page}")
    if left := comparison.left():
        raise NasError(f"study {name}: {left} of {comparison.total} trainings are not done; see above")


class Progress:
    """Takes the events of a comparison: a line for each training and, on a terminal, what is running now."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._console = Console(stderr=True)
        self._live = Status("starting", console=self._console)

    def __enter__(self) -> Self:
        """Start the live line, if this is a terminal."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Started(job):
                self._live.update(f"{_name(job.candidate)}: {job.fidelity.epochs} epochs")
            case EpochDone(job, progress):
                epoch = f"epoch {progress.epoch}/{progress.epochs}, loss {progress.last.train_loss:.3f}"
                self._live.update(f"{_name(job.candidate)}: {epoch}, {progress.images_per_second:,.0f} images/s")
            case Finished():
                self._console.print(self._line(event), soft_wrap=True, highlight=False, markup=False)

    def _line(self, event: Finished) -> str:
        done = self._comparison.total - self._comparison.left()
        size = count(event.job.candidate.cost.params)
        came_to = outcome(event.measurement, event.error)
        return f"[{done}/{self._comparison.total}] {_name(event.job.candidate)} ({size} params): {came_to}"


def _name(candidate: Candidate) -> str:
    return candidate.name if isinstance(candidate, ReferenceRecord) else str(candidate.number)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
