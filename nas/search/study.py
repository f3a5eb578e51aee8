"""A study in a database: the only owner of its state. Everything that is Optuna's stays behind this file.

A study is two Optuna studies: `NAME` holds one trial per candidate, told when its first rung is measured, so that a
sampler compares like with like; `NAME/rungs` holds one trial per promotion. A finished Optuna trial cannot change, and
later measurements must be able to join a candidate at any time. Two more may stand beside them: `NAME/references`, once
networks were compared with the study (`nas.search.compare`), takes no part in the search; `NAME/fidelity`, candidates
trained from further seeds (`nas.search.fidelity`), tells it which objectives may decide, and nothing else.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import filelock
import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from pydantic import ValidationError

from nas import pareto
from nas.architecture import Architecture
from nas.errors import StudyError, unknown
from nas.feasibility import genotype_cost
from nas.records import (
    SCHEMA_VERSION,
    Candidate,
    Fidelity,
    Measurement,
    ReferenceRecord,
    StudyConfig,
    TrialRecord,
)
from nas.search.ledger import (
    CANDIDATE,
    ERROR,
    MEASUREMENT,
    PROMOTES,
    RUNG,
    SEED,
    WORKER,
    StoredTrial,
    read_trials,
)
from nas.search.promotion import composite_values, next_promotion
from nas.search.proposals import MISSING, Mirror, distributions, propose, told
from nas.search.storage import HEARTBEAT_SECONDS, sqlite_path
from nas.search.worker_id import is_gone, worker_id
from nas.space import SearchSpace
from nas.space_file import parse_space
from nas.trust import gate
from nas.trust.composite import NAME as COMPOSITE
from nas.value import FrozenMap, derive_seed, explain
from nas.view import StudyView

CONFIG, BUDGET = "nas:config", "nas:n_trials"
RUNGS_SUFFIX, REFERENCES_SUFFIX, FIDELITY_SUFFIX = "/rungs", "/references", "/fidelity"


@dataclass(frozen=True)
class Job:
    """One training that a worker has claimed: a candidate at one rung."""

    candidate: Candidate
    rung: int
    fidelity: Fidelity
    seed: int
    trial_id: int
    trial_number: int


class Study:
    """A named search. Workers claim jobs from it and report back; readers take its records."""

    def __init__(self, config: StudyConfig, main: optuna.Study, rungs: optuna.Study, storage: RDBStorage) -> None:
        self.config = config
        space = parse_space(config.space_text, where=config.space_name)
        self.space: SearchSpace = replace(space, target=config.target)
        self.objectives = pareto.objectives(config.objectives)
        self._main, self._rungs, self._storage = main, rungs, storage
        self.is_busy = False
        """Whether other workers were training when a job was last asked for: their results may give another."""
        self._decided: tuple[tuple[int, ...], tuple[pareto.Objective, ...]] = (), self.objectives
        self._mirrored: tuple[object, Mirror] | None = None

    @classmethod
    def create(cls, storage: RDBStorage, config: StudyConfig, n_trials: int) -> Self:
        """Return a new study; StudyError when the name is taken."""
        with exclusive(storage):
            main = _new_study(storage, config.name, config.objectives)
            rungs = _new_study(storage, config.name + RUNGS_SUFFIX, config.objectives)
            main.set_user_attr(BUDGET, n_trials)
            main.set_user_attr(CONFIG, config.model_dump_json())  # last: with it the study exists
        return cls(config, main, rungs, storage)

    @classmethod
    def open(cls, storage: RDBStorage, name: str) -> Self:
        """Return the study called `name`; StudyError when there is none, or a newer version wrote it."""
        known = study_names(storage)
        if name not in known:
            raise StudyError(
                unknown("study", name, known) if known else f"unknown study {name!r}: the storage is empty"
            )
        main = optuna.load_study(study_name=name, storage=storage)
        rungs = optuna.load_study(study_name=name + RUNGS_SUFFIX, storage=storage)
        return cls(_read_config(name, main.user_attrs[CONFIG]), main, rungs, storage)

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.config.name

    @property
    def storage(self) -> RDBStorage:
        """The database."""
        return self._storage

    @property
    def n_trials(self) -> int:
        """How many trials the study is to have in all."""
        return int(self._main.user_attrs[BUDGET])

    def extend(self, n_trials: int) -> None:
        """Set how many trials the study is to have; it never shrinks below what it has."""
        self._main.set_user_attr(BUDGET, max(n_trials, sum(trial.counts for trial in self._trials())))

    def records(self) -> tuple[TrialRecord, ...]:
        """Return what is known of every trial, in the order of their numbers, each with all its measurements."""
        return _records(self._trials(), self._promotions(), self._repeats())

    def references(self) -> tuple[ReferenceRecord, ...]:
        """Return what is known of the references that were compared with the study."""
        trials: dict[tuple[str, str], list[StoredTrial]] = defaultdict(list)
        for trial in read_trials(self._storage, self.name + REFERENCES_SUFFIX):
            if trial.measurement is not None or trial.error:
                trials[trial.reference.key].append(trial)
        return tuple(map(_reference_record, trials.values()))

    def view(self) -> StudyView:
        """Return the study as its readers see it."""
        return StudyView.of(self.config, self.records(), references=self.references())

    def claim(self, accept: Callable[[Architecture], object]) -> Job | None:
        """Return the next job, claimed in the database; None when nothing is left to start.

        First what a dead process of this host left running, then promotions, then new candidates up to `n_trials`.
        `accept` sees every new architecture before anything is written, and raises to refuse it.
        ExhaustedError when the space holds nothing new.
        """
        with exclusive(self._storage):
            trials, promotions = self._trials(), self._promotions()
            if job := self._adopt(trials, promotions):
                return job
            self.is_busy = any(trial.state == TrialState.RUNNING for trial in (*trials, *promotions))
            if self.is_busy:
                self._reap()
                trials, promotions = self._trials(), self._promotions()
            deciding = self._deciding(trials, promotions)
            return self._promote(trials, promotions, deciding) or self._propose(trials, deciding, accept)

    def finish(self, job: Job, measurement: Measurement) -> None:
        """Write the measurement of a job; one that came to no end is PRUNED for Optuna: samplers learn from it."""
        owner = self._owner(job)
        self._storage.set_trial_user_attr(job.trial_id, MEASUREMENT, measurement.model_dump_json())
        if not measurement.is_complete:
            owner.tell(job.trial_number, state=TrialState.PRUNED)
        else:
            metrics = {**job.candidate.cost.model_dump(), **measurement.metrics}
            owner.tell(job.trial_number, self._values(metrics))

    def fail(self, job: Job, error: str) -> None:
        """Record that a job could not be done, and why."""
        self._storage.set_trial_user_attr(job.trial_id, ERROR, error)
        self._owner(job).tell(job.trial_number, state=TrialState.FAIL)

    @contextmanager
    def beating(self, job: Job) -> Iterator[None]:
        """Tell the database, while inside, that the job is alive; other hosts reap it when this stops."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                self._storage.record_heartbeat(job.trial_id)

        self._storage.record_heartbeat(job.trial_id)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _owner(self, job: Job) -> optuna.Study:
        return self._rungs if job.rung else self._main

    def _trials(self) -> list[StoredTrial]:
        return read_trials(self._storage, self._main.study_name)

    def _promotions(self) -> list[StoredTrial]:
        return read_trials(self._storage, self._rungs.study_name)

    def _repeats(self) -> list[StoredTrial]:
        return read_trials(self._storage, self.name + FIDELITY_SUFFIX)

    def _values(self, metrics: dict[str, float]) -> list[float]:
        return [float(metrics.get(objective.name, MISSING[objective.direction])) for objective in self.objectives]

    def _job(self, candidate: Candidate, rung: int, trial_id: int, trial_number: int) -> Job:
        seed = derive_seed(self.config.seed, candidate.number, "train")
        return Job(candidate, rung, self.config.fidelities[rung], seed, trial_id, trial_number)

    def _adopt(self, trials: list[StoredTrial], promotions: list[StoredTrial]) -> Job | None:
        """Take over a trial whose process is gone: same number, same seed, same result."""
        for trial in (*promotions, *trials):
            if trial.state != TrialState.RUNNING or not is_gone(trial.attributes.get(WORKER, "")):
                continue
            rung = trial.promotes[1] if PROMOTES in trial.attributes else 0
            job = self._job(trial.candidate, rung, trial.trial_id, trial.number)
            if trial.measurement is not None:  # killed after the result was written, before Optuna was told
                self.finish(job, trial.measurement)
            elif trial.error:
                self.fail(job, trial.error)
            else:
                self._storage.set_trial_user_attr(trial.trial_id, WORKER, worker_id())
                return job
        return None

    def _reap(self) -> None:
        """Fail the trials of other hosts that stopped beating; new candidates and promotions take their place."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for study in (self._main, self._rungs):
                optuna.storages.fail_stale_trials(study)

    def _deciding(self, trials: list[StoredTrial], promotions: list[StoredTrial]) -> tuple[pareto.Objective, ...]:
        """Return the objectives that may decide; the verdict is kept until there is another measurement."""
        repeats = self._repeats()
        known = tuple(sum(MEASUREMENT in each.attributes for each in some) for some in (trials, promotions, repeats))
        if known != self._decided[0]:
            records = _records(trials, promotions, repeats) if repeats else ()
            self._decided = known, gate.deciding(self.objectives, gate.verdicts(self.config, records))
        return self._decided[1]

    def _promote(
        self, trials: list[StoredTrial], promotions: list[StoredTrial], deciding: Sequence[pareto.Objective]
    ) -> Job | None:
        records = _records(trials, promotions)  # without further seeds: all are ranked by their own training
        claimed = frozenset(trial.promotes for trial in promotions if trial.counts)
        chosen = next_promotion(records, claimed, self.config.fidelities, deciding, self.config.reduction)
        if chosen is None:
            return None
        number, rung = chosen
        candidate = next(record.candidate for record in records if record.number == number)
        return self._start(self._rungs, candidate, rung, promotes=chosen)

    def _propose(
        self,
        trials: list[StoredTrial],
        deciding: Sequence[pareto.Objective],
        accept: Callable[[Architecture], object],
    ) -> Job | None:
        if sum(trial.counts for trial in trials) >= self.n_trials:
            return None
        genotype = propose(
            self._mirror(trials, deciding),
            self.space,
            self.config.budget,
            sampler=self.config.sampler,
            seen={trial.candidate.architecture.arch_id for trial in trials if trial.counts},
            seed=derive_seed(self.config.seed, len(trials), "propose"),
        )
        architecture = self.space.decode(genotype)
        accept(architecture)
        cost = genotype_cost(self.space, genotype)
        candidate = Candidate(number=len(trials), genotype=FrozenMap(genotype), architecture=architecture, cost=cost)
        return self._start(self._main, candidate, 0)

    def _mirror(self, trials: list[StoredTrial], deciding: Sequence[pareto.Objective]) -> Mirror:
        """Return what samplers see: of every trial the objectives that may decide, the composite as it is now."""
        names = tuple(objective.name for objective in deciding)
        first = self.config.fidelities[0]
        refitted = composite_values(_records(trials, []), first) if COMPOSITE in names else None
        if self._mirrored is None or self._mirrored[0] != (names, refitted):
            hears = partial(told, objectives=self.objectives, deciding=deciding, composites=refitted)
            self._mirrored = (names, refitted), Mirror([objective.direction for objective in deciding], hears)
        self._mirrored[1].follow(self._main.get_trials(deepcopy=False))
        return self._mirrored[1]

    def _start(
        self, study: optuna.Study, candidate: Candidate, rung: int, promotes: tuple[int, int] | None = None
    ) -> Job:
        """Write the claim: parameters, candidate and worker in one trial that is RUNNING from its first moment.

        A promotion repeats no parameters: samplers read those of the candidate.
        """
        attributes = {CANDIDATE: candidate.model_dump_json(), WORKER: worker_id()}
        trial = create_trial(
            state=TrialState.RUNNING,
            params={} if promotes else dict(candidate.genotype),
            distributions={} if promotes else distributions(self.space),
            user_attrs=attributes | ({PROMOTES: promotes} if promotes else {}),
        )
        trial_id = self._storage.create_new_trial(study._study_id, template_trial=trial)
        number = self._storage.get_trial_number_from_id(trial_id)
        return self._job(candidate, rung, trial_id, number)


def _reference_record(attempts: list[StoredTrial]) -> ReferenceRecord:
    """Return the record of a reference; a fault counts only while its training has not been repeated."""
    done = {_training(trial): trial.measurement for trial in attempts if trial.measurement is not None}
    errors = [trial.error for trial in attempts if trial.error and _training(trial) not in done]
    found = {"measurements": tuple(done.values()), "error": errors[-1] if errors else ""}
    return attempts[0].reference.model_copy(update=found)


def _training(trial: StoredTrial) -> tuple[int, int | None]:
    return trial.attributes[SEED], trial.attributes.get(RUNG)


def study_names(storage: RDBStorage) -> list[str]:
    """Return the names of the studies of ours in a storage."""
    return sorted(study.study_name for study in storage.get_all_studies() if CONFIG in study.user_attrs)


def exclusive(storage: RDBStorage) -> AbstractContextManager[object]:
    """Return a lock on creating and claiming; files only: processes that share a SQLite file share a machine."""
    path = sqlite_path(str(storage.url))
    return nullcontext() if path is None else filelock.FileLock(f"{path}.lock")


def _new_study(storage: RDBStorage, name: str, objectives: Sequence[str]) -> optuna.Study:
    """Return an empty Optuna study; StudyError when there is one, but for what a killed process left of one."""
    directions = [objective.direction for objective in pareto.objectives(objectives)]
    try:
        return optuna.create_study(storage=storage, study_name=name, directions=directions)
    except optuna.exceptions.DuplicatedStudyError:
        found = optuna.load_study(storage=storage, study_name=name)
        if CONFIG in found.user_attrs or found.get_trials(deepcopy=False):
            raise StudyError(f"study {name!r} exists already in this storage") from None
    optuna.delete_study(storage=storage, study_name=name)
    return optuna.create_study(storage=storage, study_name=name, directions=directions)


def _read_config(name: str, text: str) -> StudyConfig:
    version = json.loads(text).get("schema_version", 0)
    if version > SCHEMA_VERSION:
        raise StudyError(
            f"study {name!r}: written by a newer version of nas "
            f"(schema {version}, this one reads up to {SCHEMA_VERSION})"
        )
    try:
        return StudyConfig.model_validate_json(text)
    except ValidationError as error:
        raise StudyError(f"study {name!r}: its configuration cannot be read: {explain(error)}") from None


def _records(
    trials: list[StoredTrial], promotions: list[StoredTrial], repeats: Sequence[StoredTrial] = ()
) -> tuple[TrialRecord, ...]:
    """Return the records of the candidates that count, each with what its promotions and further seeds gave."""
    promoted: dict[int, list[StoredTrial]] = defaultdict(list)
    for trial in promotions:
        promoted[trial.promotes[0]].append(trial)
    repeated: dict[int, list[Measurement]] = defaultdict(list)
    for trial in repeats:
        if trial.measurement is not None and trial.measurement.is_complete:  # what the trial itself came to, stands
            repeated[trial.reference.number].append(trial.measurement)
    return tuple(_record(trial, promoted[trial.number], repeated[trial.number]) for trial in trials if trial.counts)


def _record(trial: StoredTrial, promotions: list[StoredTrial], repeated: list[Measurement]) -> TrialRecord:
    """Return the record of a candidate: what its own trial and those of its promotions gave, or why one did not."""
    attempts = (trial, *promotions)
    measurements = tuple(each.measurement for each in attempts if each.measurement is not None)
    error = next((each.error for each in attempts if each.error), "")
    return TrialRecord.model_construct(**dict(trial.candidate), measurements=(*measurements, *repeated), error=error)
