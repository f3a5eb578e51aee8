"""What a worker does, alone and as one of several threads on a device, with a fake evaluator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from nas.records import Candidate, Fidelity, Measurement, Status
from nas.search.loop import Event, Finished, run
from nas.search.storage import open_storage
from nas.search.study import Study
from nas.search.worker import complete
from nas.training.loop import Progress
from tests.core.examples import HIGH, LOW
from tests.search.conftest import MakeStudy
from tests.search.fakes import FakeEvaluator, accept_all, fake_measurement

TRIALS = 12
TOGETHER = 3


def objects(study: Study, count: int) -> list[Study]:
    """Return so many objects of a study, each with a connection of its own."""
    return [Study.open(open_storage(str(study.storage.url)), study.name) for _ in range(count)]


@dataclass
class MeetingEvaluator:
    """Measures by the fake formula; the first of each thread waits until all threads are in one."""

    faults: dict[int, BaseException] = field(default_factory=dict)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(TOGETHER, timeout=60))

    def __call__(
        self, candidate: Candidate, fidelity: Fidelity, seed: int, _: Callable[[Progress], None]
    ) -> Measurement:
        """Return the measurement."""
        if candidate.number < TOGETHER and fidelity == LOW:
            self.meeting.wait()
        if candidate.number in self.faults:
            raise self.faults[candidate.number]
        return fake_measurement(candidate, fidelity, seed)


def test_threads_share_a_device_and_a_study(make_study: MakeStudy) -> None:
    study, heard = make_study(TRIALS), list[Event]()
    complete(objects(study, TOGETHER), MeetingEvaluator(), accept_all, heard.append)
    records = study.records()
    assert [record.number for record in records] == list(range(TRIALS))
    assert len({record.arch_id for record in records}) == TRIALS
    assert {record.status(study.config.fidelities) for record in records} == {Status.EVALUATED, Status.STOPPED_EARLY}
    assert sum(isinstance(event, Finished) for event in heard) == sum(len(record.measurements) for record in records)


def test_a_fault_of_ours_in_one_thread_ends_them_all(make_study: MakeStudy) -> None:
    study = make_study(TRIALS)
    with pytest.raises(TypeError, match="a bug"):
        complete(objects(study, TOGETHER), MeetingEvaluator({1: TypeError("a bug")}), accept_all)
    assert len(study.records()) < TRIALS


def test_a_worker_waits_for_what_another_one_trains(make_study: MakeStudy) -> None:
    study = make_study(2)
    other, mine = objects(study, 2)
    job = other.claim(accept_all)
    worker = threading.Thread(target=run, args=(mine, FakeEvaluator(), accept_all))
    worker.start()
    worker.join(1.0)
    assert worker.is_alive()
    other.finish(job, fake_measurement(job.candidate, job.fidelity, job.seed))
    worker.join(10.0)
    assert not worker.is_alive()
    assert [record.best_fidelity for record in study.records()].count(HIGH) == 1


def test_finalists_are_trained_again_when_the_search_is_over(make_study: MakeStudy) -> None:
    study, evaluator = make_study(6, finalists=2, finalist_seeds=3), FakeEvaluator()
    complete([study], evaluator, accept_all)
    again = [record for record in study.records() if len(record.measurements) > len(study.config.fidelities)]
    assert len(again) >= 2
    assert all(len([m for m in record.measurements if m.fidelity == HIGH]) == 3 for record in again)
    assert [epochs for _, epochs in evaluator.seen[-4:]] == [HIGH.epochs] * 4


def test_a_study_without_finalists_is_over_with_its_search(make_study: MakeStudy) -> None:
    study, evaluator = make_study(6), FakeEvaluator()
    complete([study], evaluator, accept_all)
    assert len(evaluator.seen) == sum(len(record.measurements) for record in study.records())
    assert {record.best_fidelity for record in study.records()} == {LOW, HIGH}
