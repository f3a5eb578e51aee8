"""What the search of a problem takes over from others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import InputError, StudyError
from nas.problem import Problem
from nas.records import Candidate, Fidelity, Measurement, WarmStart
from nas.search.problem import solve
from nas.search.storage import open_storage, sqlite_url
from nas.search.study import Study
from nas.view import StudyView
from tests.core.examples import HIGH, config


def problem(name: str = "table", *names: str, **fields: Any) -> Problem:
    """Return a problem of 12 members that measures the named metrics."""

    def evaluate(candidate: Candidate, fidelity: Fidelity, seed: int) -> Measurement:
        value = candidate.genotype["depth"] + 0.1 * candidate.genotype["kernel"] + 0.01 * fidelity.epochs
        return Measurement(fidelity=fidelity, seed=seed, metrics=dict.fromkeys(names or ("accuracy",), value))

    asked = {
        "choices": {"depth": (1, 2, 3, 4), "kernel": (3, 5, 7)},
        "objectives": {"accuracy": "maximize"},
        "evaluate": evaluate,
    }
    return Problem(name=name, **asked | fields)


@pytest.fixture
def solved(database: Path) -> Callable[..., StudyView]:
    """Search problems in the test's own file."""

    def search(given: Problem, n_trials: int, study: str, **fields: Any) -> StudyView:
        return solve(given, n_trials, study=study, storage=sqlite_url(database), sampler="random", **fields)

    return search


def test_a_problem_takes_over_what_it_has_measured_before(solved: Callable[..., StudyView]) -> None:
    first = solved(problem(), 6, "first")
    second = solved(problem(), 4, "second", seed=1, warm_start=["first"], workers=2)
    assert second.records[:6] == first.records
    assert len({record.arch_id for record in second.records}) == 10
    assert solved(problem(), 6, "second", seed=1, warm_start=["first"]).records[:10] == second.records
    assert len(solved(problem(), 6, "second", seed=1).records) == 12


def test_a_problem_is_told_by_others_over_the_same_choices(solved: Callable[..., StudyView]) -> None:
    solved(problem(), 6, "first")
    others = (
        problem(fidelities=(HIGH,)),
        problem("other"),
        problem("table", "error", objectives={"error": "minimize"}),
    )
    for number, other in enumerate(others):
        view = solved(other, 3, f"second-{number}", warm_start=["first"])
        assert len(view.records) == 3
        assert view.config.warm_start == (WarmStart(study="first", records=6),)


def test_a_problem_refuses_other_sources_in_one_line(solved: Callable[..., StudyView], database: Path) -> None:
    solved(problem(), 3, "first")
    Study.create(open_storage(sqlite_url(database)), config(), 4)
    other = problem(choices={"depth": (1, 2, 5), "kernel": (3, 5, 7)})
    for given, names, why in (
        (problem(), ["study"], "study 'study' is of networks, this one is not"),
        (problem(), ["nowhere"], "unknown study 'nowhere'"),
        (problem(), ["second"], "cannot start from itself"),
        (problem(), "first", "warm_start must be a list of studies, each once, got 'first'"),
        (other, ["first"], "of another space: depth: 1, 2, 5 here, 1, 2, 3, 4 there"),
    ):
        with pytest.raises(InputError, match=re.escape(why)):
            solved(given, 3, "second", warm_start=names)
    with pytest.raises(StudyError, match="a different warm start than it was started with: the study has none"):
        solved(problem(), 3, "first", warm_start=["second"])
