"""Who holds a trial: leases, workers that come back too late, databases that go away, and trials that cost workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from nas.errors import StoppedError, StudyError
from nas.records import Status
from nas.search import hold, ledger, outage
from nas.search.fidelity import repeats
from nas.search.heart import Heart
from nas.search.leases import MOST_LOSSES, Leases
from nas.search.ledger import PULSE, WORKER, read_trials
from nas.search.lock import LockLostError, exclusive
from nas.search.loop import Event, Finished, TakenOver, run
from nas.search.read_only import open_read_only
from nas.search.study import Study
from nas.search.worker_id import worker_id
from tests.core.examples import config, measurement
from tests.search.fakes import FakeEvaluator, accept_all

PAUSED = """
import sys
from nas.search.loop import Finished, TakenOver, run
from nas.search.storage import open_storage
from nas.search.study import Study
from nas.search.worker_id import worker_id
from tests.search.fakes import FakeEvaluator, accept_all

class Slow(FakeEvaluator):
    def __call__(self, candidate, *rest):
        if not self.seen:
            print("training", flush=True)
            sys.stdin.readline()
        return super().__call__(candidate, *rest)

def tell(event):
    if isinstance(event, Finished | TakenOver):
        print(type(event).__name__, event.job.candidate.number, flush=True)

run(Study.open(open_storage(sys.argv[1]), sys.argv[2]), Slow(), accept_all, tell)
"""
LEASE = 1.5
NOBODY_ALIVE = worker_id(2**22 + 1)
"""A process of this host that there cannot be: Linux numbers no higher."""


@pytest.fixture
def study(storage: RDBStorage, request: pytest.FixtureRequest) -> Study:
    """Give a new study of four trials and one rung, named after its test."""
    return Study.create(storage, config(name=request.node.name, fidelities=(measurement(0.5).fidelity,)), 4)


@pytest.fixture
def as_other_host(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sign claims as a process of another host; the returned function goes back to the truth."""
    monkeypatch.setattr("nas.search.books.worker_id", lambda: "elsewhere|1|1")
    return monkeypatch.undo


def accuracies(study: Study) -> list[float]:
    return [record.metrics["val_accuracy"] for record in study.records() if record.measurements]


def test_a_worker_paused_beyond_its_lease_comes_back_to_a_trial_that_is_not_its_own(study: Study, url: str) -> None:
    study.set_lease(LEASE)
    command, pipe = [sys.executable, "-c", PAUSED, url, study.name], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline().strip() == "training"
        os.kill(process.pid, signal.SIGSTOP)
        events: list[Event] = []
        run(study, FakeEvaluator(), accept_all, events.append)
        before = study.records()
        os.kill(process.pid, signal.SIGCONT)
        said = process.communicate("\n", timeout=60)[0].splitlines()
    assert [type(event) for event in events].count(Finished) == 4
    assert said == ["TakenOver 0"]
    assert study.records() == before
    assert [record.number for record in before] == [0, 1, 2, 3]


def test_a_holder_that_was_replaced_writes_nothing(study: Study, as_other_host: Callable[[], None]) -> None:
    lost = study.claim(accept_all)
    as_other_host()
    study.set_lease(0)
    study.finish(study.claim(accept_all), measurement(0.5))
    again = study.claim(accept_all)
    assert again == lost
    assert study.finish(again, measurement(0.6))
    assert not study.finish(lost, measurement(0.9))
    assert not study.fail(lost, "too late")
    assert accuracies(study) == [0.6, 0.5]


def test_saying_twice_what_came_of_a_trial_is_saying_it_once(study: Study) -> None:
    job = study.claim(accept_all)
    assert study.finish(job, measurement(0.5))
    assert study.finish(job, measurement(0.5))
    assert accuracies(study) == [0.5]


def test_a_trial_is_lost_only_by_the_clock_that_cannot_be_set(study: Study, as_other_host: Callable[[], None]) -> None:
    job, now = study.claim(accept_all), [1000.0]
    as_other_host()
    leases = Leases(study.storage, clock=lambda: now[0])

    def lost() -> list[int]:
        trials = read_trials(study.storage, study.name)
        return [each.trial.number for each in leases.lost(trials, 90)]

    found = [lost()]
    now[0] += 89
    found.append(lost())
    hold.beat(study.storage, job.trial_id, job.claim, '{"beats": 1}')
    now[0] += 60
    found.append(lost())
    now[0] += 91
    assert [*found, lost()] == [[], [], [], [0]]


def test_a_beat_tells_how_far_a_trial_is_and_whether_it_is_still_held(study: Study) -> None:
    job = study.claim(accept_all)
    assert hold.beat(study.storage, job.trial_id, job.claim, '{"epoch": 3, "epochs": 9}')
    assert hold.pulses(study.storage, [job.trial_id])[job.trial_id][1] == '{"epoch": 3, "epochs": 9}'
    assert not hold.beat(study.storage, job.trial_id, "another", "{}")
    study.finish(job, measurement(0.5))
    (trial,) = read_trials(study.storage, study.name)
    assert PULSE not in study._main.trials[0].user_attrs
    assert WORKER not in trial.attributes


def train_on(heart: Heart) -> None:
    """Make epochs of a fiftieth of a second, up to a minute."""
    for epoch in range(2, 3000):
        heart.epoch_done(epoch, 3000)
        time.sleep(0.02)


def test_workers_end_after_their_epoch_when_the_study_is_told_to_stop(study: Study) -> None:
    stopper = Study.open(study.storage, study.name)
    heart = Heart(lambda *_: True, lambda: study.is_stopped, every=60)
    with heart.beating():
        heart.epoch_done(1, 9)
        stopper.stop()
        with pytest.raises(StoppedError):
            train_on(heart)
    with pytest.raises(StoppedError):
        run(study, FakeEvaluator(), accept_all)
    run(Study.open(study.storage, study.name), FakeEvaluator(), accept_all)
    assert len(study.records()) == 4


def test_a_trial_that_costs_worker_after_worker_is_given_up(study: Study, as_dead_worker: Callable[[], None]) -> None:
    for _ in range(MOST_LOSSES):
        job = study.claim(accept_all)
        assert job.candidate.number == 0
    assert study.claim(accept_all).candidate.number == 1
    as_dead_worker()
    assert [record.status(study.config.fidelities) for record in study.records()] == [Status.FAILED, Status.RUNNING]
    assert study.records()[0].error == ("5 workers died with it, one after the other, before the next epoch was done")


def test_a_trial_that_goes_on_between_its_losses_is_not_given_up(
    study: Study, as_dead_worker: Callable[[], None]
) -> None:
    for epoch in range(1, 2 * MOST_LOSSES):
        job = study.claim(accept_all)
        assert job.candidate.number == 0
        hold.beat(study.storage, job.trial_id, job.claim, f'{{"epoch": {epoch}}}')
    as_dead_worker()


def test_a_trial_that_was_killed_for_memory_is_tried_in_halves_and_then_never_again(
    study: Study, as_dead_worker: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = [0]
    monkeypatch.setattr("nas.search.books.oom_kills", lambda: kills[0])
    tries = [study.claim(accept_all)]
    kills[0] += 1
    tries.append(study.claim(accept_all))
    kills[0] += 1
    assert [(job.candidate.number, job.is_halved) for job in tries] == [(0, False), (0, True)]
    assert study.claim(accept_all).candidate.number == 1
    as_dead_worker()
    assert study.records()[0].status(study.config.fidelities) is Status.OUT_OF_MEMORY


def test_a_further_seed_that_costs_worker_after_worker_is_given_up_too(study: Study) -> None:
    run(study, FakeEvaluator(), accept_all)
    record = study.records()[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nas.search.books.worker_id", lambda: NOBODY_ALIVE)
        seeds = [repeats(study, [record], 2).claim(accept_all).seed for _ in range(MOST_LOSSES)]
        assert len(set(seeds)) == 1
        assert repeats(study, [record], 2).claim(accept_all) is None
    (trial,) = read_trials(study.storage, study.name + "/fidelity")
    assert trial.error.startswith("5 workers died with it")


@pytest.fixture
def server(url: str) -> str:
    """Give the URL of a database on a server; a file has no connections to lose."""
    if url.startswith("sqlite"):
        pytest.skip("a SQLite file has no connections")
    return url


def cut_connections(url: str) -> None:
    """End all connections to a database but the own one, as a server that is started anew does."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            connection.execute(text(query + "AND pid <> pg_backend_pid()"))
        else:
            query = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            for (number,) in connection.execute(text(query)).all():
                connection.execute(text(f"KILL {number}"))
    engine.dispose()


class Cutting(FakeEvaluator):
    """Cuts all connections to a database in every training."""

    url = ""

    def __call__(self, *given: object) -> object:
        """Cut them and measure."""
        cut_connections(self.url)
        return super().__call__(*given)


def test_connections_that_are_cut_in_every_trial_cost_nothing(study: Study, server: str) -> None:
    evaluate = Cutting()
    evaluate.url = server
    run(study, evaluate, accept_all)
    assert [record.number for record in study.records()] == [0, 1, 2, 3]
    assert len(evaluate.seen) == len(study._main.trials) == 4


def test_whoever_lost_the_lock_on_a_server_writes_nothing(study: Study, server: str) -> None:
    with exclusive(study.storage, study.name):
        cut_connections(server)
        with pytest.raises((LockLostError, OperationalError)):
            ledger.begin(study.storage, study._main._study_id, {})
        with pytest.raises(LockLostError):  # by a new connection, which works, but without the lock
            ledger.begin(study.storage, study._main._study_id, {})
    assert study.records() == ()


def test_a_claim_whose_answer_was_lost_is_found_and_taken(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = ledger.begin

    def written_but_not_answered(*given: object) -> tuple[int, int]:
        monkeypatch.undo()
        begin(*given)
        raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(ledger, "begin", written_but_not_answered)
    job = study.claim(accept_all)
    assert job.candidate.number == 0
    assert study.finish(job, measurement(0.5))
    assert len(study._main.trials) == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let waiting take no time, and give how long it would have been."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(outage.time, "sleep", sleep)
    monkeypatch.setattr(outage.time, "monotonic", lambda: sum(waits))
    return waits


def test_a_database_that_is_away_is_asked_again_at_growing_intervals(
    study: Study, quick: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([OperationalError("SELECT", {}, Exception("connection refused"))] * 6)

    def call() -> str:
        for error in answers:
            raise error
        return "here"

    assert outage.outlast(study.storage, call) == "here"
    assert quick == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert [record.message.split(" is ")[1][:8] for record in caplog.records] == ["away, tr", "back"]


def test_patience_has_an_end_that_names_the_reason(study: Study, quick: list[float]) -> None:
    def call() -> None:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    with pytest.raises(StudyError, match=r"away for 1\d minutes: connection refused"):
        outage.outlast(study.storage, call)
    assert max(quick) == outage.LONGEST_WAIT


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError("SELECT", {}, Exception("syntax error")),
        OperationalError("INSERT", {}, Exception("attempt to write a readonly database")),
    ],
)
def test_what_time_does_not_mend_is_raised_at_once(study: Study, quick: list[float], error: Exception) -> None:
    def call() -> None:
        raise error

    with pytest.raises(type(error)):
        outage.outlast(study.storage, call)
    assert quick == []


def test_whoever_only_looks_is_told_at_once_that_a_database_is_away(
    study: Study, quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Study.open(open_read_only(str(study.storage.url)), study.name)

    def away(_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(ledger.Ledger, "read", away)
    with pytest.raises(OperationalError):
        reader.records()
    assert quick == []
    reader.storage.engine.dispose()


def test_a_taken_over_job_is_told_and_not_counted(study: Study, as_other_host: Callable[[], None]) -> None:
    events: list[Event] = []

    class Slow(FakeEvaluator):
        def __call__(self, *given: object) -> object:
            if len(self.seen) == 0:
                as_other_host()
                other = Study.open(study.storage, study.name)
                other.set_lease(0)
                assert other.claim(accept_all) is None  # its silence has just begun
                other.finish(other.claim(accept_all), measurement(0.5))
            return super().__call__(*given)

    study.extend(1)
    run(study, Slow(), accept_all, events.append)
    assert [type(event) for event in events if isinstance(event, Finished | TakenOver)] == [TakenOver]
