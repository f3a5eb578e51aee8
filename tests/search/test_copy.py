"""A study moves to another database, and back, equal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from nas.errors import NasError, StudyError
from nas.search.catalogue import study_names
from nas.search.compare import compare
from nas.search.copy import OF_A_STUDY, OF_A_TRIAL, SUFFIXES, copy_study
from nas.search.fidelity import repeats, sample
from nas.search.ledger import ATTRIBUTES, HEARTBEATS, STUDIES, TRIALS, WORKER
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space import GeneValue
from tests.core.examples import config, diverged, measurement, members, small_space
from tests.search.conftest import MakeStudy
from tests.search.fakes import FakeEvaluator, accept_all


@pytest.fixture
def study(database: Path) -> Study:
    """Give a study with everything a study can hold: promotions, further seeds, faults, and one trial that waits."""
    odd = config(name="odd 'name' \u00fc", objectives=("val_accuracy", "interference"))
    made = Study.create(open_storage(sqlite_url(database)), odd, 40, 7.25)
    for accuracy in (0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308):
        made.finish(made.claim(accept_all), measurement(accuracy, interference=-1e-17))
    made.finish(made.claim(accept_all), measurement(0.5))  # no interference: infinite for the sampler
    made.finish(made.claim(accept_all), diverged())
    made.fail(
        made.claim(accept_all),
        "RuntimeError: gr\u00f6\u00dfer, \u5185\u5b58\u4e0d\u8db3, it's 100 % \\ \x00 \U0001f600",
    )
    compare(repeats(made, sample(made, 2).records, 2), FakeEvaluator(), accept_all)
    known = {record.arch_id for record in made.records()}
    made.enqueue(next(each for each in members(small_space()) if _arch_id(each) not in known))
    made.storage.set_study_system_attr(made.storage.get_study_id_from_name(made.name), "sampler:note", [1, None])
    return made


def _arch_id(genotype: dict[str, GeneValue]) -> str:
    return small_space().decode(genotype).arch_id


def rows(storage: RDBStorage, name: str, *, to_the_second: bool = False) -> list[tuple[Any, ...]]:
    """Return all that Optuna's tables hold of a study, in its order, without the ids that the database gives."""
    names = [name + suffix for suffix in SUFFIXES]
    found: list[tuple[Any, ...]] = []
    with storage.engine.connect() as connection:
        query = sqlalchemy.select(STUDIES).where(STUDIES.c.study_name.in_(names))
        studies = {row.study_id: row.study_name for row in connection.execute(query)}
        given = connection.execute(sqlalchemy.select(TRIALS).where(TRIALS.c.study_id.in_(studies)).order_by("trial_id"))
        trials = {row.trial_id: (studies[row.study_id], row.number) for row in given}
        for table, owner, names_of in [
            *((table, "study_id", studies) for table in (*OF_A_STUDY, TRIALS)),
            *((table, "trial_id", trials) for table in OF_A_TRIAL),
        ]:
            (key,) = table.primary_key.columns
            for row in connection.execute(sqlalchemy.select(table).where(table.c[owner].in_(names_of)).order_by(key)):
                values = {**row._mapping, owner: names_of[row._mapping[owner]]}
                del values[key.name]
                found.append((table.name, *(_cut(value, to_the_second) for value in values.values())))
    return found


def _cut(value: Any, to_the_second: bool) -> Any:
    return value.replace(microsecond=0) if to_the_second and isinstance(value, datetime) else value


def another(tmp_path: Path) -> RDBStorage:
    return open_storage(sqlite_url(tmp_path / "another" / "study.db"), create=True)


def test_a_study_moves_there_and_back_and_is_equal(study: Study, storage: RDBStorage, tmp_path: Path) -> None:
    copied, back = copy_study(study.storage, storage, study.name), another(tmp_path)
    seconds = storage.engine.dialect.name in {"mysql", "mariadb"}
    assert copied.time_resolution == ("1 second" if seconds else "1 microsecond")
    expected = rows(study.storage, study.name, to_the_second=seconds)
    assert copied.trials == len([row for row in expected if row[0] == "trials"]) == 12
    assert rows(storage, study.name) == expected
    copy_study(storage, back, study.name)
    assert rows(back, study.name) == expected
    again = Study.open(back, study.name)
    assert again.records() == study.records()
    assert (again.config, again.n_trials, again.max_hours) == (study.config, study.n_trials, 7.25)


def test_optuna_reads_the_copy_as_it_reads_the_study(study: Study, storage: RDBStorage) -> None:
    other = study.name
    if other not in study_names(storage):
        copy_study(study.storage, storage, other)
    here, there = (optuna.load_study(study_name=other, storage=each) for each in (study.storage, storage))
    assert there.directions == here.directions
    assert there._storage.get_study_system_attrs(there._study_id) == {"sampler:note": [1, None]}
    for one, two in zip(here.trials, there.trials, strict=True):
        assert (one.number, one.state, one.params, one.values) == (two.number, two.state, two.params, two.values)
        assert list(one.distributions.items()) == list(two.distributions.items())


def test_trials_keep_their_order_across_the_studies(study: Study, storage: RDBStorage) -> None:
    name = study.name
    if name not in study_names(storage):
        copy_study(study.storage, storage, name)

    def order(of: RDBStorage) -> list[tuple[str, int]]:
        query = sqlalchemy.select(STUDIES.c.study_name, TRIALS.c.number).join(TRIALS).order_by(TRIALS.c.trial_id)
        with of.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query.where(STUDIES.c.study_name.startswith(name)))]

    assert order(storage) == order(study.storage)


def test_a_copied_study_goes_on_to_its_end(make_study: MakeStudy, storage: RDBStorage) -> None:
    study = make_study(4, name="goes on")
    study.finish(study.claim(accept_all), measurement(0.5))
    copy_study(study.storage, storage, study.name)
    copy = Study.open(storage, study.name)
    while (job := copy.claim(accept_all)) is not None:
        copy.finish(job, measurement(0.5, job.fidelity, seed=job.seed))
    assert len(copy.records()) == 4
    assert len(study.records()) == 1


def test_a_name_that_is_there_is_refused(study: Study, tmp_path: Path) -> None:
    there = another(tmp_path)
    copy_study(study.storage, there, study.name)
    before = rows(there, study.name)
    with pytest.raises(StudyError, match=r"has a study .* already; copy to another database"):
        copy_study(study.storage, there, study.name)
    assert rows(there, study.name) == before


def test_a_copy_onto_itself_is_refused(study: Study, database: Path) -> None:
    with pytest.raises(StudyError, match="already"):
        copy_study(study.storage, open_storage(sqlite_url(database)), study.name)


def test_a_study_of_somebody_else_is_not_overwritten(study: Study, tmp_path: Path) -> None:
    there = another(tmp_path)
    foreign = optuna.create_study(storage=there, study_name=study.name + "/rungs")
    foreign.add_trial(optuna.create_trial(value=0.5))
    with pytest.raises(StudyError, match="already"):
        copy_study(study.storage, there, study.name)
    assert study_names(there) == []


def test_what_a_killed_creation_left_is_replaced(study: Study, tmp_path: Path) -> None:
    there = another(tmp_path)
    optuna.create_study(storage=there, study_name=study.name)
    copy_study(study.storage, there, study.name)
    assert rows(there, study.name) == rows(study.storage, study.name)


def test_an_unknown_study_is_refused_with_its_neighbour(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="did you mean"):
        copy_study(study.storage, another(tmp_path), study.name + "s")


def test_a_study_with_a_living_worker_is_refused_by_its_name(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    study.claim(accept_all)
    with pytest.raises(StudyError, match=rf"workers are at it: study:0 by process {os.getpid()} on ") as caught:
        copy_study(study.storage, another(tmp_path), study.name)
    assert "\n" not in str(caught.value)
    assert study_names(another(tmp_path)) == []


def test_a_trial_of_a_lost_worker_is_taken_up_in_the_copy(
    make_study: MakeStudy, storage: RDBStorage, as_dead_worker: Callable[[], None]
) -> None:
    study = make_study(name="lost")
    lost = study.claim(accept_all)
    as_dead_worker()
    copied = copy_study(study.storage, storage, study.name)
    assert (copied.trials, copied.running) == (1, 1)
    taken_up = Study.open(storage, study.name).claim(accept_all)
    assert (taken_up.candidate, taken_up.seed) == (lost.candidate, lost.seed)


def test_a_trial_of_another_host_counts_as_lost_when_it_has_not_beaten_for_long(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study()
    study.claim(accept_all)
    with study.storage.engine.begin() as connection:
        connection.execute(
            sqlalchemy.update(ATTRIBUTES).where(ATTRIBUTES.c.key == WORKER).values(value_json='"far|1|1"')
        )
    with pytest.raises(StudyError, match="process 1 on far"):
        copy_study(study.storage, another(tmp_path), study.name)
    with study.storage.engine.begin() as connection:
        connection.execute(sqlalchemy.update(HEARTBEATS).values(heartbeat=datetime(2026, 1, 1)))
    assert copy_study(study.storage, another(tmp_path), study.name).running == 1


def test_a_text_that_mysql_would_cut_is_refused(make_study: MakeStudy, storage: RDBStorage) -> None:
    study = make_study(name="long")
    study.fail(study.claim(accept_all), "\u00fc" * 15_000)  # six bytes each in JSON
    if storage.engine.dialect.name in {"mysql", "mariadb"}:
        with pytest.raises(NasError, match=r"a text of 90,002 bytes is more than MySQL holds"):
            copy_study(study.storage, storage, study.name)
        assert study.name not in study_names(storage)
    else:
        copy_study(study.storage, storage, study.name)
        assert Study.open(storage, study.name).records() == study.records()


KILLED = """
import sys, time
from nas.search import copy
from nas.search.storage import open_storage
move = copy._Copier._move_trials
def slowly(*given):
    moved = move(*given)
    print("moved", flush=True)
    time.sleep(60)
    return moved
copy._Copier._move_trials = slowly
copy.copy_study(open_storage(sys.argv[1]), open_storage(sys.argv[2]), "killed")
"""


def test_a_killed_copy_leaves_nothing(make_study: MakeStudy, storage: RDBStorage, database: Path) -> None:
    study = make_study(name="killed")
    study.finish(study.claim(accept_all), measurement(0.5))
    url = storage.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", KILLED, sqlite_url(database), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "moved\n"
        process.send_signal(signal.SIGKILL)
    assert "killed" not in study_names(storage)
    copy_study(study.storage, storage, study.name)  # waits, if it must, until the server has noticed
    assert rows(storage, study.name)
