"""Many workers at one study, in every database: each job is done once, and all of them are done."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import event

from nas.search.compare import Comparison
from nas.search.fidelity import repeats
from nas.search.lock import exclusive
from nas.search.loop import run
from nas.search.study import Study
from tests.core.examples import config
from tests.search.fakes import FakeEvaluator, accept_all

WORKERS, TRIALS = 4, 18
STATEMENTS = {"sqlite": 17, "postgresql": 23, "mysql": 21}
"""Of a job, at most: 15.2, 21.4 and 19.3 were counted, and a beat of a slow worker takes more."""

WORKER = """
import sys
from nas.search.loop import run
from nas.search.storage import open_storage
from nas.search.study import Study
from tests.search.fakes import FakeEvaluator, accept_all
evaluator = FakeEvaluator()
run(Study.open(open_storage(sys.argv[1]), sys.argv[2]), evaluator, accept_all)
print(len(evaluator.seen))
"""


@pytest.fixture
def study(storage: RDBStorage, request: pytest.FixtureRequest) -> Study:
    """Give a new study, named after its test: all of them share a database."""
    return Study.create(storage, config(name=request.node.name), TRIALS)


def check(study: Study, done: int) -> None:
    """Fail unless all jobs of a study of `TRIALS` trials and two rungs were done once, `done` of them in all."""
    records = study.records()
    assert [record.number for record in records] == list(range(TRIALS))
    assert len({record.arch_id for record in records}) == TRIALS
    jobs = Counter((record.number, made.fidelity, made.seed) for record in records for made in record.measurements)
    assert set(jobs.values()) == {1}
    promoted = [record for record in records if len({made.fidelity for made in record.own}) == 2]
    replicates = [record for record in records if len(record.own) < len(record.measurements)]
    assert len(promoted) == TRIALS // 2
    assert [record.number for record in replicates] == [8, 16]
    assert done == TRIALS + len(promoted) + len(replicates) == len(jobs)
    assert not study.is_busy


def test_processes_that_claim_at_once_share_the_work(study: Study, url: str) -> None:
    command = [sys.executable, "-c", WORKER, url, study.name]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
    done = [int(worker.communicate(timeout=240)[0]) for worker in workers]
    check(study, sum(done))


def test_threads_with_an_object_each_share_the_work(study: Study, storage: RDBStorage) -> None:
    evaluators = [FakeEvaluator() for _ in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        studies = [Study.open(storage, study.name) for _ in evaluators]
        list(pool.map(lambda pair: run(*pair, accept_all), zip(studies, evaluators, strict=True)))
    check(study, sum(len(each.seen) for each in evaluators))


def test_a_worker_connects_twice_and_not_for_each_query(study: Study, storage: RDBStorage) -> None:
    storage.engine.dispose()
    made = list[Any]()
    event.listen(storage.engine, "connect", lambda connection, _: made.append(connection))
    run(Study.open(storage, study.name), FakeEvaluator(), accept_all)
    assert 1 <= len(made) <= 2


def test_a_job_takes_few_statements(study: Study, storage: RDBStorage) -> None:
    given = list[str]()

    def count(*of: Any) -> None:
        given.append(of[2])

    event.listen(storage.engine, "before_cursor_execute", count)
    run(Study.open(storage, study.name), FakeEvaluator(), accept_all)
    event.remove(storage.engine, "before_cursor_execute", count)
    jobs = sum(len(record.measurements) for record in study.records())
    assert len(given) / jobs < STATEMENTS[storage.engine.dialect.name]


def test_no_two_hold_the_lock_of_a_study(storage: RDBStorage, open_again: Callable[[], RDBStorage]) -> None:
    inside, most, start = [0], [0], Barrier(WORKERS)

    def hold(each: RDBStorage) -> None:
        start.wait()
        for _ in range(10):
            with exclusive(each, "study"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(hold, [open_again() if i % 2 else storage for i in range(WORKERS)]))
    assert most == [1]


def test_a_worker_that_fails_inside_gives_the_lock_back(storage: RDBStorage) -> None:
    with pytest.raises(KeyError), exclusive(storage, "study"):
        raise KeyError
    with exclusive(storage, "study"):
        pass


def test_workers_share_the_trainings_of_a_comparison(study: Study, storage: RDBStorage) -> None:
    run(study, FakeEvaluator(), accept_all)
    records = study.records()[:3]
    first, second = (repeats(Study.open(storage, study.name), records, 3) for _ in range(2))
    jobs = []
    while (job := first.claim(accept_all) or second.claim(accept_all)) is not None:
        jobs.append((job.candidate.number, job.seed))
    assert len(jobs) == len(set(jobs)) == first.total
    assert isinstance(first, Comparison)
