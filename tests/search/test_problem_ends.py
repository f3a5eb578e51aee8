"""The search of a problem that ends early, and evaluators that fail."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import InputError, NasError
from nas.records import Candidate, Fidelity, Measurement, Status
from nas.search.loop import Event, Finished
from nas.search.problem import ProblemEvaluator, solve
from nas.search.samplers.named import SAMPLERS
from nas.search.storage import sqlite_url
from tests.search.toy import CHOICES, LADDER, QUICK, endings, evaluate, keys, measured, problem, refusal

# What ends early


@pytest.mark.parametrize("sampler", QUICK)
def test_a_space_smaller_than_the_trials_is_seen_to_its_end(sampler: str) -> None:
    count, reasons = endings(problem(caps={}), 50, sampler=sampler)
    assert (count, reasons) == (36, ["space 'toy': all 36 members within the caps were seen"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_member_is_a_search_of_one_trial(sampler: str) -> None:
    one = problem(choices={name: values[:1] for name, values in CHOICES.items()})
    assert endings(one, 5, sampler=sampler) == (1, ["space 'toy': all 1 members within the caps were seen"])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_cap_that_leaves_three_members_ends_after_three_trials(sampler: str, workers: int) -> None:
    three = problem(choices=CHOICES | {"act": ("relu",), "skip": (True,)}, caps={"params": 26})
    count, reasons = endings(three, 50, sampler=sampler, workers=workers)
    assert count == 3
    assert set(reasons) == {"space 'toy': all 3 members within the caps were seen"}


def test_a_space_of_thousands_is_seen_to_its_end() -> None:
    from nas.search.samplers.fresh import ExhaustedError, new_member

    many = {f"g{i}": (1, 2, 3) for i in range(9)}
    members = problem(choices=many, cost=lambda g: {"params": sum(g.values())}, caps={"params": 11}).members
    seen: set[str] = set()
    for number in range(55):
        seen.add(members.key(new_member(members, [], seen, random.Random(number))))
    assert len(seen) == 55
    with pytest.raises(ExhaustedError, match="all 55 members within the caps were seen"):
        new_member(members, [], seen, random.Random(0))


def test_an_early_end_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        solve(problem(), 50)
    assert "problem toy: the search ends early: space 'toy': all " in caplog.text


@pytest.mark.parametrize("sampler", QUICK)
def test_constant_objectives_are_searched_all_the_same(sampler: str) -> None:
    view = solve(
        problem(evaluate=measured(accuracy=1, loss=1), objectives={"accuracy": "maximize"}), 15, sampler=sampler
    )
    assert len(set(keys(view.records))) == 15
    wanted = {"accuracy": "maximize", "loss": "minimize"}
    assert (
        len(solve(problem(evaluate=measured(accuracy=1, loss=1), objectives=wanted), 15, sampler=sampler).front) == 15
    )


def test_hours_end_a_search(tmp_path: Path) -> None:
    view = solve(problem(), 20, max_hours=1e-9, storage=sqlite_url(tmp_path / "study.db"))
    assert 1 <= len(view.records) < 20


# Faults of an evaluator


def broken(fault: Callable[[Candidate, Fidelity, int], object], *numbers: int) -> Callable[..., Any]:
    """Return an evaluator that does something else for some candidates."""
    return lambda candidate, fidelity, seed: (
        fault(candidate, fidelity, seed) if candidate.number in numbers else evaluate(candidate, fidelity, seed)
    )


def raise_it(*_: object) -> object:
    raise KeyError("no such row\nin the table")


def other_fidelity(_: Candidate, __: Fidelity, seed: int) -> Measurement:
    return Measurement(fidelity=LADDER[1], seed=seed, metrics={"accuracy": 1})


FAULTS = {
    "raises": (raise_it, "InputError: the evaluator raised KeyError: 'no such row\\nin the table'"),
    "nan": (measured(accuracy=math.nan), "metrics.accuracy: input should be a finite number, got nan"),
    "infinite": (measured(accuracy=math.inf), "metrics.accuracy: input should be a finite number, got inf"),
    "text": (measured(accuracy="high"), "metrics.accuracy: input should be a valid number"),  # type: ignore[arg-type]
    "wrong key": (measured(acc=1), "the evaluator gave no 'accuracy'; it gave acc"),
    "nothing": (lambda *_: None, "the evaluator gave None, which is no Measurement"),
    "number": (lambda *_: 93.1, "the evaluator gave 93.1, which is no Measurement"),
    "fidelity": (other_fidelity, "another fidelity or seed than it was asked for"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_recorded_with_its_reason_and_the_search_goes_on(fault: str) -> None:
    function, said = FAULTS[fault]
    view = solve(problem(evaluate=broken(function, 2, 5)), 10)
    assert [record.number for record in view.records if record.error] == [2, 5]
    assert said in view.records[2].error
    assert "\n" not in view.records[2].error
    assert len(set(keys(view.records))) == 10
    assert view.counts[Status.EVALUATED] == 8


@pytest.mark.parametrize("fault", FAULTS)
def test_three_faults_in_a_row_end_the_search(fault: str) -> None:
    function, said = FAULTS[fault]
    assert said in refusal(lambda: solve(problem(evaluate=function), 10), NasError)


@pytest.mark.parametrize("sampler", QUICK)
def test_no_sampler_asks_for_a_member_that_failed_again(sampler: str) -> None:
    view = solve(problem(evaluate=broken(raise_it, 0, 1, 3, 6, 8), caps={}), 36, sampler=sampler)
    assert len(set(keys(view.records))) == 36


@pytest.mark.parametrize("limit", [{"diverged": True}, {"stopped": "time"}])
def test_an_evaluation_may_come_to_no_end(limit: dict[str, Any]) -> None:
    def ended(_: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        return Measurement(fidelity=fidelity, seed=seed, metrics={}, **limit)

    view = solve(problem(evaluate=broken(ended, 1)), 6)
    assert view.status(view.records[1]) in {Status.DIVERGED, Status.TOO_SLOW}
    assert not view.records[1].error


def test_a_fault_keeps_its_cause() -> None:
    evaluator = ProblemEvaluator(problem(evaluate=raise_it))
    (record,) = solve(problem(), 1).records
    with pytest.raises(InputError) as caught:
        evaluator(record, LADDER[0], 0, lambda _: None)
    assert isinstance(caught.value.__cause__, KeyError)


def test_events_tell_of_every_trial() -> None:
    events: list[Event] = []
    solve(problem(), 5, on_event=events.append)
    assert [event.job.candidate.number for event in events if isinstance(event, Finished)] == [0, 1, 2, 3, 4]
