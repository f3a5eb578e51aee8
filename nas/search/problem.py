"""Searching a problem of one's own: the same study, sampler, rungs and workers, with another evaluator."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from pydantic import ValidationError

from nas.budget import Budget
from nas.choices import in_one_line
from nas.errors import InputError, NasError, StudyError, unknown
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement, Plan, Recipe, StudyConfig
from nas.search.catalogue import study_names
from nas.search.enqueue import DuplicateError, candidate_of
from nas.search.lock import exclusive
from nas.search.loop import Event, Exhausted
from nas.search.samplers.named import DEFAULT_SAMPLER, SAMPLERS
from nas.search.sources import Places
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study
from nas.search.warm_start import missing, sources_of
from nas.search.worker import complete
from nas.space import Genotype, Target
from nas.training.loop import Progress
from nas.value import digest, explain
from nas.view import StudyView

KEPT = ("kind", "space_name", "objectives", "costs", "caps", "fidelities", "reduction", "sampler", "seed")
"""What a study must have been started with, to go on with it; the choices are compared by themselves."""

_log = logging.getLogger(__name__)


def solve(
    problem: Problem,
    n_trials: int,
    *,
    study: str | None = None,
    storage: str | None = None,
    sampler: str | BaseSampler = DEFAULT_SAMPLER,
    seed: int = 0,
    max_hours: float | None = None,
    workers: int = 1,
    reduction: int = 2,
    first: Sequence[Genotype] = (),
    warm_start: Sequence[str] = (),
    on_event: Callable[[Event], None] = lambda _: None,
) -> StudyView:
    """Search a problem until it has `n_trials` trials, or its members are all seen; return what was found.

    With a `storage` URL the study called `study`, or as the problem is, is kept there: the same call goes on with it,
    on this machine or on several at once, and `nas front`, `nas status` and `nas studies` read it. `workers` evaluate
    at once, each in a thread. An evaluation that raises, or gives what is no measurement of all that is wanted, is
    recorded with its error; NasError after three in a row. With several `fidelities` one candidate in `reduction` goes
    on to the next. The genotypes in `first` are evaluated before any other, each once, even if the study's trials are
    done. A new study starts with what the studies of the same storage in `warm_start` have measured: records of a
    problem of the same name at the same fidelities stand in it beside its trials, others inform the sampler. A study
    that has been started knows its own. InputError, before anything is evaluated, for what cannot be searched; a search
    that ends early, because nothing new is left, says so to `on_event` and to the log.
    """
    _check(problem, n_trials, workers, sampler, max_hours=max_hours, warm_start=warm_start)
    problem.members.check()
    with ExitStack() as stack:
        if storage is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            storage = sqlite_url(Path(folder) / "study.db")
        config = _config(problem, study or problem.name, sampler, seed, reduction)
        for genotype in first:  # before anything is written
            candidate_of(config, problem.members, 0, genotype)
        passed = None if isinstance(sampler, str) else sampler
        place = partial(_opened, storage, config, problem, n_trials, sampler=passed, warm_start=tuple(warm_start))
        opened = [stack.enter_context(place()) for _ in range(workers)]
        for line in missing(opened[0].config, Places(opened[0].storage, None)):
            _log.warning(line)
        with exclusive(opened[0].storage, config.name):
            opened[0].extend(n_trials, max_hours)
        for genotype in first:
            with suppress(DuplicateError):  # the same call goes on with a study that has it
                opened[0].enqueue(genotype)
        complete(opened, ProblemEvaluator(problem), lambda _: None, _said(problem, on_event))
        return opened[0].view()


@dataclass(frozen=True)
class ProblemEvaluator:
    """Lets a problem's own function measure; whatever it raises is its fault and told in one line."""

    problem: Problem

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, on_epoch: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement; InputError for what is none."""
        del on_epoch
        try:
            measurement = self.problem.evaluate(candidate, fidelity, seed)
        except NasError:
            raise
        except ValidationError as fault:
            raise InputError(f"the evaluator made no {fault.title}: {explain(fault)}") from fault
        except Exception as fault:  # whatever somebody else's code may raise
            raise InputError(f"the evaluator raised {in_one_line(fault)}") from fault
        if not isinstance(measurement, Measurement):
            raise InputError(f"the evaluator gave {measurement!r:.80}, which is no Measurement")
        return measurement


def _check(
    problem: Problem,
    n_trials: int,
    workers: int,
    sampler: str | BaseSampler,
    *,
    max_hours: float | None,
    warm_start: Sequence[str],
) -> None:
    """Raise InputError for arguments that no search can be made of."""
    where = f"problem {problem.name}"
    for name, count in (("n_trials", n_trials), ("workers", workers)):
        if not isinstance(count, int) or count < 1:
            raise InputError(f"{where}: {name} must be a whole number of at least 1, got {count!r}")
    if max_hours is not None and not max_hours > 0:
        raise InputError(f"{where}: max_hours must be above 0, got {max_hours!r}")
    if not callable(problem.evaluate):
        raise InputError(f"{where}: evaluate must be a function, got {problem.evaluate!r}")
    if isinstance(warm_start, str) or len(set(warm_start)) < len(warm_start):
        raise InputError(f"{where}: warm_start must be a list of studies, each once, got {warm_start!r}")
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise InputError(unknown("sampler", sampler, SAMPLERS))
    if not isinstance(sampler, str | BaseSampler):
        raise InputError(f"{where}: sampler must be a name or an Optuna sampler, made already, got {sampler!r}")


def _said(problem: Problem, on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return what hears events and leaves a line in the log where a search ends early."""

    def hear(event: Event) -> None:
        if isinstance(event, Exhausted):
            _log.warning("problem %s: the search ends early: %s", problem.name, event.reason)
        on_event(event)

    return hear


@contextmanager
def _opened(
    url: str,
    config: StudyConfig,
    problem: Problem,
    n_trials: int,
    *,
    sampler: BaseSampler | None,
    warm_start: tuple[str, ...],
) -> Iterator[Study]:
    """Give the study, opened or newly made; StudyError where it was started with something else."""
    path = sqlite_path(url)
    storage = open_storage(url, create=path is None or not path.is_file())
    try:
        if config.name not in study_names(storage):
            try:
                started = _started(config, problem, storage, warm_start)
                yield Study.create(storage, started, n_trials, problem=problem, sampler=sampler)
                return
            except StudyError:
                if config.name not in study_names(storage):  # else another process made it a moment ago
                    raise
        found = Study.open(storage, config.name, problem=problem, sampler=sampler)
        _refuse_changes(found.config, config)
        if warm_start and warm_start != (has := tuple(mark.study for mark in found.config.warm_start)):
            raise StudyError(
                f"study {config.name!r}: a different warm start than it was started with: the study has "
                f"{', '.join(has) or 'none'}, asked was {', '.join(warm_start)}; leave it out to go on"
            )
        yield found
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _started(config: StudyConfig, problem: Problem, storage: RDBStorage, names: Sequence[str]) -> StudyConfig:
    """Return the configuration with the studies that it starts from; StudyError for what cannot be one."""
    places = Places(storage, None)
    found = sources_of(names, places, kind="problem", choices=problem.choices, study=config.name)
    return config.model_copy(update={"warm_start": tuple(source.mark for source in found)})


def _refuse_changes(has: StudyConfig, asked: StudyConfig) -> None:
    for name in KEPT:
        before, now = getattr(has, name), getattr(asked, name)
        if before != now:
            raise StudyError(
                f"study {has.name!r}: a different {name.replace('_', ' ')} than it was started with: the study has "
                f"{before}, asked was {now}; give another name to start anew"
            )


def _config(problem: Problem, name: str, sampler: str | BaseSampler, seed: int, reduction: int) -> StudyConfig:
    caps = {cap: int(value) for cap, value in problem.caps.items() if cap in Budget.model_fields and value >= 1}
    prefix = {"maximize": "max", "minimize": "min"}
    try:
        return StudyConfig(
            kind="problem",
            name=name,
            space_name=problem.name,
            space_text=problem.text,
            target=Target(),
            budget=Budget(**({"params": None} | caps)),
            data=f"problem {problem.name}",
            data_fingerprint=digest(problem.text),
            validation_fraction=0,
            objectives=tuple(f"{prefix[direction]}:{each}" for each, direction in problem.objectives.items()),
            fidelities=problem.fidelities,
            reduction=reduction,
            recipe=Recipe(),
            plan=Plan(),
            sampler=sampler if isinstance(sampler, str) else type(sampler).__name__,
            seed=seed,
            costs=problem.members.cost_names,
            caps=problem.caps,
        )
    except ValidationError as error:
        raise InputError(f"problem {problem.name}: {explain(error)}") from None
