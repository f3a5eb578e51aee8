"""A genotype that a user puts first: what is refused, what waits, who runs it and what samplers see."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.errors import CapError, NasError, SpaceError, StudyError
from nas.feasibility import repair
from nas.members import NetworkMembers
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement, Status
from nas.search.enqueue import DuplicateError
from nas.search.ledger import TRIALS
from nas.search.loop import run
from nas.search.problem import solve
from nas.search.proposals import Mirror
from nas.search.samplers.named import Wanted, sampler
from nas.search.samplers.space import distributions
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.space import GeneValue
from tests.core.examples import config, measurement, small_space
from tests.search.fakes import FakeEvaluator, accept_all

WANTED: dict[str, GeneValue] = {
    "stem.width": 12,
    "network.activation": "gelu",
    "stage1.width": 8,
    "stage1.depth": 1,
    "stage1.stride": 2,
    "stage1.block": "separable",
    "stage1.expansion": 0.5,
    "stage1.skip": True,
    "head.width": 8,
}
LARGE = WANTED | {"stage1.width": 16, "stage1.depth": 2, "stage1.block": "inverted", "stage1.expansion": 2}
TRIALS_ASKED = 4


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Name the study after the test: all of them share a database."""
    return f"{request.node.originalname}-{request.node.callspec.id}"


@pytest.fixture
def study(storage: RDBStorage, name: str) -> Study:
    """Give a new study of four trials."""
    return Study.create(storage, config(name=name), TRIALS_ASKED)


def as_optuna_sees(study: Study) -> list[FrozenTrial]:
    return optuna.load_study(study_name=study.name, storage=study.storage).trials


def statuses(study: Study) -> list[Status]:
    return [study.view().status(record) for record in study.records()]


def test_a_waiting_candidate_is_a_trial_that_plain_optuna_shows(study: Study) -> None:
    study.finish(study.claim(accept_all), measurement(0.5))
    candidate = study.enqueue(WANTED)
    (_, trial) = as_optuna_sees(study)
    assert (candidate.number, trial.number, trial.state) == (1, 1, TrialState.WAITING)
    assert trial.params == dict(candidate.genotype) == WANTED
    assert "nas:candidate" in trial.user_attrs
    assert study.records()[1].candidate == candidate
    assert statuses(study) == [Status.STOPPED_EARLY, Status.WAITING]


def test_a_waiting_candidate_is_not_running(study: Study) -> None:
    study.enqueue(WANTED)
    assert study.records()[0].waiting
    assert not study.is_busy
    assert study.intervals() == []
    assert not study.is_done


def test_it_comes_before_promotions_and_proposals(study: Study, open_again: Callable[[], RDBStorage]) -> None:
    for accuracy in (0.5, 0.6):
        study.finish(study.claim(accept_all), measurement(accuracy))
    study.enqueue(WANTED)
    other = Study.open(open_again(), study.name)
    job = other.claim(accept_all)
    assert (job.candidate.number, job.rung, dict(job.candidate.genotype)) == (2, 0, WANTED)
    assert other.claim(accept_all).rung == 1


def test_it_runs_from_the_moment_that_a_worker_takes_it(study: Study) -> None:
    study.enqueue(WANTED)
    job = study.claim(accept_all)
    (trial,) = as_optuna_sees(study)
    assert (trial.state, trial.user_attrs["nas:worker"] != "") == (TrialState.RUNNING, True)
    assert trial.datetime_start is not None
    assert statuses(study) == [Status.RUNNING]
    assert study.is_busy
    with study.beating(job):
        study.finish(job, measurement(0.5))
    assert statuses(study) == [Status.STOPPED_EARLY]


def test_several_run_in_the_order_in_which_they_came(study: Study) -> None:
    wanted = [WANTED | {"stem.width": 8}, WANTED, WANTED | {"head.width": 0}]
    for genotype in wanted:
        study.enqueue(genotype)
    assert [dict(study.claim(accept_all).candidate.genotype) for _ in wanted] == wanted


def test_it_counts_as_a_trial_of_the_study(study: Study) -> None:
    study.enqueue(WANTED)
    run(study, FakeEvaluator(), accept_all)
    assert (len(study.records()), study.n_trials) == (TRIALS_ASKED, TRIALS_ASKED)


def test_it_runs_though_the_trials_are_done(study: Study) -> None:
    evaluate = FakeEvaluator()
    run(study, evaluate, accept_all)
    assert study.is_done
    study.enqueue(new_genotype(study))
    assert not study.is_done
    run(study, evaluate, accept_all)
    assert study.is_done
    assert (TRIALS_ASKED, 1) in evaluate.seen
    assert (len(study.records()), study.n_trials) == (TRIALS_ASKED + 1, TRIALS_ASKED + 1)


def new_genotype(study: Study) -> dict[str, GeneValue]:
    """Return a member within the cap that the study does not have."""
    space, rng, seen = study.config.space, random.Random(1), {record.arch_id for record in study.records()}
    fitting = (repair(space, space.random(rng), study.config.budget) for _ in range(1_000))
    return next(each for each in fitting if each is not None and space.decode(each).arch_id not in seen)


def test_hours_that_are_used_up_hold_it_back(study: Study) -> None:
    study.enqueue(WANTED)
    study.extend(max_hours=0)
    assert study.claim(accept_all) is None
    assert statuses(study) == [Status.WAITING]


def test_it_is_never_proposed_again(storage: RDBStorage, name: str) -> None:
    study = Study.create(storage, config(name=name, fidelities=(Fidelity(epochs=1, resolution=8),)), 30)
    for _ in range(3):
        study.finish(study.claim(accept_all), measurement(0.5))
    study.enqueue(WANTED)
    jobs = [study.claim(accept_all) for _ in range(20)]
    assert [job.candidate.number for job in jobs] == list(range(3, 23))
    assert len({job.candidate.architecture.arch_id for job in jobs}) == len(jobs)


def test_a_worker_that_saw_it_wait_goes_on_proposing(study: Study, open_again: Callable[[], RDBStorage]) -> None:
    first = study.claim(accept_all)
    other = Study.open(open_again(), study.name)
    other.enqueue(WANTED)
    taken = other.claim(accept_all)
    proposed = study.claim(accept_all)
    assert [each.candidate.number for each in (first, taken, proposed)] == [0, 1, 2]
    for job in (taken, proposed, first):
        study.finish(job, measurement(0.5 + job.candidate.number / 10))
    assert {trial.state for trial in as_optuna_sees(study)} == {TrialState.COMPLETE}


def test_a_copy_that_is_asked_while_one_waits_proposes_another() -> None:
    space = small_space()
    members = NetworkMembers(space, config().budget)
    mirror = Mirror(["maximize"], space.genes, sampler("random", Wanted(members, [None], seed=0)))
    waiting = create_trial(state=TrialState.WAITING, params=WANTED, distributions=distributions(space.genes))
    mirror.follow([waiting])
    proposals = [mirror.ask().genotype for _ in range(5)]
    assert WANTED not in proposals
    assert len({str(each) for each in proposals}) == 5


def test_one_whose_worker_was_killed_begins_again_under_its_number(
    study: Study, as_dead_worker: Callable[[], None]
) -> None:
    study.enqueue(WANTED)
    lost = study.claim(accept_all)
    as_dead_worker()
    again = study.claim(accept_all)
    assert again == lost
    assert len(study.records()) == 1


def test_one_that_was_lost_with_another_host_keeps_its_number(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.enqueue(WANTED)
    monkeypatch.setattr("nas.search.books.worker_id", lambda: "elsewhere|1|1")
    lost = study.claim(accept_all)
    monkeypatch.undo()
    study.set_lease(0.0)
    assert study.claim(accept_all).candidate.number == 1  # its silence has just begun
    again = study.claim(accept_all)
    assert again == lost
    study.finish(again, measurement(0.5))
    assert [record.number for record in study.records()] == [0, 1]


def test_one_that_fails_is_not_tried_again(study: Study) -> None:
    study.enqueue(WANTED)
    study.fail(study.claim(accept_all), "broken")
    assert study.claim(accept_all).candidate.number == 1
    with pytest.raises(DuplicateError, match="trial 0 has this network already"):
        study.enqueue(WANTED)


def test_a_network_that_a_trial_has_is_refused(study: Study) -> None:
    study.enqueue(WANTED)
    with pytest.raises(DuplicateError, match="trial 0 has this network already"):
        study.enqueue(WANTED | {"stage1.expansion": 2})  # which a separable block does not read
    job = study.claim(accept_all)
    with pytest.raises(DuplicateError, match="trial 0 has"):
        study.enqueue(job.candidate.genotype)


def test_a_network_over_the_cap_is_refused_and_not_repaired(study: Study) -> None:
    with pytest.raises(CapError, match=r"over the cap: params 3,070 exceeds the cap 1,000"):
        study.enqueue(LARGE)
    assert study.records() == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stage1.kernel": 3}, r"unknown gene 'stage1.kernel'; did you mean '.*'\? \(known: head"),
        ({"stage1.width": 9}, r"stage1.width must be one of 8, 16, got 9"),
        ({"stage1.block": "invertd"}, r"unknown stage1.block 'invertd'; did you mean 'inverted'\? \(known: inverted, "),
        ({"stage1.skip": 1}, r"unknown stage1.skip '1' \(known: false, true\)"),
    ],
)
def test_what_is_no_genotype_is_refused(study: Study, change: dict[str, GeneValue], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        study.enqueue(WANTED | change)
    with pytest.raises(SpaceError, match=r"no value for stem\.width"):
        study.enqueue({gene: value for gene, value in WANTED.items() if gene != "stem.width"})
    assert study.records() == ()


def test_what_the_audit_refuses_is_not_written(study: Study) -> None:
    def refuse(_: object) -> None:
        raise NasError("counted wrongly")

    with pytest.raises(NasError, match="counted wrongly"):
        study.enqueue(WANTED, refuse)
    assert study.records() == ()


def test_numbers_keep_to_the_order_of_the_database(study: Study, storage: RDBStorage) -> None:
    for genotype in (WANTED, WANTED | {"stem.width": 8}):
        study.enqueue(genotype)
        study.claim(accept_all)
    with storage.engine.connect() as connection:
        rows = connection.execute(TRIALS.select().where(TRIALS.c.study_id == study._main._study_id)).all()
    assert sorted(row.number for row in rows) == [0, 1]
    assert [job.number for job in study.records()] == [0, 1]


def table(seen: list[dict[str, GeneValue]] | None = None) -> Problem:
    """Return a problem of twelve members, eight within its cap, that keeps what it was asked for."""

    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        (seen if seen is not None else []).append(dict(candidate.genotype))
        return Measurement(fidelity=fidelity, seed=seed, metrics={"quality": float(candidate.genotype["depth"])})

    choices = {"depth": (1, 2, 3), "kernel": (3, 5), "act": ("relu", "gelu")}
    return Problem(
        "table", choices, {"quality": "maximize"}, evaluate, lambda g: {"latency": g["depth"]}, {"latency": 2}
    )


FIRST = [{"depth": 2, "kernel": 5, "act": "gelu"}, {"depth": 1, "kernel": 3, "act": "relu"}]


def test_a_problem_evaluates_first_what_it_is_given_first() -> None:
    seen: list[dict[str, GeneValue]] = []
    view = solve(table(seen), 4, first=FIRST)
    assert seen[:2] == FIRST
    assert len(view.records) == len(seen) == 4


def test_the_same_call_again_evaluates_nothing_twice(database: Path) -> None:
    seen: list[dict[str, GeneValue]] = []
    for first in ([FIRST[0]], FIRST, FIRST):
        solve(table(seen), 1, first=first, storage=sqlite_url(database))
    assert seen == FIRST


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"depth": 3}, CapError, r"over the cap: 1.5 times what the caps allow, with latency 3"),
        ({"deph": 1}, SpaceError, r"table: unknown gene 'deph'; did you mean 'depth'\?"),
        ({"act": "silu"}, SpaceError, r"table: unknown act 'silu'.*\(known: gelu, relu\)"),
    ],
)
def test_what_a_problem_cannot_evaluate_first_is_refused_before_it_starts(
    change: dict[str, GeneValue], error: type[Exception], words: str, database: Path
) -> None:
    url = sqlite_url(database)
    with pytest.raises(error, match=words):
        solve(table(), 4, first=[*FIRST, FIRST[0] | change], storage=url)
    solve(table(), 1, storage=url)  # a new study: nothing was written before


def test_a_study_of_a_problem_takes_nothing_where_that_is_not_given(database: Path) -> None:
    solve(table(), 1, storage=sqlite_url(database))
    with pytest.raises(StudyError, match=r"is of a problem of its own: .*`first="):
        Study.open(open_storage(sqlite_url(database)), "table").enqueue(FIRST[0])
