"""A study in a database: the only owner of its state. Everything that is Optuna's stays behind this file.

A study is two Optuna studies: `NAME` holds one trial per candidate, told when its first rung is measured, so that a
sampler compares like with like; `NAME/rungs` holds one trial per promotion. A finished Optuna trial cannot change, and
later measurements must be able to join a candidate at any time.
"""

from __future__ import annotations

import json
import math
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Self

import filelock
import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from nas import pareto
from nas.architecture import Architecture
from nas.errors import StudyError, unknown
from nas.feasibility import genotype_cost
from nas.records import SCHEMA_VERSION, Candidate, Fidelity, Measurement, StudyConfig, TrialRecord
from nas.search.promotion import next_promotion
from nas.search.proposals import distributions, propose
from nas.search.storage import HEARTBEAT_SECONDS, sqlite_path
from nas.search.worker_id import is_gone, worker_id
from nas.space import SearchSpace
from nas.space_file import parse_space
from nas.value import FrozenMap, derive_seed, explain
from nas.view import StudyView

CONFIG, BUDGET, CANDIDATE, MEASUREMENT, ERROR, WORKER, PROMOTES = (
    f"nas:{name}" for name in ("config", "n_trials", "candidate", "measurement", "error", "worker", "promotes")
)
RUNGS_SUFFIX = "/rungs"
MISSING = {"minimize": math.inf, "maximize": -math.inf}
"""What Optuna is told of an objective that could not be measured: the worst there is."""


@dataclass(frozen=True)
class Job:
    """One training that a worker has claimed: a candidate at one rung."""

    candidate: Candidate
    rung: int
    fidelity: Fidelity
    seed: int
    trial: FrozenTrial


class Study:
    """A named search. Workers claim jobs from it and report back; readers take its records."""

    def __init__(self, config: StudyConfig, main: optuna.Study, rungs: optuna.Study, storage: RDBStorage) -> None:
        self.config = config
        space = parse_space(config.space_text, where=config.space_name)
        self.space: SearchSpace = replace(space, target=config.target)
        self.objectives = pareto.objectives(config.objectives)
        self._main, self._rungs, self._storage = main, rungs, storage

    @classmethod
    def create(cls, storage: RDBStorage, config: StudyConfig, n_trials: int) -> Self:
        """Return a new study; StudyError when the name is taken."""
        directions = [objective.direction for objective in pareto.objectives(config.objectives)]
        try:
            main = optuna.create_study(storage=storage, study_name=config.name, directions=directions)
        except optuna.exceptions.DuplicatedStudyError:
            raise StudyError(f"study {config.name!r} exists already in this storage") from None
        rungs = optuna.create_study(storage=storage, study_name=config.name + RUNGS_SUFFIX, directions=directions)
        main.set_user_attr(BUDGET, n_trials)
        main.set_user_attr(CONFIG, config.model_dump_json())
        return cls(config, main, rungs, storage)

    @classmethod
    def open(cls, storage: RDBStorage, name: str) -> Self:
        """Return the study called `name`; StudyError when there is none, or a newer version wrote it."""
        known = study_names(storage)
        if name not in known:
            raise StudyError(unknown("study", name, known) if known else f"unknown study {name!r}: the storage is empty")
        main = optuna.load_study(study_name=name, storage=storage)
        rungs = optuna.load_study(study_name=name + RUNGS_SUFFIX, storage=storage)
        return cls(_read_config(name, main.user_attrs[CONFIG]), main, rungs, storage)

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.config.name

    @property
    def n_trials(self) -> int:
        """How many trials the study is to have in all."""
        return int(self._main.user_attrs[BUDGET])

    def extend(self, n_trials: int) -> None:
        """Set how many trials the study is to have; it never shrinks below what it has."""
        self._main.set_user_attr(BUDGET, max(n_trials, len(self._counted())))

    def records(self) -> tuple[TrialRecord, ...]:
        """Return what is known of every trial, in the order of their numbers, each with all its measurements."""
        promoted: dict[int, list[Measurement]] = defaultdict(list)
        for trial in self._rungs.get_trials(deepcopy=False):
            if MEASUREMENT in trial.user_attrs:
                promoted[trial.user_attrs[PROMOTES][0]].append(_measurement(trial))
        return tuple(_record(trial, promoted[trial.number]) for trial in self._counted())

    def view(self) -> StudyView:
        """Return the study as its readers see it."""
        return StudyView.of(self.config, self.records())

    def claim(self, accept: Callable[[Architecture], object]) -> Job | None:
        """Return the next job, claimed in the database; None when nothing is left to start.

        First what a dead process of this host left running, then promotions, then new candidates up to `n_trials`.
        `accept` sees every new architecture before anything is written, and raises to refuse it.
        ExhaustedError when the space holds nothing new.
        """
        with self._exclusive():
            return self._adopt() or self._promote() or self._propose(accept)

    def finish(self, job: Job, measurement: Measurement) -> None:
        """Write the measurement of a job; a diverged one is PRUNED for Optuna, so that samplers learn from it."""
        owner = self._owner(job)
        self._storage.set_trial_user_attr(job.trial._trial_id, MEASUREMENT, measurement.model_dump_json())
        if measurement.diverged:
            owner.tell(job.trial.number, state=TrialState.PRUNED)
        else:
            metrics = {**job.candidate.cost.model_dump(), **measurement.metrics}
            owner.tell(job.trial.number, self._values(metrics))

    def fail(self, job: Job, error: str) -> None:
        """Record that a job could not be done, and why."""
        self._storage.set_trial_user_attr(job.trial._trial_id, ERROR, error)
        self._owner(job).tell(job.trial.number, state=TrialState.FAIL)

    @contextmanager
    def beating(self, job: Job) -> Iterator[None]:
        """Tell the database, while inside, that the job is alive; other hosts reap it when this stops."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                self._storage.record_heartbeat(job.trial._trial_id)

        self._storage.record_heartbeat(job.trial._trial_id)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _owner(self, job: Job) -> optuna.Study:
        return self._rungs if job.rung else self._main

    def _exclusive(self) -> Any:
        """Return a lock on claiming; files only: processes that share a SQLite file share a machine."""
        path = sqlite_path(str(self._storage.url))
        return nullcontext() if path is None else filelock.FileLock(f"{path}.lock")

    def _counted(self) -> list[FrozenTrial]:
        """Return the trials that count: all but those whose worker was lost before it could say anything."""
        trials = self._main.get_trials(deepcopy=False)
        return [t for t in trials if t.state != TrialState.FAIL or ERROR in t.user_attrs]

    def _values(self, metrics: dict[str, float]) -> list[float]:
        return [float(metrics.get(objective.name, MISSING[objective.direction])) for objective in self.objectives]

    def _job(self, candidate: Candidate, rung: int, trial: FrozenTrial) -> Job:
        seed = derive_seed(self.config.seed, candidate.number, "train")
        return Job(candidate, rung, self.config.fidelities[rung], seed, trial)

    def _adopt(self) -> Job | None:
        """Take over a trial whose process is gone: same number, same seed, same result."""
        for study in (self._rungs, self._main):
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if is_gone(trial.user_attrs.get(WORKER, "")):
                    self._storage.set_trial_user_attr(trial._trial_id, WORKER, worker_id())
                    rung = trial.user_attrs[PROMOTES][1] if study is self._rungs else 0
                    return self._job(_candidate(trial), rung, trial)
        for study in (self._main, self._rungs):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(study)  # of hosts that stopped beating
        return None

    def _promote(self) -> Job | None:
        records = self.records()
        claimed = frozenset(
            (trial.user_attrs[PROMOTES][0], trial.user_attrs[PROMOTES][1])
            for trial in self._rungs.get_trials(deepcopy=False)
            if trial.state != TrialState.FAIL or ERROR in trial.user_attrs
        )
        chosen = next_promotion(records, claimed, self.config.fidelities, self.objectives, self.config.reduction)
        if chosen is None:
            return None
        number, rung = chosen
        record = next(record for record in records if record.number == number)
        return self._start(self._rungs, record.candidate, rung, {PROMOTES: [number, rung]})

    def _propose(self, accept: Callable[[Architecture], object]) -> Job | None:
        trials = self._counted()
        if len(trials) >= self.n_trials:
            return None
        number = len(self._main.get_trials(deepcopy=False))
        genotype = propose(
            [trial for trial in trials if trial.state != TrialState.FAIL],
            [objective.direction for objective in self.objectives],
            self.space,
            self.config.budget,
            sampler=self.config.sampler,
            seen={_candidate(trial).architecture.arch_id for trial in trials},
            seed=derive_seed(self.config.seed, number, "propose"),
        )
        architecture = self.space.decode(genotype)
        accept(architecture)
        cost = genotype_cost(self.space, genotype)
        candidate = Candidate(number=number, genotype=FrozenMap(genotype), architecture=architecture, cost=cost)
        return self._start(self._main, candidate, 0, {})

    def _start(self, study: optuna.Study, candidate: Candidate, rung: int, attrs: dict[str, Any]) -> Job:
        """Write the claim: parameters, candidate and worker in one trial that is RUNNING from its first moment."""
        before = len(study.get_trials(deepcopy=False))
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(candidate.genotype),
                distributions=distributions(self.space),
                user_attrs={CANDIDATE: candidate.model_dump_json(), WORKER: worker_id(), **attrs},
            )
        )
        return self._job(candidate, rung, study.get_trials(deepcopy=False)[before])


def study_names(storage: RDBStorage) -> list[str]:
    """Return the names of the studies of ours in a storage."""
    summaries = optuna.get_all_study_summaries(storage, include_best_trial=False)
    return sorted(summary.study_name for summary in summaries if CONFIG in summary.user_attrs)


def _read_config(name: str, text: str) -> StudyConfig:
    version = json.loads(text).get("schema_version", 0)
    if version > SCHEMA_VERSION:
        raise StudyError(
            f"study {name!r}: written by a newer version of nas (schema {version}, this one reads up to {SCHEMA_VERSION})"
        )
    try:
        return StudyConfig.model_validate_json(text)
    except ValidationError as error:
        raise StudyError(f"study {name!r}: its configuration cannot be read: {explain(error)}") from None


def _candidate(trial: FrozenTrial) -> Candidate:
    """Return the candidate of a trial; its number is that of its trial among the candidates."""
    candidate = Candidate.model_validate_json(trial.user_attrs[CANDIDATE])
    number = trial.user_attrs[PROMOTES][0] if PROMOTES in trial.user_attrs else trial.number
    return candidate if candidate.number == number else candidate.model_copy(update={"number": number})


def _measurement(trial: FrozenTrial) -> Measurement:
    return Measurement.model_validate_json(trial.user_attrs[MEASUREMENT])


def _record(trial: FrozenTrial, promoted: list[Measurement]) -> TrialRecord:
    first = [_measurement(trial)] if MEASUREMENT in trial.user_attrs else []
    return TrialRecord.model_construct(
        **dict(_candidate(trial)), measurements=(*first, *promoted), error=trial.user_attrs.get(ERROR, "")
    )
