"""What a database holds, in one short query: whoever watches a study asks this, and reads only what has changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import and_, func, select

from nas.records import StudyConfig
from nas.search.catalogue import CONFIG, FIDELITY_SUFFIX, REFERENCES_SUFFIX, RUNGS_SUFFIX, read_config
from nas.search.ledger import ATTRIBUTES, PROMOTES, STUDIES, STUDY_ATTRIBUTES, TRIALS, WORKER
from nas.search.study import BUDGET

SUFFIXES = ("", RUNGS_SUFFIX, REFERENCES_SUFFIX, FIDELITY_SUFFIX)

Stamp = tuple[tuple[Any, ...], ...]
"""Tells whether anything of a study has changed: of each part and state how many trials, the newest, the last end."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A study at first sight: `trials` are its candidates by state, `n_trials` those it is to have; times are UTC."""

    config: StudyConfig
    n_trials: int
    trials: dict[str, int]
    last: datetime | None

    @property
    def is_running(self) -> bool:
        """Whether any candidate is being trained, as far as the database says."""
        return bool(self.trials.get("running"))


@dataclass(frozen=True, slots=True)
class Span:
    """What a worker did, from when to when (UTC): `kind` is candidate, promotion, or another seed."""

    worker: str
    number: int
    kind: str
    state: str
    started: datetime
    ended: datetime | None


def stamp(storage: RDBStorage, name: str) -> Stamp:
    """Return the stamp of a study: one query, whatever its size some milliseconds."""
    trial, study = TRIALS.c, STUDIES.c
    names = [name + suffix for suffix in SUFFIXES]
    query = (
        select(trial.study_id, trial.state, func.count(), func.max(trial.trial_id), func.max(trial.datetime_complete))
        .join(STUDIES, study.study_id == trial.study_id)
        .where(study.study_name.in_(names))
        .group_by(trial.study_id, trial.state)
        .order_by(trial.study_id, trial.state)
    )
    with storage.engine.connect() as connection:
        return tuple((*row[:1], row[1].name, *row[2:4], str(row[4])) for row in connection.execute(query).all())


def glances(storage: RDBStorage) -> list[Glance]:
    """Return the studies of a database by name, in two queries."""
    trial, study, given = TRIALS.c, STUDIES.c, STUDY_ATTRIBUTES.c
    counted = select(trial.study_id, trial.state, func.count(), func.max(trial.datetime_complete))
    attributes = (
        select(study.study_id, study.study_name, given.key, given.value_json)
        .join(STUDY_ATTRIBUTES, study.study_id == given.study_id)
        .where(given.key.in_((CONFIG, BUDGET)))
    )
    found: dict[tuple[int, str], dict[str, str]] = defaultdict(dict)
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    last: dict[int, datetime] = {}
    with storage.engine.connect() as connection:
        for place, name, key, value in connection.execute(attributes).all():
            found[place, name][key] = value
        for place, state, count, ended in connection.execute(counted.group_by(trial.study_id, trial.state)).all():
            counts[place][state.name.lower()] = count
            if ended is not None:
                last[place] = max(ended, last.get(place, ended))
    return [
        Glance(_config(name, has[CONFIG]), int(has.get(BUDGET, "0")), counts[place], last.get(place))
        for (place, name), has in sorted(found.items(), key=lambda item: item[0][1])
        if CONFIG in has
    ]


def spans(storage: RDBStorage, name: str, most: int) -> list[Span]:
    """Return what the workers of a study did, the last `most` trainings of it, in the order of their starts."""
    trial, study = TRIALS.c, STUDIES.c
    worker, promotes = ATTRIBUTES.alias(), ATTRIBUTES.alias()
    query = (
        select(
            *(trial.number, trial.state, trial.datetime_start, trial.datetime_complete, study.study_name),
            *(worker.c.value_json, promotes.c.value_json),
        )
        .join(STUDIES, study.study_id == trial.study_id)
        .join(worker, and_(worker.c.trial_id == trial.trial_id, worker.c.key == WORKER))
        .join(promotes, and_(promotes.c.trial_id == trial.trial_id, promotes.c.key == PROMOTES), isouter=True)
        .where(study.study_name.in_([name, name + RUNGS_SUFFIX]), trial.datetime_start.is_not(None))
        .order_by(trial.trial_id.desc())
        .limit(most)
    )
    with storage.engine.connect() as connection:
        rows: Sequence[Any] = connection.execute(query).all()
    return sorted((_span(row, name) for row in rows), key=lambda span: span.started)


def _span(row: Any, name: str) -> Span:
    """Return a row of the query; `name` is that of the study."""
    number, state, started, ended, part, who, of = row
    kind = "candidate" if part == name else "promotion"
    if of is not None:
        number, rung = json.loads(of)
        kind = "promotion" if rung else "again"
    return Span(str(json.loads(who)), int(number), kind, state.name.lower(), started, ended)


def _config(name: str, text: str) -> StudyConfig:
    value = json.loads(text)
    return read_config(name, {CONFIG: value if isinstance(value, str) else json.dumps(value)})
