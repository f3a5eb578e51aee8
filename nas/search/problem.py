"""Searching a problem of one's own: the same study, sampler, rungs and workers, with another evaluator.

problem = Problem(
    name="table",
    choices={"depth": (1, 2, 3), "kernel": (3, 5), "act": ("relu", "gelu")},
    objectives={"accuracy": "maximize"},
    evaluate=lambda candidate, fidelity, seed: Measurement(
        fidelity=fidelity, seed=seed, metrics={"accuracy": look_up(candidate.genotype)}
    ),
    cost=lambda genotype: {"params": 1_000 * genotype["depth"]},
    caps={"params": 2_000},
)
view = solve(problem, n_trials=100)
print(view.best.genotype, view.best.metrics)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.samplers import BaseSampler

from nas.budget import Budget
from nas.errors import InputError, NasError, StudyError
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement, Plan, Recipe, StudyConfig
from nas.search.catalogue import study_names
from nas.search.enqueue import DuplicateError, candidate_of
from nas.search.lock import exclusive
from nas.search.loop import Event
from nas.search.samplers.named import DEFAULT_SAMPLER
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study
from nas.search.worker import complete
from nas.space import Genotype, Target
from nas.training.loop import Progress
from nas.value import digest
from nas.view import StudyView


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
    on_event: Callable[[Event], None] = lambda _: None,
) -> StudyView:
    """Search a problem until it has `n_trials` trials, or its members are all seen; return what was found.

    With a `storage` URL the study called `study`, or as the problem is, is kept there: the same call goes on with it,
    and `nas front`, `nas status` and `nas studies` read it. `workers` evaluate at once, each in a thread. An evaluation
    that raises, or gives what is no measurement, is recorded with its error; several in a row end the search. With
    several `fidelities` one candidate in `reduction` goes on to the next. The genotypes in `first` are evaluated before
    any other, each once, even if the study's trials are done. InputError for what cannot be searched.
    """
    if n_trials < 1 or workers < 1:
        raise InputError(f"problem {problem.name}: n_trials and workers must be at least 1, got {n_trials}, {workers}")
    with tempfile.TemporaryDirectory() as folder:
        url = storage or sqlite_url(Path(folder) / "study.db")
        config = _config(problem, study or problem.name, sampler, seed, reduction)
        for genotype in first:  # before anything is written
            candidate_of(config, problem.members, 0, genotype)
        opened = [_study(url, config, problem, n_trials, max_hours, sampler) for _ in range(workers)]
        for genotype in first:
            with suppress(DuplicateError):  # the same call goes on with a study that has it
                opened[0].enqueue(genotype)
        complete(opened, ProblemEvaluator(problem), lambda _: None, on_event)
        view = opened[0].view()
        for each in opened:
            each.storage.remove_session()
            each.storage.engine.dispose()
        return view


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
        except Exception as fault:  # whatever somebody else's code may raise
            raise InputError(f"{type(fault).__name__}: {fault}") from fault
        if not isinstance(measurement, Measurement):
            raise InputError(f"the evaluator gave a {type(measurement).__name__}, not a Measurement")
        return measurement


def _study(
    url: str,
    config: StudyConfig,
    problem: Problem,
    n_trials: int,
    max_hours: float | None,
    sampler: str | BaseSampler,
) -> Study:
    """Return the study of a problem, opened or newly made; StudyError where it was started with something else."""
    path = sqlite_path(url)
    opened = open_storage(url, create=path is None or not path.is_file())
    passed = sampler if isinstance(sampler, BaseSampler) else None
    if config.name not in study_names(opened):
        return Study.create(opened, config, n_trials, max_hours, problem=problem, sampler=passed)
    found = Study.open(opened, config.name, problem=problem, sampler=passed)
    for field in ("kind", "objectives", "budget", "fidelities", "sampler", "seed", "reduction"):
        has, asked = getattr(found.config, field), getattr(config, field)
        if has != asked:
            raise StudyError(
                f"study {config.name!r}: a different {field} than it was started with: the study has {has}, "
                f"asked was {asked}; give another name to start anew"
            )
    with exclusive(opened, config.name):
        found.extend(n_trials, max_hours)
    return found


def _config(problem: Problem, name: str, sampler: str | BaseSampler, seed: int, reduction: int) -> StudyConfig:
    caps = {cap: int(value) for cap, value in problem.caps.items() if cap in Budget.model_fields}
    prefix = {"maximize": "max", "minimize": "min"}
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
    )
