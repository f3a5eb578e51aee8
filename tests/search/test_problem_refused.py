"""Problems and arguments that are refused in one line before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from nas.errors import CapError
from nas.records import Measurement
from nas.search.problem import solve
from nas.space import Genotype
from tests.search.toy import LADDER, cost, endings, measured, problem, refusal


def raising(_: Genotype) -> Any:
    raise ZeroDivisionError("division by zero")


def nan_when_deep(genotype: Genotype) -> Mapping[str, float]:
    return {"params": math.nan if genotype["depth"] == 3 else 1.0}


SWAPS = {"relu": "gelu", "gelu": "relu"}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no choices": ({"choices": {}}, "no choice, name at least one"),
    "no values": ({"choices": {"x": ()}}, "choice 'x' needs values, each once, got []"),
    "values twice": ({"choices": {"x": (1, 1)}}, "choice 'x' needs values, each once, got [1, 1]"),
    "values alike": ({"choices": {"x": (1, True)}}, "each once, got [1, True]"),
    "no list": ({"choices": {"x": 3}}, "choice 'x' needs a list of values, got 3"),
    "a text": ({"choices": {"x": "abc"}}, "choice 'x' needs a list of values, got 'abc'"),
    "none": ({"choices": {"x": (None, 1)}}, "a value must be text, a finite number, true or false, got None"),
    "a pair": ({"choices": {"x": ((1, 2), 1)}}, "got (1, 2)"),
    "nan": ({"choices": {"x": (math.nan, 1.0)}}, "got nan"),
    "no name": ({"choices": {"": (1, 2)}}, "the name of a choice must be text, got ''"),
    "a number": ({"choices": {1: (1, 2)}}, "the name of a choice must be text, got 1"),
    "no objective": ({"objectives": {}}, "no objective, name at least one"),
    "direction": ({"objectives": {"accuracy": "max"}}, "'maximize' or 'minimize', got 'max'"),
    "colon": ({"objectives": {"max:accuracy": "maximize"}}, "without a colon"),
    "no cap": ({"caps": {"params": 0}}, "the cap on 'params' must be a finite number above 0, got 0"),
    "cap of nan": ({"caps": {"params": math.nan}}, "got nan"),
    "cap in words": ({"caps": {"params": "1.5M"}}, "got '1.5M'"),
    "no rung": ({"fidelities": ()}, "name at least one rung"),
    "rungs alike": ({"fidelities": LADDER[:1] * 2}, "each once"),
    "rungs of numbers": ({"fidelities": (1, 2)}, "name at least one rung"),
    "no evaluator": ({"evaluate": None}, "evaluate must be a function, got None"),
    "cap of nothing": ({"caps": {"macs": 9}}, "lacks 'macs', which has a cap; it gives params, delay"),
    "cost raises": ({"cost": raising}, "raised ZeroDivisionError: division by zero"),
    "cost of nan": ({"cost": nan_when_deep}, "gives 'params' as nan, which is no finite number"),
    "cost in words": ({"cost": lambda _: {"params": "many"}}, "must map names to numbers, got {'params': 'many'}"),
    "a number as cost": ({"cost": lambda _: 3}, "must map names to numbers, got 3"),
    "negative": ({"cost": lambda _: {"params": -1}}, "gives 'params' as -1, which is below 0"),
    "costs come and go": (
        {"cost": lambda g: {"params": 1} | ({"macs": 1} if g["depth"] == 1 else {})},
        "lacks 'macs', which others have",
    ),
    "normal raises": ({"normal": raising}, "`normal` of {'depth': 1"),
    "normal gives none": ({"normal": lambda _: None}, "no member: `normal` gave None for all 36 genotypes"),
    "normal strays": (
        {"normal": lambda g: {**g, "kernel": 4}},
        "`normal` gave has kernel 4, which must be one of 3, 5, 7",
    ),
    "normal drops": ({"normal": lambda _: {"depth": 1}}, "what `normal` gave lacks 'kernel'"),
    "normal adds": ({"normal": lambda g: {**g, "more": 1}}, "has 'more', which is no choice"),
    "normal gives text": ({"normal": lambda _: "same"}, "must map each choice to its value, got 'same'"),
    "normal gives a list": ({"normal": lambda g: {**g, "kernel": [3]}}, "has kernel [3]"),
    "normal turns": ({"normal": lambda g: {**g, "act": SWAPS[g["act"]]}}, "`normal` must leave what it gives as it is"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_searched_is_refused_before_anything_runs(case: str) -> None:
    def never(*_: object) -> Measurement:
        raise AssertionError("evaluated")

    change, said = BAD[case]
    line = refusal(lambda: solve(problem(**{"evaluate": never} | change), 5))
    assert line.startswith("problem toy: ")
    assert said in line


def test_a_cap_below_every_member_names_the_closest() -> None:
    said = refusal(lambda: solve(problem(caps={"params": 8, "delay": 9}), 5), CapError)
    assert said == (
        "problem toy: no member is within the caps; the closest of all 36 genotypes has "
        "params 9, cap 8, delay 0.5, cap 9"
    )


def test_a_large_space_without_a_member_is_refused_in_bounded_time() -> None:
    large = {f"g{i}": (1, 2, 3) for i in range(30)}
    over = problem(choices=large, cost=lambda g: {"params": sum(g.values())}, caps={"params": 29})
    assert "the closest of 20,000 random genotypes has params" in refusal(lambda: solve(over, 5), CapError)
    nothing = problem(choices=large, cost=lambda _: {}, caps={}, normal=lambda _: None)
    assert "gave None for 20,000 random genotypes" in refusal(lambda: solve(nothing, 5))


def test_a_cap_that_only_the_smallest_keeps_to_is_found_in_a_large_space() -> None:
    large = {f"g{i}": (1, 2, 3) for i in range(30)}
    tight = problem(
        choices=large, cost=lambda g: {"params": sum(g.values())}, caps={"params": 30}, evaluate=measured(accuracy=1)
    )
    count, reasons = endings(tight, 5)
    assert count == 1
    assert "no new member within the caps" in reasons[0]


def test_a_fault_in_the_midst_ends_the_search_in_one_line() -> None:
    seen = set()

    def fragile(genotype: Genotype) -> Mapping[str, float]:
        seen.add(tuple(genotype.values()))
        if len(seen) > 150:
            raise OSError("the farm is closed")
        return {"params": 1}

    large = problem(choices={f"g{i}": (1, 2, 3) for i in range(9)}, cost=fragile, evaluate=measured(accuracy=1))
    assert "raised OSError: the farm is closed" in refusal(lambda: solve(large, 1_000, sampler="random"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_trials": 0}, "n_trials must be a whole number of at least 1, got 0"),
        ({"n_trials": 2.5}, "got 2.5"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"max_hours": 0}, "max_hours must be above 0, got 0"),
        ({"reduction": 1}, "reduction: input should be greater than or equal to 2, got 1"),
        ({"storage": "nonsense"}, "not a database URL"),
    ],
)
def test_arguments_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    assert said in refusal(lambda: solve(problem(), **{"n_trials": 5} | given))


def test_functions_may_change_what_they_are_given() -> None:
    def greedy(genotype: Any) -> Mapping[str, float]:
        found = cost(genotype)
        genotype.clear()
        return found

    assert len(solve(problem(cost=greedy), 5).records) == 5
