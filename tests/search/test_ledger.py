"""What stands in a database as text: read when it is asked for, and refused in one line where it cannot be."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy
from optuna.trial import TrialState

from nas.errors import NasError
from nas.search.catalogue import RUNGS_SUFFIX
from nas.search.history import new
from nas.search.ledger import ATTRIBUTES, CANDIDATE, MEASUREMENT, PROMOTES, Ledger, StoredTrial
from nas.search.study import Study
from tests.search.conftest import MakeStudy
from tests.search.fakes import accept_all, fake_measurement


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    """Give a study with a trial that has ended, and one that runs."""
    made = make_study()
    job = made.claim(accept_all)
    assert job is not None
    made.finish(job, fake_measurement(job.candidate, job.fidelity, job.seed))
    made.claim(accept_all)
    return made


def rewrite(study: Study, key: str, change: Any) -> None:
    """Change an attribute of the first trial behind the back of the study."""
    place = (ATTRIBUTES.c.trial_id == 1, ATTRIBUTES.c.key == key)
    with study.storage.engine.begin() as connection:
        text = connection.execute(sqlalchemy.select(ATTRIBUTES.c.value_json).where(*place)).scalar_one()
        connection.execute(sqlalchemy.update(ATTRIBUTES).where(*place).values(value_json=change(text)))


def again(study: Study) -> Study:
    return Study.open(study.storage, study.name)


@pytest.mark.parametrize(
    ("key", "change", "says"),
    [
        (MEASUREMENT, lambda text: text.replace('"epochs":', '"ages":'), "trial 0: its measurement cannot be read: "),
        (MEASUREMENT, lambda _: '{"seed"', "trial 0: its measurement cannot be read: invalid JSON"),
        (CANDIDATE, lambda text: text.replace('"params":', '"size":'), "trial 0: its candidate cannot be read: cost."),
        (CANDIDATE, lambda _: "[1, 2]", "trial 0: its candidate cannot be read: "),
    ],
)
def test_a_row_that_cannot_be_read_is_one_line(study: Study, key: str, change: Any, says: str) -> None:
    rewrite(study, key, change)
    with pytest.raises(NasError, match=says) as caught:
        again(study).records()
    assert "\n" not in str(caught.value)


def test_an_architecture_that_cannot_be_read_is_one_line_when_it_is_asked_for(study: Study) -> None:
    rewrite(study, CANDIDATE, lambda text: text.replace('"family":"', '"family":"no such '))
    record = again(study).records()[0]
    assert record.metrics["val_accuracy"] > 0
    with pytest.raises(NasError, match=r"trial 0: its candidate cannot be read: .*unknown block") as caught:
        record.architecture.words()
    assert "\n" not in str(caught.value)


def test_epochs_that_cannot_be_read_are_one_line_when_they_are_asked_for(study: Study) -> None:
    rewrite(study, MEASUREMENT, lambda text: text.replace('"train_loss":', '"loss":'))
    made = again(study).records()[0].measurements[0]
    assert made.metrics["val_accuracy"] > 0
    with pytest.raises(NasError, match=r"^trial 0: its measurement cannot be read: epochs.0.train_loss: ") as caught:
        len(made.epochs)
    assert "\n" not in str(caught.value)


def test_a_study_with_texts_in_quotes_reads_as_before(study: Study) -> None:
    before = again(study).records()
    for key in (CANDIDATE, MEASUREMENT):
        rewrite(study, key, json.dumps)
    assert again(study).records() == before


def test_texts_stand_in_the_database_as_json_of_their_own(study: Study) -> None:
    attributes = study.storage.get_all_trials(study.storage.get_study_id_from_name(study.name))[0].user_attrs
    assert attributes[CANDIDATE]["cost"]["params"] == study.records()[0].cost.params
    assert attributes[MEASUREMENT]["metrics"]["val_accuracy"] == study.records()[0].metrics["val_accuracy"]


def test_what_has_ended_is_read_once(study: Study) -> None:
    reader = Ledger(study.storage, study.name)
    ((ended, running),) = reader.read()
    job = study.claim(accept_all)
    assert job is not None
    ((same, still, third),) = reader.read()
    assert same is ended
    assert still is running
    assert third.state == TrialState.RUNNING
    study.finish(job, fake_measurement(job.candidate, job.fidelity, job.seed))
    ((*_, now),) = reader.read()
    assert now.state == TrialState.COMPLETE
    assert now.measurement == fake_measurement(job.candidate, job.fidelity, job.seed)


def test_a_reader_does_not_see_other_studies(study: Study, make_study: MakeStudy) -> None:
    make_study(name="other").claim(accept_all)
    (trials,) = Ledger(study.storage, study.name).read()
    assert [trial.number for trial in trials] == [0, 1]


def test_a_reader_of_studies_loads_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, nas.cli.read\nprint(*{'torch', 'pandas', 'scipy', 'nas.search.samplers.cap'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_new_are_those_that_were_not_there_or_not_as_they_are() -> None:
    one, two, three = (StoredTrial(i, i, TrialState.COMPLETE, None, None, {}) for i in range(3))
    changed = StoredTrial(1, 1, TrialState.COMPLETE, None, None, {})
    assert list(new([], [])) == []
    assert list(new([one, two], [one, two])) == []
    assert list(new([one, two], [one, changed, three])) == [changed, three]


def test_promotions_that_have_ended_are_read_without_their_candidate(make_study: MakeStudy) -> None:
    study = make_study(n_trials=8)
    while (job := study.claim(accept_all)) is not None and job.kind != "promotion":
        study.finish(job, fake_measurement(job.candidate, job.fidelity, job.seed))
    assert job is not None
    name = study.name + RUNGS_SUFFIX
    reader = Ledger(study.storage, name, repeating=[name])
    assert CANDIDATE in reader.read()[0][-1].attributes  # whoever takes it over needs it
    study.finish(job, fake_measurement(job.candidate, job.fidelity, job.seed))
    for ledger in (reader, Ledger(study.storage, name, repeating=[name])):
        assert ledger.read()[0][-1].attributes.keys() >= {MEASUREMENT, PROMOTES}
    assert CANDIDATE not in Ledger(study.storage, name, repeating=[name]).read()[0][-1].attributes
    assert Ledger(study.storage, name).read()[0][-1].candidate == job.candidate


def test_the_collector_is_as_it_was_after_many_were_read(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.search.history.MANY", 1)
    for is_on in (True, False):
        (gc.enable if is_on else gc.disable)()
        try:
            assert len(again(study).records()) == 2
            assert gc.isenabled() is is_on
            assert gc.get_freeze_count() == 0
        finally:
            gc.enable()
