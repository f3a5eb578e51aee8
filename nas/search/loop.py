"""The search loop: claim, evaluate, report, until nothing is left to start. It keeps nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import ValidationError

from nas.architecture import Architecture
from nas.errors import InputError, NasError
from nas.records import Measurement, ReferenceRecord, StudyConfig
from nas.search.books import Job
from nas.search.evaluator import Evaluator, Keeping
from nas.search.heart import Heart, TakenOverError
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
class TakenOver:
    """Another worker has taken a job over; what this one has made of it is dropped."""

    job: Job


@dataclass(frozen=True)
class Exhausted:
    """The space holds nothing new within the caps; the search ends early."""

    reason: str


Event = Started | EpochDone | Finished | TakenOver | Exhausted


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
    its error; NasError after several in a row. KeyboardInterrupt, and StoppedError when the study was told to stop,
    leave the running job to the next worker.
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


@runtime_checkable
class Halving(Protocol):
    """An evaluator that can do with half the memory."""

    def halved(self) -> Evaluator:
        """Return one that does."""


class Books(Protocol):
    """Where a worker writes down what becomes of a job."""

    @property
    def config(self) -> StudyConfig:
        """The study that the job is of."""

    def beating(self, job: Job) -> AbstractContextManager[Heart]:
        """Keep the claim alive while inside."""

    def finish(self, job: Job, measurement: Measurement) -> bool:
        """Write the measurement; False where another worker has the job."""

    def fail(self, job: Job, error: str) -> bool:
        """Write why there is none; False where another worker has the job."""


def work(books: Books, job: Job, evaluate: Evaluator, on_event: Callable[[Event], None]) -> str:
    """Evaluate one job and write what came of it; return the error, empty when there was none.

    Where another worker took the job over, since this one was silent for too long, nothing is written.
    """
    measurement, error = None, ""
    try:
        with books.beating(job) as heart:
            on_event(Started(job))
            try:
                measurement = _measure(job, evaluate, heart, on_event)
                _check(measurement, job, books.config)
            except (NasError, RuntimeError, ValueError, ArithmeticError) as fault:
                measurement, error = None, _in_one_line(fault)
    except TakenOverError:
        on_event(TakenOver(job))
        return ""
    is_ours = books.fail(job, error) if measurement is None else books.finish(job, measurement)
    if not is_ours:
        on_event(TakenOver(job))
        return ""
    is_complete = measurement is not None and measurement.is_complete
    _let_forget(evaluate, job, goes_on=is_complete and job.rung + 1 < len(books.config.fidelities))
    on_event(Finished(job, measurement, error))
    return error


def _measure(job: Job, evaluate: Evaluator, heart: Heart, on_event: Callable[[Event], None]) -> Measurement:
    def on_epoch(progress: Progress) -> None:
        on_event(EpochDone(job, progress))
        heart.epoch_done(progress.epoch, progress.epochs)

    if job.is_halved and isinstance(evaluate, Halving):
        evaluate = evaluate.halved()
    return evaluate(job.candidate, job.fidelity, job.seed, on_epoch)


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
