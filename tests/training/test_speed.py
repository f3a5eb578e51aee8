"""How fast training runs under a setting: steps of several networks, timed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nas.architecture import Architecture, Stem
from nas.records import Plan, Recipe
from nas.training import speed
from nas.training.machine import facts, free_bytes
from nas.training.speed import FEW, Bench, Setting
from tests.training.conftest import DIGITS

PLAIN = Setting(Plan(), 16)
MANY = Setting(Plan(device="cuda", trials_per_device=FEW + 1), 16)


@pytest.fixture
def other(small: Architecture) -> Architecture:
    """Give a second network."""
    return small.model_copy(update={"stem": Stem(width=16, stride=1)})


@pytest.fixture
def bench(small: Architecture, other: Architecture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """Make a bench whose two networks have given rates, by setting."""

    def made(rates: dict[Setting, tuple[float, float]], asked: list[Setting] | None = None) -> Bench:
        def rate(_: Bench, architecture: Architecture, setting: Setting) -> float:
            if asked is not None:
                asked.append(setting)
            found = rates[setting][0 if architecture == small else 1]
            if not found:
                raise torch.OutOfMemoryError
            return found

        monkeypatch.setattr(Bench, "_rate", rate)
        return Bench([small, other], DIGITS, Recipe())

    return made


def test_networks_count_as_if_each_saw_as_many_images(bench: Callable[..., Bench]) -> None:
    assert bench({PLAIN: (100.0, 300.0)})(PLAIN) == pytest.approx(150)


def test_a_hopeless_setting_is_timed_on_one_network(bench: Callable[..., Bench]) -> None:
    slow, asked = Setting(Plan(precision="bfloat16"), 16), list[Setting]()
    timed = bench({PLAIN: (100.0, 300.0), slow: (20.0, 1.0)}, asked)
    timed(PLAIN)
    assert timed(slow) == pytest.approx(30)
    assert asked == [PLAIN, PLAIN, slow]


def test_many_trainings_at_once_are_timed_on_one_network(bench: Callable[..., Bench]) -> None:
    timed = bench({PLAIN: (100.0, 300.0), MANY: (50.0, 1.0)})
    timed(PLAIN)
    assert timed(MANY) == pytest.approx(75)


def test_a_setting_that_does_not_fit_has_no_rate(bench: Callable[..., Bench]) -> None:
    assert bench({PLAIN: (100.0, 0.0)})(PLAIN) == 0


def test_trainings_at_once_are_those_of_the_plan() -> None:
    assert Setting(Plan(workers=3), 16).together == 3
    assert Setting(Plan(workers=64), 16).together == FEW
    assert MANY.together == FEW + 1
    assert Setting(Plan(device="cuda:0,1", workers=2, trials_per_device=4), 16).trainings == 8


def test_two_trainings_at_once_are_both_timed(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS_EACH", 0.01)
    assert Bench([small], DIGITS, Recipe())(Setting(Plan(workers=2), 8)) > 0


def test_a_long_step_is_timed_on_a_smaller_batch(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS_EACH", 0.0)
    monkeypatch.setattr(speed, "LONGEST_STEP", 0.0)
    bench = Bench([small], DIGITS, Recipe())
    assert bench(Setting(Plan(), 4096)) > 0
    assert bench.largest == {small: speed.SMALLEST_BATCH}


def test_a_training_runs_out_of_steps_before_its_rates_do(small: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MOST_STEPS", 30)
    training = speed._Training(small, DIGITS, Recipe(), Plan(), 4)
    training.fastest(until=float("inf"))
    assert training.left == speed.GPU_STEPS


def test_a_machine_says_what_it_is() -> None:
    assert torch.__version__ in facts(("cpu",))
    assert free_bytes("cpu") > 0
