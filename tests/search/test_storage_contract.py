"""What a study keeps, the same in every database that it can live in."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import StudyError
from nas.records import SCHEMA_VERSION, Epoch, Status
from nas.search.catalogue import CONFIG, study_names
from nas.search.compare import compare
from nas.search.fidelity import repeats, sample
from nas.search.read_only import open_read_only
from nas.search.study import Study
from tests.core.examples import HIGH, LOW, config, diverged, measurement
from tests.search.fakes import FakeEvaluator, accept_all

Open = Callable[[], RDBStorage]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Name the study after the test: all of them share a database."""
    return f"{request.node.originalname}-{request.node.callspec.id}"


@pytest.fixture
def study(storage: RDBStorage, name: str) -> Study:
    """Give a new study of four trials."""
    return Study.create(storage, config(name=name), 4)


def trials(study: Study, storage: RDBStorage) -> list[FrozenTrial]:
    """Return what a sampler sees of the study."""
    return optuna.load_study(study_name=study.name, storage=storage).trials


def test_a_new_study_is_listed_once(study: Study, storage: RDBStorage) -> None:
    assert study_names(storage).count(study.name) == 1
    assert not [name for name in study_names(storage) if name.endswith("/rungs")]


def test_a_name_is_given_once(study: Study, storage: RDBStorage) -> None:
    with pytest.raises(StudyError, match="exists already"):
        Study.create(storage, study.config, 4)


def test_a_new_study_has_no_trials(study: Study) -> None:
    assert study.records() == ()
    assert study.n_trials == 4


def test_a_claimed_trial_runs(study: Study) -> None:
    job = study.claim(accept_all)
    assert (job.candidate.number, job.rung, job.fidelity) == (0, 0, LOW)
    (record,) = study.records()
    assert record.candidate == job.candidate
    assert record.status(study.config.fidelities) is Status.RUNNING


def test_claims_are_numbered_in_turn(study: Study) -> None:
    jobs = [study.claim(accept_all) for _ in range(4)]
    assert [job.candidate.number for job in jobs] == [0, 1, 2, 3]
    assert len({job.candidate.architecture.arch_id for job in jobs}) == 4
    assert study.claim(accept_all) is None


def test_a_measurement_comes_back_to_the_bit(study: Study) -> None:
    epochs = tuple(Epoch(train_loss=1 / (i + 3), seconds=0.1, val_accuracy=1 / 3, val_loss=0.1 + i) for i in range(300))
    made = measurement(0.1 + 0.2, seed=2**32 - 1, interference=-1e-17).model_copy(update={"epochs": epochs})
    study.finish(study.claim(accept_all), made)
    assert study.records()[0].measurements == (made,)


def test_a_failure_keeps_its_reason(study: Study) -> None:
    reason = "RuntimeError: größer als erlaubt, 内存不足"
    study.fail(study.claim(accept_all), reason)
    (record,) = study.records()
    assert record.error == reason
    assert record.status(study.config.fidelities) is Status.FAILED


def test_a_failed_trial_counts(study: Study) -> None:
    for _ in range(4):
        study.fail(study.claim(accept_all), "broken")
    assert study.claim(accept_all) is None


def test_a_divergence_is_pruned_for_the_sampler(study: Study, storage: RDBStorage) -> None:
    study.finish(study.claim(accept_all), diverged())
    assert study.records()[0].status(study.config.fidelities) is Status.DIVERGED
    assert trials(study, storage)[0].state is TrialState.PRUNED


def test_a_reopened_study_is_the_same(study: Study, open_again: Open) -> None:
    study.finish(study.claim(accept_all), measurement(0.5))
    study.fail(study.claim(accept_all), "broken")
    study.claim(accept_all)
    again = Study.open(open_again(), study.name)
    assert (again.config, again.n_trials, again.config.space) == (study.config, 4, study.config.space)
    assert again.records() == study.records()


def test_a_study_grows_but_keeps_the_trials_it_has(study: Study, open_again: Open) -> None:
    study.extend(7)
    assert Study.open(open_again(), study.name).n_trials == 7
    study.claim(accept_all)
    study.claim(accept_all)
    study.extend(1)
    assert study.n_trials == 2


def finish_two(study: Study) -> None:
    for accuracy in (0.5, 0.6):
        study.finish(study.claim(accept_all), measurement(accuracy))


def test_the_better_half_is_promoted_before_anything_new(study: Study) -> None:
    finish_two(study)
    job = study.claim(accept_all)
    assert (job.rung, job.fidelity) == (1, HIGH)
    assert job.candidate in [record.candidate for record in study.records()]


def test_a_promotion_joins_its_candidate(study: Study, open_again: Open) -> None:
    finish_two(study)
    job = study.claim(accept_all)
    study.finish(job, measurement(0.9, HIGH))
    record = Study.open(open_again(), study.name).records()[job.candidate.number]
    assert [made.fidelity for made in record.measurements] == [LOW, HIGH]
    assert record.metrics["val_accuracy"] == 0.9
    assert record.status(study.config.fidelities) is Status.EVALUATED


def test_further_seeds_join_their_candidate(study: Study, open_again: Open) -> None:
    finish_two(study)
    compare(repeats(study, sample(study, 2).records, 2), FakeEvaluator(), accept_all)
    again = Study.open(open_again(), study.name)
    for record in again.records():
        assert [made.fidelity for made in record.measurements] == [LOW, HIGH, HIGH]
        assert len({made.seed for made in record.measurements}) == 3
    assert repeats(again, sample(again, 2).records, 2).left() == 0
    assert again.claim(accept_all).rung == 1  # the search itself goes on as if nothing had happened


def test_a_promotion_trains_with_the_seed_of_its_candidate(study: Study) -> None:
    first, second = study.claim(accept_all), study.claim(accept_all)
    study.finish(first, measurement(0.9))
    study.finish(second, measurement(0.1))
    promoted = study.claim(accept_all)
    seeds = {first.candidate.number: first.seed, second.candidate.number: second.seed}
    assert promoted.seed == seeds[promoted.candidate.number]


def test_a_promotion_that_fails_is_seen_and_not_repeated(study: Study) -> None:
    finish_two(study)
    job = study.claim(accept_all)
    study.fail(job, "disk full")
    assert study.records()[job.candidate.number].error == "disk full"
    assert study.claim(accept_all).rung == 0


def test_an_objective_that_was_not_measured_is_the_worst_for_the_sampler(storage: RDBStorage, name: str) -> None:
    study = Study.create(storage, config(name=name, objectives=("val_accuracy", "interference")), 9)
    study.finish(study.claim(accept_all), measurement(0.5))
    assert trials(study, storage)[0].values == [0.5, float("inf")]
    assert "interference" not in study.records()[0].metrics


def test_the_search_goes_on_with_objectives_that_were_not_measured(storage: RDBStorage, name: str) -> None:
    study = Study.create(storage, config(name=name, fidelities=(LOW,), objectives=("val_accuracy", "val_loss")), 14)
    for i in range(14):
        study.finish(study.claim(accept_all), measurement(i / 14, **{"val_loss": i} if i % 2 else {}))
    assert {record.number for record in study.view().front} == {1, 3, 5, 7, 9, 11, 13}


def test_an_unknown_study_is_refused_with_its_neighbour(study: Study, storage: RDBStorage) -> None:
    with pytest.raises(StudyError, match=r"unknown study .* did you mean"):
        Study.open(storage, study.name + "s")


def test_a_study_of_a_newer_version_is_refused(study: Study, storage: RDBStorage) -> None:
    newer = study.config.model_dump_json().replace(f'"schema_version":{SCHEMA_VERSION}', '"schema_version":99')
    study._main.set_user_attr(CONFIG, newer)
    with pytest.raises(StudyError, match=r"written by a newer version of nas \(schema 99"):
        Study.open(storage, study.name)


def test_a_configuration_that_cannot_be_read_is_refused(study: Study, storage: RDBStorage) -> None:
    study._main.set_user_attr(CONFIG, study.config.model_dump_json().replace('"seed":0', '"seed":"x"'))
    with pytest.raises(StudyError, match="configuration cannot be read: seed: "):
        Study.open(storage, study.name)


def test_what_is_refused_is_not_written(study: Study) -> None:
    def refuse(_: object) -> None:
        raise StudyError("refused")

    with pytest.raises(StudyError, match="refused"):
        study.claim(refuse)
    assert study.records() == ()


@pytest.mark.parametrize("written", ["", "/rungs"], ids=["main", "both"])
def test_a_creation_that_was_killed_halfway_can_be_done_again(storage: RDBStorage, name: str, written: str) -> None:
    optuna.create_study(storage=storage, study_name=name)
    if written:
        optuna.create_study(storage=storage, study_name=name + written)
    study = Study.create(storage, config(name=name), 4)
    study.finish(study.claim(accept_all), measurement(0.5))
    assert len(study.records()) == 1


def test_a_study_that_is_not_ours_is_left_alone(storage: RDBStorage, name: str) -> None:
    foreign = optuna.create_study(storage=storage, study_name=name)
    foreign.add_trial(optuna.create_trial(value=0.5))
    with pytest.raises(StudyError, match="exists already"):
        Study.create(storage, config(name=name), 4)
    assert name not in study_names(storage)
    assert len(foreign.trials) == 1


@pytest.mark.parametrize("scheme", ["", "mariadb+pymysql"], ids=["its own", "mariadb"])
def test_whoever_only_looks_cannot_write(study: Study, url: str, scheme: str) -> None:
    if scheme and not url.startswith("mysql"):
        pytest.skip("another name of MySQL's")
    looking = open_read_only(url.replace("mysql+pymysql", scheme) if scheme else url)
    reader = Study.open(looking, study.name)
    assert reader.records() == ()
    with pytest.raises((StorageInternalError, SQLAlchemyError)):
        reader.stop()
    looking.remove_session()
    looking.engine.dispose()
    assert not study.is_stopped
