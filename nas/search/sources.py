"""Other studies that one starts from: where they lie, and what they had measured by then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from optuna.storages import RDBStorage

from nas.errors import StudyError, unknown
from nas.records import StudyConfig, WarmStart
from nas.results import StudyFolder
from nas.search.catalogue import FIDELITY_SUFFIX, RUNGS_SUFFIX, read_config, study_names
from nas.search.ledger import MEASUREMENT, Ledger, StoredTrial
from nas.search.storage import open_storage, sqlite_url


@dataclass(frozen=True)
class Source:
    """What a study had measured: its trials that ended with a measurement, and nothing of what was still running.

    `rungs` are promotions and replicates, `repeats` its candidates trained from further seeds.
    """

    config: StudyConfig
    candidates: Sequence[StoredTrial]
    rungs: Sequence[StoredTrial]
    repeats: Sequence[StoredTrial]

    @property
    def mark(self) -> WarmStart:
        """What another study remembers of it, to read the same trials again."""
        return WarmStart(study=self.config.name, records=len(self.candidates) + len(self.rungs) + len(self.repeats))

    @cached_property
    def own(self) -> Mapping[int, Mapping[int, StoredTrial]]:
        """For each candidate by its number the trials of its own trainings, by rung; all have the lowest."""
        found = {trial.number: {0: trial} for trial in self.candidates}
        for trial in self.rungs:
            number, rung = trial.promotes
            if trial.kind == "promotion" and number in found:
                found[number][rung] = trial
        return found

    @cached_property
    def replicates(self) -> Mapping[int, Sequence[StoredTrial]]:
        """For each candidate by its number those of its lowest rung from further seeds."""
        return _by_candidate((trial.promotes[0], trial) for trial in self.rungs if trial.kind == "replicate")

    @cached_property
    def further(self) -> Mapping[int, Sequence[StoredTrial]]:
        """For each candidate by its number those of any rung that `nas fidelity` and `nas confirm` have made."""
        return _by_candidate((trial.reference.number, trial) for trial in self.repeats)


@dataclass(frozen=True)
class Places:
    """Where studies lie: in a database, or each in one of its own in a folder. Either may be missing."""

    storage: RDBStorage | None
    results: Path | None

    def find(self, name: str) -> Source:
        """Return the study called `name`; StudyError, with the names there are, for none."""
        found = self.read(name)
        if found is None:
            known = self._names()
            hint = unknown("study", name, known) if known else f"unknown study {name!r}: there is none"
            raise StudyError(f"warm start: {hint}")
        return found

    def read(self, name: str, most: int | None = None) -> Source | None:
        """Return the study called `name`, of its trials the `most` that ended first; None where there is none."""
        if self.storage is not None and name in study_names(self.storage):
            return _read(self.storage, name, most)
        path = self._file(name)
        if path is None or not path.is_file():
            return None
        opened = open_storage(sqlite_url(path))
        try:
            return _read(opened, name, most) if name in study_names(opened) else None
        finally:
            opened.remove_session()
            opened.engine.dispose()

    def read_again(self, marks: Sequence[WarmStart]) -> list[Source]:
        """Return what was read before, without what cannot be read any more."""
        found = []
        for mark in marks:
            with suppress(StudyError):
                found.append(self.read(mark.study, mark.records))
        return [source for source in found if source is not None]

    def _file(self, name: str) -> Path | None:
        return None if self.results is None else StudyFolder(self.results / name).database

    def _names(self) -> set[str]:
        here = study_names(self.storage) if self.storage is not None else []
        files = self.results.glob("*/study.db") if self.results is not None else []
        return {*here, *(path.parent.name for path in files)}


def _read(storage: RDBStorage, name: str, most: int | None) -> Source:
    config = read_config(name, storage.get_study_user_attrs(storage.get_study_id_from_name(name)))
    trials = Ledger(storage, name, name + RUNGS_SUFFIX, name + FIDELITY_SUFFIX).read()
    measured = [trial for some in trials for trial in some if MEASUREMENT in trial.attributes]
    measured.sort(key=lambda trial: (trial.ended or datetime.min, trial.trial_id))
    kept = {trial.trial_id for trial in measured[:most]}
    return Source(config, *([trial for trial in some if trial.trial_id in kept] for some in trials))


def _by_candidate(trials: Iterable[tuple[int, StoredTrial]]) -> Mapping[int, Sequence[StoredTrial]]:
    found: dict[int, list[StoredTrial]] = defaultdict(list)
    for number, trial in trials:
        found[number].append(trial)
    return found
