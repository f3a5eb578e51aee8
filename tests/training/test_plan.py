"""How training should run here: the plan that was measured to be the fastest."""

from __future__ import annotations

import pytest
import torch

from nas.architecture import Architecture
from nas.records import Plan, Recipe
from nas.training import plan as plans
from nas.training.plan import describe, measure_plan
from tests.training.conftest import DIGITS

PLAIN = "cpu, float32, contiguous, 1 thread"


def measured(monkeypatch: pytest.MonkeyPatch, small: Architecture, speeds: dict[str, float]) -> Plan:
    """Return the plan that is chosen where plans have these speeds, any other 1."""
    monkeypatch.setattr(plans, "_images_per_second", lambda *given, **_: speeds.get(describe(given[3]), 1.0))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    return measure_plan(small, DIGITS, Recipe())[0]


def test_a_measured_plan_is_one_of_those_that_were_tried(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "SECONDS_EACH", 0.01)
    plan, speeds = measure_plan(small, DIGITS, Recipe())
    assert describe(plan) in speeds
    assert PLAIN in speeds
    assert speeds[describe(plan)] >= speeds[PLAIN] > 0


def test_the_plain_plan_stays_where_nothing_is_faster(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, small, {PLAIN: 100}) == Plan()


def test_a_gain_within_the_noise_is_no_gain(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, small, {PLAIN: 100, "cpu, float32, channels_last, 1 thread": 104}) == Plan()


def test_changes_that_pay_add_up(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {
        PLAIN: 100.0,
        "cpu, float32, channels_last, 1 thread": 200.0,
        "cpu, bfloat16, channels_last, 1 thread": 150.0,
        "cpu, float32, channels_last, 4 threads": 300.0,
    }
    assert measured(monkeypatch, small, speeds) == Plan(channels_last=True, threads=4)


def test_measuring_leaves_threads_and_generators_alone(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "SECONDS_EACH", 0.01)
    torch.rand(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    measure_plan(small, DIGITS, Recipe())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_hopeless_plan_is_timed_once() -> None:
    calls = []
    seconds = plans._step_seconds(lambda: calls.append(1), "cpu", longest=0.0)
    assert len(calls) == 1
    assert seconds > 0


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan(), PLAIN),
        (Plan(device="cuda", precision="bfloat16", channels_last=True), "cuda, bfloat16, channels_last, 1 thread"),
        (Plan(threads=2), "cpu, float32, contiguous, 2 threads"),
    ],
)
def test_plans_are_told_in_words(plan: Plan, words: str) -> None:
    assert describe(plan) == words
