"""The search loop: claim, evaluate, report, until nothing is left to start. It keeps nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from nas.architecture import Architecture
from nas.errors import InputError, NasError
from nas.records import Measurement, ReferenceRecord, StudyConfig
from nas.search.books import Job
from nas.search.evaluator import Evaluator, Keeping
from nas.search.samplers.fresh import ExhaustedError
from nas.search.study import Study
from nas.training.loop import Progress
from nas.value import explain

MOST_FAILURES_IN_A_ROW = 3
"""After so many candidates that could not be evaluated the fault is not theirs."""

WAIT_SECONDS = 0.5
"""Between two looks for a job while there is none: other workers' results may give one."""


@dataclass(frozen=True)
class Started:
    """A job was claimed."""

    job: Job


@dataclass(frozen=True)
class EpochDone:
    """A training finished an epoch."""

    job: Job
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A job ended: with a measurement, or with an error."""

    job: Job
    measurement: Measurement | None
    error: str = ""


@dataclass(frozen=True)
class Exhausted:
    """The space holds nothing new within the caps; the search ends early."""

    reason: str


Event = Started | EpochDone | Finished | Exhausted


def run(
    study: Study,
    evaluate: Evaluator,
    accept: Callable[[Architecture], object],
    on_event: Callable[[Event], None] = lambda _: None,
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Work on `study` until its trials are done, those of other workers included, or `is_over` before a job.

    `accept` audits every new architecture before it is written. A candidate whose evaluation raises is recorded with
    its error; NasError after several in a row. KeyboardInterrupt leaves the running job to the next worker.
    """
    failures = 0
    while not is_over():
        try:
            job = study.claim(accept)
        except ExhaustedError as end:
            study.extend(0)
            on_event(Exhausted(str(end)))
            continue
        if job is None:
            if not study.is_busy:
                return
            time.sleep(WAIT_SECONDS)
            continue
        error = work(study, job, evaluate, on_event)
        failures = failures + 1 if error else 0
        if failures >= MOST_FAILURES_IN_A_ROW:
            raise NasError(f"{failures} candidates in a row could not be evaluated; the last: {error}")


class Books(Protocol):
    """Where a worker writes down what becomes of a job."""

    @property
    def config(self) -> StudyConfig:
        """The study that the job is of."""

    def beating(self, job: Job) -> AbstractContextManager[None]:
        """Keep the claim alive while inside."""

    def finish(self, job: Job, measurement: Measurement) -> None:
        """Write the measurement."""

    def fail(self, job: Job, error: str) -> None:
        """Write why there is none."""


def work(books: Books, job: Job, evaluate: Evaluator, on_event: Callable[[Event], None]) -> str:
    """Evaluate one job and write what came of it; return the error, empty when there was none."""
    with books.beating(job):
        on_event(Started(job))
        try:
            measurement = evaluate(
                job.candidate, job.fidelity, job.seed, lambda progress: on_event(EpochDone(job, progress))
            )
            _check(measurement, job, books.config)
        except (NasError, RuntimeError, ValueError, ArithmeticError) as fault:
            error = _in_one_line(fault)
            books.fail(job, error)
            _let_forget(evaluate, job, goes_on=False)
            on_event(Finished(job, None, error))
            return error
    books.finish(job, measurement)
    _let_forget(evaluate, job, goes_on=measurement.is_complete and job.rung + 1 < len(books.config.fidelities))
    on_event(Finished(job, measurement))
    return ""


def _let_forget(evaluate: Evaluator, job: Job, *, goes_on: bool) -> None:
    """Tell an evaluator what became of a job, now that it is written; only candidates go on, from their own seed."""
    is_own = job.kind != "replicate" and not isinstance(job.candidate, ReferenceRecord)
    if isinstance(evaluate, Keeping) and not (goes_on and is_own):
        evaluate.forget(job.candidate, job.fidelity, job.seed)


def _check(measurement: Measurement, job: Job, config: StudyConfig) -> None:
    """Raise InputError for a measurement that cannot stand for the job: evaluators may be a user's own."""
    if (measurement.fidelity, measurement.seed) != (job.fidelity, job.seed):
        raise InputError("the evaluator gave a measurement of another fidelity or seed than it was asked for")
    for name in config.measured(job.candidate) if measurement.is_complete else ():
        if name not in measurement.metrics:
            gave = ", ".join(measurement.metrics) or "nothing"
            raise InputError(f"the evaluator gave no {name!r}; it gave {gave}")


def _in_one_line(fault: Exception) -> str:
    if isinstance(fault, ValidationError):  # its first line says only that something is wrong
        return f"{fault.title.lower()}: {explain(fault)}"
    return f"{type(fault).__name__}: {fault}".splitlines()[0]
